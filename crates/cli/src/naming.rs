//! Kinds and names as people type them, and their paths in the API.

use crate::exit::{Failure, USAGE};
use api::kinds::{self, ObjectKind};

/// One kind and, if given, one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ObjectSelector {
    pub(crate) kind: &'static ObjectKind,
    pub(crate) name: Option<String>,
}

/// Reads `KIND`, `KIND/NAME`, `KIND NAME...` or several `KIND/NAME`.
pub(crate) fn parse(words: &[String]) -> Result<Vec<ObjectSelector>, Failure> {
    let Some((first, rest)) = words.split_first() else {
        return Err(Failure::new(USAGE, "name a kind, for example httproutes"));
    };
    if first.contains('/') {
        return words.iter().map(|word| pair(word)).collect();
    }
    let kind = find_kind(first)?;
    if rest.is_empty() {
        return Ok(vec![ObjectSelector { kind, name: None }]);
    }
    rest.iter().map(|name| Ok(ObjectSelector { kind, name: Some(check_name(name)?) })).collect()
}

fn pair(word: &str) -> Result<ObjectSelector, Failure> {
    let Some((kind, name)) = word.split_once('/') else {
        return Err(Failure::new(USAGE, format!("{word}: write KIND/NAME for each object")));
    };
    Ok(ObjectSelector { kind: find_kind(kind)?, name: Some(check_name(name)?) })
}

/// The kind that a person means. `httproutes.gateway.networking.k8s.io`, as printed by `-o name`, works too.
fn find_kind(text: &str) -> Result<&'static ObjectKind, Failure> {
    kinds::by_any(text).ok_or_else(|| {
        let short = text.split_once('.').map_or(text, |(short, _)| short);
        let known: Vec<&str> = kinds::ALL.iter().flat_map(|kind| [kind.plural, kind.singular]).collect();
        let hint = match api::suggest::nearest(short, &known) {
            Some(near) => format!("did you mean {near}?"),
            None => {
                let plurals: Vec<_> = kinds::ALL.iter().map(|kind| kind.plural).collect();
                format!("known are {}", plurals.join(", "))
            }
        };
        Failure::new(USAGE, format!("there is no kind {text}; {hint}"))
    })
}

/// The kinds that there are, for help texts; one that is not meant by its plural alone with its group behind it.
pub(crate) fn kinds_help() -> String {
    let row = |kind: &ObjectKind| {
        let is_meant = kinds::by_any(kind.plural).is_some_and(|meant| meant.kind == kind.kind);
        let name = if is_meant { kind.plural.to_owned() } else { format!("{}.{}", kind.plural, kind.group) };
        format!("  {name:<22} {:<5} {}", kind.short.join(","), kind.doc)
    };
    let rows: Vec<String> = kinds::ALL.iter().map(row).collect();
    format!("Kinds:\n{}", rows.join("\n"))
}

/// Names become parts of paths, so only what Kubernetes allows in names may pass.
pub(crate) fn check_name(name: &str) -> Result<String, Failure> {
    let byte_ok = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    if name.is_empty() || name.len() > 253 || !name.bytes().all(byte_ok) || name.starts_with('.') {
        let rule = "names have small letters, digits, '-' and '.'";
        return Err(Failure::new(USAGE, format!("{name:?} is not a name; {rule}")));
    }
    Ok(name.to_owned())
}

/// Path of a kind's list (`name` `None`) or of one object. `namespace` `None`: all.
pub(crate) fn path(kind: &ObjectKind, namespace: Option<&str>, name: Option<&str>) -> String {
    let prefix = if kind.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", kind.group) };
    let version = kind.versions.first().copied().unwrap_or("v1");
    let namespace = namespace.filter(|_| kind.namespaced).map(|ns| format!("/namespaces/{ns}"));
    let name = name.map(|name| format!("/{name}"));
    let (namespace, name) = (namespace.unwrap_or_default(), name.unwrap_or_default());
    format!("{prefix}/{version}{namespace}/{}{name}", kind.plural)
}

/// How output names an object, as kubectl does: `httproute.gateway.networking.k8s.io/web`.
pub(crate) fn display(kind: &ObjectKind, name: &str) -> String {
    if kind.group.is_empty() {
        format!("{}/{name}", kind.singular)
    } else {
        format!("{}.{}/{name}", kind.singular, kind.group)
    }
}

#[cfg(test)]
mod tests;
