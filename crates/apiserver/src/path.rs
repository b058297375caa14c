//! Paths of the API to what they mean.

use crate::backend::{Kind, Scope, Target};

/// What a path asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// `/healthz`, `/readyz`, `/livez`.
    Health,
    /// `/api`.
    Versions,
    /// `/apis`.
    Groups,
    /// `/api/v1`, `/apis/GROUP/VERSION`.
    Resources {
        group: String,
        version: String,
    },
    /// All objects of a kind, in one namespace or in all.
    List(Kind, Option<String>),
    /// One object.
    Object(Target),
    /// Something below an object.
    Below(Target, String),
    /// `/leno/v1/batch`.
    Batch,
    /// `/leno/v1/NAME`.
    Report(String),
    Unknown,
}

/// Reads `path`; a kind that is not among `kinds` is [`Place::Unknown`].
pub(crate) fn parse(path: &str, kinds: &[Kind]) -> Place {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["healthz" | "readyz" | "livez"] => Place::Health,
        ["api"] => Place::Versions,
        ["apis"] => Place::Groups,
        ["api", version] => resources("", version, kinds),
        ["apis", group, version] => resources(group, version, kinds),
        ["api", version, rest @ ..] => object("", version, rest, kinds),
        ["apis", group, version, rest @ ..] => object(group, version, rest, kinds),
        ["leno", "v1", "batch"] => Place::Batch,
        ["leno", "v1", name] => Place::Report((*name).to_owned()),
        _ => Place::Unknown,
    }
}

fn resources(group: &str, version: &str, kinds: &[Kind]) -> Place {
    match kinds.iter().any(|kind| kind.group == group && kind.version == version) {
        true => Place::Resources { group: group.into(), version: version.into() },
        false => Place::Unknown,
    }
}

fn object(group: &str, version: &str, rest: &[&str], kinds: &[Kind]) -> Place {
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some((*namespace).to_owned()), rest),
        rest => (None, rest),
    };
    let Some((plural, rest)) = rest.split_first() else { return Place::Unknown };
    let of_path = |kind: &&Kind| kind.group == group && kind.version == version && kind.plural == *plural;
    let Some(kind) = kinds.iter().find(of_path).copied() else { return Place::Unknown };
    let names_ok = rest.iter().all(|name| !name.is_empty());
    if !names_ok || namespace.as_deref() == Some("") || (kind.scope == Scope::Cluster && namespace.is_some())
    {
        return Place::Unknown;
    }
    let namespaced_without = kind.scope == Scope::Namespaced && namespace.is_none();
    let target =
        |name: &str| Target { kind, namespace: namespace.clone().unwrap_or_default(), name: name.into() };
    match rest {
        [] => Place::List(kind, namespace),
        _ if namespaced_without => Place::Unknown,
        [name] => Place::Object(target(name)),
        [name, below] => Place::Below(target(name), (*below).to_owned()),
        _ => Place::Unknown,
    }
}

#[cfg(test)]
mod tests;
