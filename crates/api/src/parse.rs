//! Text to objects: cut into documents, find each one's kind, decode, check.
//!
//! An object that is returned may be used even if there are findings about it: the only such case is an
//! `AuthorizationPolicy` with a condition that is not understood, which then fails closed. Whoever has a
//! last good version keeps that one instead. What in an object has no effect is no finding here, but told with
//! the object as long as it is in force ([`Object::warnings`]).

mod fail_closed;

use crate::decode::Problem;
use crate::kinds::{self, ObjectContent, ObjectKind};
use crate::meta::{DEFAULT_NAMESPACE, Meta};
use crate::node::{self, Node, NodeValue};
use crate::object::Object;
use crate::scan::{self, RawDocument};
use crate::suggest;
use crate::validation::ValidationReport;
use model::interner::Interner;
use model::time::rfc3339;
use model::{Code, Finding, ObjectRef, Origin};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// Largest file, in bytes; more: one finding, nothing is read.
pub const FILE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Largest document, in bytes; more: a finding for this document (Kubernetes stores at most 1.5 MiB).
pub const DOCUMENT_BYTES_MAX: usize = 1024 * 1024;
/// Deepest nesting; more: a finding for this document. Kinds need about 15; each level costs the reader some
/// 6 KiB of stack in a release build and 30 KiB in a debug build, and threads have 2 MiB.
pub const NESTING_MAX: usize = 32;

/// Findings about one file; more are not looked for: the rest of the file is left out, as refused.
pub const FINDINGS_MAX: usize = 1000;

/// Parses all documents of `text`, which came from `file` (empty: from the API). One bad document does not
/// hide the others. Lines in findings are those of the file.
pub fn documents(text: &str, file: &str) -> (Vec<Object>, Vec<Finding>) {
    files([(file, text)])
}

/// The same for several files, as `(name, text)`: an object that occurs twice is used as first found.
pub fn files<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> (Vec<Object>, Vec<Finding>) {
    let mut parser = FileParser::default();
    for (file, text) in files {
        parser.file(&Arc::from(file), text);
    }
    (parser.objects, parser.findings)
}

/// As [`documents`], for who has no last good version to keep: a policy that is refused is there all the
/// same, as one that denies everything to the workloads that it selects.
pub fn documents_fail_closed(text: &str, file: &str) -> (Vec<Object>, Vec<Finding>) {
    let mut parser = FileParser { on_refusal: OnRefusal::Closed, ..FileParser::default() };
    parser.file(&Arc::from(file), text);
    (parser.objects, parser.findings)
}

/// What becomes of a policy that is refused.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum OnRefusal {
    /// It is left out.
    #[default]
    Absent,
    /// It denies.
    Closed,
}

/// How the kinds begin whose documents are not shown.
const SECRET: &str = "Secret";

#[derive(Default)]
struct FileParser {
    on_refusal: OnRefusal,
    objects: Vec<Object>,
    findings: Vec<Finding>,
    seen: HashMap<ObjectRef, Origin>,
    texts: Interner<str>,
}

impl FileParser {
    fn file(&mut self, file: &Arc<str>, text: &str) {
        let nowhere = Origin { object: ObjectRef::new("", "", ""), file: file.clone(), line: 1 };
        if text.len() > FILE_BYTES_MAX {
            let cause = format!("the file has {} bytes, more than {FILE_BYTES_MAX}", text.len());
            self.findings.push(Finding::new(Code::Syntax, &nowhere, cause, "split it into several files"));
            scan::documents(text).into_iter().for_each(|document| self.unread(document, &nowhere));
            return;
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let before = self.findings.len();
        let mut documents = scan::documents(text).into_iter();
        while let Some(document) = documents.next() {
            if self.findings.len() - before >= FINDINGS_MAX {
                let cause = format!("the file has {FINDINGS_MAX} findings or more; the rest was not read");
                let origin = Origin { line: document.lines_before + 1, ..nowhere };
                self.findings.push(Finding::new(Code::Syntax, &origin, cause, "mend those first"));
                std::iter::once(document)
                    .chain(documents)
                    .for_each(|document| self.unread(document, &origin));
                return;
            }
            match read(document) {
                Ok(node) => self.node(&node, file, document.text),
                Err(mut problem) => {
                    if document.text.contains(SECRET) {
                        // What the YAML library says may be a part of the text.
                        problem.cause = "the document is no YAML that can be read".to_owned();
                    }
                    self.problems(&nowhere, vec![problem]);
                    self.unread(document, &nowhere);
                }
            }
        }
    }

    /// What could not even be read as YAML: where nothing better is known, a policy in it denies.
    fn unread(&mut self, document: RawDocument<'_>, of_file: &Origin) {
        if self.on_refusal == OnRefusal::Absent {
            return;
        }
        let origin = Origin { line: document.lines_before + 1, ..of_file.clone() };
        for mut object in fail_closed::of_text(document.text, &origin) {
            object.name_apart(|name| self.seen.contains_key(name));
            if !self.seen.contains_key(&object.object) {
                self.seen.insert(object.object.clone(), object.origin.clone());
                self.objects.push(object);
            }
        }
    }

    fn node(&mut self, node: &Node, file: &Arc<str>, text: &str) {
        // `List`, or `ServiceList` and the like, as an API writes it.
        let is_list = node.get("kind").and_then(Node::as_str).is_some_and(|kind| kind.ends_with("List"));
        if let (true, Some(NodeValue::Sequence(items))) =
            (is_list, node.get("items").map(|items| &items.value))
        {
            for item in items {
                self.node(item, file, &item.to_json().to_string());
            }
            return;
        }
        let origin = Origin { object: reference(node), file: file.clone(), line: node.line };
        let (object, problems) = object(node, &origin, text, &mut self.texts);
        self.problems(&origin, problems);
        let fail_closed = || match self.on_refusal {
            OnRefusal::Absent => None,
            OnRefusal::Closed => {
                let mut stand_in = fail_closed::of(node, &origin, text)?;
                stand_in.name_apart(|name| self.seen.contains_key(name));
                Some(stand_in)
            }
        };
        let Some(object) = object.or_else(fail_closed) else { return };
        match self.seen.get(&object.object) {
            Some(first) => {
                let cause = format!("{} is already defined at {}:{}", object.object, first.file, first.line);
                self.findings.push(Finding::new(
                    Code::Duplicate,
                    &object.origin,
                    cause,
                    "remove one of the two",
                ));
            }
            None => {
                self.seen.insert(object.object.clone(), object.origin.clone());
                self.objects.push(object);
            }
        }
    }

    fn problems(&mut self, origin: &Origin, mut problems: Vec<Problem>) {
        problems.sort_by_key(|problem| problem.line);
        self.findings.extend(problems.into_iter().map(|problem| problem.at(origin)));
    }
}

/// YAML (or JSON) to a tree with the file's lines.
fn read(document: RawDocument<'_>) -> Result<Node, Problem> {
    let first = document.lines_before + scan::first_content_line(document.text).unwrap_or(1);
    let syntax = |line, cause, fix: &str| Problem { code: Code::Syntax, line, cause, fix: fix.to_owned() };
    if document.text.len() > DOCUMENT_BYTES_MAX {
        let cause = format!("the document has {} bytes, more than {DOCUMENT_BYTES_MAX}", document.text.len());
        return Err(syntax(first, cause, "split it into several objects"));
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: NESTING_MAX,
            flow_nesting_limit: NESTING_MAX,
        },
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        strict_booleans: true,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<serde_saphyr::Spanned<NodeValue>>(document.text, options) {
        Ok(spanned) => {
            let mut node = node::from_spanned(spanned);
            node.shift(document.lines_before);
            Ok(node)
        }
        Err(error) => {
            let line =
                error.location().and_then(|place| u32::try_from(place.line()).ok()).filter(|line| *line > 0);
            let line = line.map_or(first, |line| line + document.lines_before);
            let (cause, fix) = in_plain_words(&error.without_snippet().to_string());
            Err(syntax(line, cause, fix))
        }
    }
}

/// What the YAML library says, without the place (that is in the finding) and without its own settings.
fn in_plain_words(message: &str) -> (String, &'static str) {
    let first = message.lines().next().unwrap_or_default();
    let cause = first.split_once(" at line ").map_or(first, |(cause, _)| cause);
    if let Some(key) = cause.strip_prefix("duplicate mapping key: ") {
        let key = key.split_once(", set ").map_or(key, |(key, _)| key);
        return (format!("the key `{key}` occurs twice"), "remove one of the two");
    }
    if cause.contains("Depth {") || cause == "recursion limit exceeded" {
        return (format!("the document is nested deeper than {NESTING_MAX}"), "nest less deeply");
    }
    if cause.starts_with("budget breached") {
        let cause = "the document is too large once its aliases are put in".to_owned();
        return (cause, "write less, or without aliases");
    }
    (cause.to_owned(), "correct the syntax at this line")
}

/// What the document calls itself, for findings about documents that cannot be read.
fn reference(node: &Node) -> ObjectRef {
    let text = |node: Option<&Node>| node.and_then(Node::as_str).unwrap_or_default().to_owned();
    let kind = text(node.get("kind"));
    let meta = node.get("metadata");
    let namespace = text(meta.and_then(|meta| meta.get("namespace")));
    let name = text(meta.and_then(|meta| meta.get("name")));
    let version = text(node.get("apiVersion"));
    let known = kinds::by_written(kinds::split_api_version(&version).0, &kind);
    match known.or_else(|| kinds::by_kind(&kind)) {
        Some(ObjectKind { kind, namespaced: false, .. }) => ObjectRef::new(kind, "", &name),
        Some(ObjectKind { kind, .. }) if namespace.is_empty() => {
            ObjectRef::new(kind, DEFAULT_NAMESPACE, &name)
        }
        Some(ObjectKind { kind, .. }) => ObjectRef::new(kind, &namespace, &name),
        None => ObjectRef::new(&kind, &namespace, &name),
    }
}

/// Whether there is a Secret among the documents of `text`, in lists too, or may be one where it is no YAML: what must
/// neither be kept on a disk nor be shown line by line.
pub fn holds_secret(text: &str) -> bool {
    // With a backslash letters are written as numbers.
    let may_name_it = |text: &str| text.contains(SECRET) || text.contains('\\');
    let holds = |document: RawDocument<'_>| {
        may_name_it(document.text) && read(document).map_or(true, |node| is_secret_or_holds_one(&node))
    };
    may_name_it(text) && scan::documents(text).into_iter().any(holds)
}

fn is_secret_or_holds_one(node: &Node) -> bool {
    let is_secret = node.get("kind").and_then(Node::as_str).is_some_and(|kind| kind.starts_with(SECRET));
    is_secret
        || match node.get("items").map(|items| &items.value) {
            Some(NodeValue::Sequence(items)) => items.iter().any(is_secret_or_holds_one),
            _ => false,
        }
}

/// The whole of an object as JSON, unknown server-set fields included (for Kubernetes-shaped answers); when it was
/// created is what it says itself, unless another age was given to it.
pub fn value(object: &Object) -> Value {
    let document = RawDocument { lines_before: 0, text: &object.text };
    let mut value = read(document).map_or_else(|_| fail_closed::value(object), |node| node.to_json());
    if object.meta.created != 0
        && let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut)
    {
        let created = UNIX_EPOCH + Duration::from_secs(object.meta.created);
        metadata.insert("creationTimestamp".into(), rfc3339(created).into());
    }
    value
}

fn object(
    node: &Node,
    origin: &Origin,
    text: &str,
    texts: &mut Interner<str>,
) -> (Option<Object>, Vec<Problem>) {
    let kind = match find_kind(node) {
        Ok(kind) => kind,
        Err(problem) => return (None, vec![problem]),
    };
    let mut report = ValidationReport::new(node);
    let read = kinds::read(kind, node, &mut report);
    let Some(ObjectContent { api_version, meta, spec }) = read.filter(|_| !report.is_refused()) else {
        return (None, report.into_parts().0);
    };
    let (problems, mut warnings) = report.into_parts();
    warnings.sort_by_key(|warning| warning.line);
    // The names are held once.
    let name = ObjectRef {
        kind: texts.intern(kind.kind),
        namespace: texts.intern(&meta.namespace),
        name: meta.name.clone(),
    };
    let origin = Origin { object: name.clone(), ..origin.clone() };
    let object = Object {
        api_version: texts.intern(&api_version),
        meta: Meta { namespace: name.namespace.clone(), ..meta },
        object: name,
        spec,
        text: kinds::text_kept(kind, node).map_or_else(|| text.into(), String::into),
        warnings: warnings.into_iter().map(|warning| warning.at(&origin)).collect(),
        origin,
    };
    (Some(object), problems)
}

fn find_kind(node: &Node) -> Result<&'static ObjectKind, Problem> {
    let problem = |code, line, cause: String, fix: String| Problem { code, line, cause, fix };
    let field = |name: &str| match node.get(name) {
        Some(found) => found.as_str().map(|text| (text, found.line)).ok_or_else(|| {
            problem(
                Code::BadValue,
                found.line,
                format!("`{name}` is not a string"),
                "put it in quotes".to_owned(),
            )
        }),
        None => Err(problem(
            Code::MissingField,
            node.line,
            format!("`{name}` is missing"),
            format!("add `{name}`"),
        )),
    };
    let (api_version, version_line) = field("apiVersion")?;
    let (name, kind_line) = field("kind")?;
    let (group, version) = kinds::split_api_version(api_version);
    let replaced = |r: &&(&str, &str, &str)| r.0 == group && r.1 == name;
    if let Some((_, _, advice)) = kinds::REPLACED.iter().find(replaced) {
        let cause = format!("kind {name} of {group} is not read by Leno");
        return Err(problem(Code::Replaced, kind_line, cause, (*advice).to_owned()));
    }
    if is_foreign(group, name) {
        let cause = format!("kind {name} of `{api_version}` is none of Leno's; the document is skipped");
        let fix = "nothing needs to be done; to be told no more, keep it elsewhere".to_owned();
        return Err(problem(Code::Foreign, kind_line, cause, fix));
    }
    let Some(kind) = kinds::by_written(group, name).or_else(|| kinds::by_kind(name)) else {
        let fix = match nearest_kind(name) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("kinds that are read: {}", kind_names().join(", ")),
        };
        return Err(problem(
            Code::UnknownKind,
            kind_line,
            format!("unknown kind `{name}` of `{api_version}`"),
            fix,
        ));
    };
    if kind.group != group || !kind.versions.contains(&version) {
        let cause = format!("kind {name} has no apiVersion `{api_version}`");
        let fix = format!("write `{}`", kind.api_version());
        return Err(problem(Code::UnknownKind, version_line, cause, fix));
    }
    Ok(kind)
}

fn kind_names() -> Vec<&'static str> {
    kinds::ALL.iter().map(ObjectKind::written).collect()
}

fn nearest_kind(name: &str) -> Option<&'static str> {
    suggest::nearest(name, &kind_names())
}

/// Whether a document is for others: who means one of ours and slips in its kind or its group is told so, because
/// a policy that is skipped denies nothing.
fn is_foreign(group: &str, name: &str) -> bool {
    let mut groups: Vec<&str> = kinds::ALL.iter().map(|kind| kind.group).collect();
    if groups.contains(&group) {
        return kinds::by_kind(name).is_none() && nearest_kind(name).is_none();
    }
    groups.retain(|known| !known.is_empty());
    kinds::by_kind(name).is_none() || suggest::nearest(group, &groups).is_none()
}

#[cfg(test)]
pub(crate) mod tests;
