//! Paths of the API to what they mean.

use crate::backend::{KindScope, ObjectTarget, ServedKind};

/// What a path asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ApiPath {
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
    List(ServedKind, Option<String>),
    /// One object.
    Object(ObjectTarget),
    /// Something below an object.
    Below(ObjectTarget, String),
    /// `/leno/v1/batch`.
    Batch,
    /// `/leno/v1/backup`.
    Backup,
    /// `/leno/v1/NAME`.
    Report(String),
    Unknown,
}

/// Reads `path`; a kind that is not among `kinds` is [`ApiPath::Unknown`].
pub(crate) fn parse(path: &str, kinds: &[ServedKind]) -> ApiPath {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["healthz" | "readyz" | "livez"] => ApiPath::Health,
        ["api"] => ApiPath::Versions,
        ["apis"] => ApiPath::Groups,
        ["api", version] => resources("", version, kinds),
        ["apis", group, version] => resources(group, version, kinds),
        ["api", version, rest @ ..] => object("", version, rest, kinds),
        ["apis", group, version, rest @ ..] => object(group, version, rest, kinds),
        ["leno", "v1", "batch"] => ApiPath::Batch,
        ["leno", "v1", "backup"] => ApiPath::Backup,
        ["leno", "v1", name] => ApiPath::Report((*name).to_owned()),
        _ => ApiPath::Unknown,
    }
}

fn resources(group: &str, version: &str, kinds: &[ServedKind]) -> ApiPath {
    match kinds.iter().any(|kind| kind.group == group && kind.version == version) {
        true => ApiPath::Resources { group: group.into(), version: version.into() },
        false => ApiPath::Unknown,
    }
}

fn object(group: &str, version: &str, rest: &[&str], kinds: &[ServedKind]) -> ApiPath {
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some((*namespace).to_owned()), rest),
        rest => (None, rest),
    };
    let Some((plural, rest)) = rest.split_first() else { return ApiPath::Unknown };
    let of_path =
        |kind: &&ServedKind| kind.group == group && kind.version == version && kind.plural == *plural;
    let Some(kind) = kinds.iter().find(of_path).copied() else { return ApiPath::Unknown };
    let names_ok = rest.iter().all(|name| !name.is_empty());
    if !names_ok
        || namespace.as_deref() == Some("")
        || (kind.scope == KindScope::Cluster && namespace.is_some())
    {
        return ApiPath::Unknown;
    }
    let namespaced_without = kind.scope == KindScope::Namespaced && namespace.is_none();
    let target = |name: &str| ObjectTarget {
        kind,
        namespace: namespace.clone().unwrap_or_default(),
        name: name.into(),
    };
    match rest {
        [] => ApiPath::List(kind, namespace),
        _ if namespaced_without => ApiPath::Unknown,
        [name] => ApiPath::Object(target(name)),
        [name, below] => ApiPath::Below(target(name), (*below).to_owned()),
        _ => ApiPath::Unknown,
    }
}

#[cfg(test)]
mod tests;
