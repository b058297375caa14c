//! What to say of a reference to an object that is not there.

use super::WorldReader;
use model::{Finding, ObjectRef};

/// What is wrong with a route, and the missing object if that is what is wrong: a better name for it depends on which
/// objects exist, so one is looked for when somebody asks.
pub(super) type RouteFindings = Vec<(Finding, Option<ObjectRef>)>;

/// The findings with what is known now of what is missing.
pub(super) fn complete(findings: &[(Finding, Option<ObjectRef>)], read: &WorldReader<'_>) -> Vec<Finding> {
    let complete = |(finding, missing): &(Finding, Option<ObjectRef>)| match missing {
        Some(missing) => {
            let (cause, fix) = about_missing(missing, finding.cause.clone(), read);
            Finding { cause, fix, ..finding.clone() }
        }
        None => finding.clone(),
    };
    findings.iter().map(complete).collect()
}

/// Cause and fix: it may be written, and refused.
pub(super) fn about_missing(target: &ObjectRef, cause: String, read: &WorldReader<'_>) -> (String, String) {
    match read.refused(target) {
        Some(origin) if origin.file.is_empty() => {
            (format!("{target} was refused, so it is not in force"), "correct that object".to_owned())
        }
        Some(origin) => {
            let fix = format!("correct that object ({}:{})", origin.file, origin.line);
            (format!("{target} was refused, so it is not in force"), fix)
        }
        None if may_lose_hosts(target) && read.object(target).is_some() => {
            let cause = format!("{target} has none of the hosts that it names: they belong to others");
            (cause, "name what has the host, or give that object a host of its own".to_owned())
        }
        None => (cause, nearest(target, read)),
    }
}

/// Whether objects of this kind name hosts, of which each belongs to one.
fn may_lose_hosts(target: &ObjectRef) -> bool {
    matches!(&*target.kind, "ServiceEntry" | "GlobalService")
}

/// The object of this kind and namespace with the nearest name.
fn nearest(target: &ObjectRef, read: &WorldReader<'_>) -> String {
    let names = read.names(&target.kind, Some(&target.namespace));
    let known: Vec<&str> = names.into_iter().map(|name| &**name).collect();
    match api::suggest::nearest(&target.name, &known) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("create {target} or correct the name"),
    }
}
