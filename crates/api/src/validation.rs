//! What is wrong with one document, gathered while it is read and checked: names, ranges, formats, and the rules
//! between fields, which the types cannot say. Each kind has its own rules in `kinds`.

use crate::decode::Problem;
use crate::duration;
use crate::node::Node;
use crate::syntax;
use model::Code;
use std::collections::BTreeMap;

/// Largest compiled expression, in bytes, as in `decide::route`; more: a finding.
const REGEX_COMPILED_BYTES_MAX: usize = 256 * 1024;
/// Expressions in one document; more: a finding. With the bound above, no document costs a proxy more than 16 MiB.
const REGEXES_MAX: usize = 64;

/// Problems of one document, placed by the path of the field.
pub(crate) struct ValidationReport<'a> {
    node: &'a Node,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    refused: bool,
    regexes: usize,
}

impl<'a> ValidationReport<'a> {
    pub(crate) fn new(node: &'a Node) -> Self {
        Self { node, problems: Vec::new(), warnings: Vec::new(), refused: false, regexes: 0 }
    }

    /// The object cannot be used.
    pub(crate) fn refuse(&mut self, code: Code, path: &str, cause: &str, fix: impl Into<String>) {
        self.refused = true;
        self.allow_with_finding(code, path, cause, fix);
    }

    /// The object is used all the same, and fails closed where it was not understood.
    pub(crate) fn allow_with_finding(&mut self, code: Code, path: &str, cause: &str, fix: impl Into<String>) {
        let problem = self.problem(code, path, cause, fix.into());
        self.problems.push(problem);
    }

    fn problem(&self, code: Code, path: &str, cause: &str, fix: String) -> Problem {
        Problem { code, line: self.node.line_of(path), cause: format!("`{path}` {cause}"), fix }
    }

    /// As [`ValidationReport::bad`], of an entry of the mapping at `path`, whose name may have dots.
    pub(crate) fn bad_entry(&mut self, path: &str, key: &str, cause: &str, fix: impl Into<String>) {
        self.refused = true;
        self.problems.push(self.entry(Code::BadValue, path, key, cause, fix.into()));
    }

    /// As [`ValidationReport::no_effect`], of an entry of the mapping at `path`, whose name may have dots.
    pub(crate) fn entry_without_effect(
        &mut self,
        path: &str,
        key: &str,
        cause: &str,
        fix: impl Into<String>,
    ) {
        self.warnings.push(self.entry(Code::Ignored, path, key, cause, fix.into()));
    }

    fn entry(&self, code: Code, path: &str, key: &str, cause: &str, fix: String) -> Problem {
        let line = self.node.find(path).and_then(|node| node.get(key)).map(|node| node.line);
        let cause = format!("`{path}[{key}]` {cause}");
        Problem { code, line: line.unwrap_or_else(|| self.node.line_of(path)), cause, fix }
    }

    /// The object is used as if this were not there. Said, so that nobody relies on it.
    pub(crate) fn no_effect(&mut self, path: &str, cause: &str, fix: impl Into<String>) {
        let warning = self.problem(Code::Ignored, path, cause, fix.into());
        self.warnings.push(warning);
    }

    /// Shorthand for a field that nobody reads.
    pub(crate) fn ignored(&mut self, path: &str, fix: impl Into<String>) {
        self.no_effect(path, "is not supported yet and has no effect", fix);
    }

    /// Shorthand for the most common refusal.
    pub(crate) fn bad(&mut self, path: &str, cause: &str, fix: impl Into<String>) {
        self.refuse(Code::BadValue, path, cause, fix);
    }

    /// Shorthand for something valid that is not there yet. Following `fix` to the letter must leave a valid
    /// object that does not allow more than was meant.
    pub(crate) fn unsupported(&mut self, path: &str, what: &str, fix: impl Into<String>) {
        self.refused = true;
        let (line, cause) = (self.node.line_of(path), format!("`{path}`: {what} is not supported yet"));
        self.problems.push(Problem { code: Code::Unsupported, line, cause, fix: fix.into() });
    }

    /// Problems found while decoding: all of them refuse the object.
    pub(crate) fn refuse_all(&mut self, problems: Vec<Problem>) {
        self.refused |= !problems.is_empty();
        self.problems.extend(problems);
    }

    /// The document.
    pub(crate) fn node(&self) -> &'a Node {
        self.node
    }

    pub(crate) fn is_refused(&self) -> bool {
        self.refused
    }

    /// Problems, then warnings.
    pub(crate) fn into_parts(self) -> (Vec<Problem>, Vec<Problem>) {
        (self.problems, self.warnings)
    }

    /// More than `max` entries.
    pub(crate) fn at_most(&mut self, path: &str, count: usize, max: usize) {
        if count > max {
            self.bad(path, &format!("has {count} entries, more than {max}"), "split the object");
        }
    }

    pub(crate) fn subdomain(&mut self, path: &str, text: &str) {
        if !syntax::is_subdomain(text) {
            let cause = format!("cannot be `{text}`");
            self.bad(
                path,
                &cause,
                "use lower-case letters, digits, `-` and `.`, at most 253, as in DNS names",
            );
        }
    }

    pub(crate) fn label(&mut self, path: &str, text: &str) {
        if !syntax::is_label(text) {
            self.bad(
                path,
                &format!("cannot be `{text}`"),
                "use at most 63 lower-case letters, digits and `-`",
            );
        }
    }

    /// Labels as Kubernetes takes them.
    pub(crate) fn labels(&mut self, path: &str, labels: &BTreeMap<String, String>) {
        for (key, value) in labels {
            if !syntax::is_label_key(key) {
                let cause = format!("has the key `{key}`, which is no label");
                self.bad(path, &cause, "write `name` or `domain/name`");
            }
            if !syntax::is_label_value(value) {
                let cause = format!("has `{key}: {value}`, which is no label value");
                self.bad(path, &cause, "use at most 63 letters, digits, `-`, `_` and `.`");
            }
        }
    }

    pub(crate) fn port(&mut self, path: &str, port: u16) {
        if port == 0 {
            self.bad(path, "cannot be 0", "write a port from 1 to 65535");
        }
    }

    /// A duration as Istio writes it, of at least a millisecond.
    pub(crate) fn go_duration(&mut self, path: &str, text: Option<&str>) {
        let is_good = |text: &str| duration::parse_go(text).is_some_and(|value| value.as_millis() > 0);
        if let Some(text) = text.filter(|text| !is_good(text)) {
            let fix = "write a duration of at least 1ms, such as 1.5s, 500ms or 1m";
            self.bad(path, &format!("cannot be `{text}`"), fix);
        }
    }

    pub(crate) fn regex(&mut self, path: &str, text: &str) {
        const REGEX_BYTES_MAX: usize = 1024;
        self.regexes += 1;
        if self.regexes > REGEXES_MAX {
            // Said once: the rest is not even compiled.
            if self.regexes == REGEXES_MAX + 1 {
                let cause = format!("is one of more than {REGEXES_MAX} regular expressions");
                self.bad(path, &cause, "use exact values or prefixes, or split the object");
            }
            return;
        }
        if text.len() > REGEX_BYTES_MAX {
            self.bad(path, &format!("has more than {REGEX_BYTES_MAX} bytes"), "shorten the expression");
            return;
        }
        // As `decide` builds it: alone first, because `a)(b` must not become valid by our brackets.
        let build = |text: &str| regex::RegexBuilder::new(text).size_limit(REGEX_COMPILED_BYTES_MAX).build();
        if let Err(error) = build(text).and_then(|_| build(&format!("^(?:{text})$"))) {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            self.bad(path, &format!("is not a valid regular expression: {reason}"), "write it in RE2 syntax");
        }
    }
}
