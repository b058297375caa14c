//! Whether an object may refer to one of another namespace: the one place that is asked, of backends as of
//! certificates.

use super::WorldReader;
use api::kinds;
use api::{Object, Spec};
use model::{Code, Finding, ObjectRef};

/// Whether `object` may refer to `target`, of this group: its own namespace is free, into another one a
/// `ReferenceGrant` there must allow it.
pub(crate) fn is_granted(object: &Object, group: &str, target: &ObjectRef, read: &WorldReader<'_>) -> bool {
    let own = &object.meta.namespace;
    if *own == target.namespace {
        return true;
    }
    let (own_group, _) = kinds::split_api_version(&object.api_version);
    let (from, to) = ((own_group, &*object.object.kind, &**own), (group, &*target.kind, &*target.name));
    read.names("ReferenceGrant", Some(&target.namespace)).into_iter().any(|name| {
        let grant = read.object(&ObjectRef::new("ReferenceGrant", &target.namespace, name));
        grant.is_some_and(|grant| match &grant.spec {
            Spec::ReferenceGrant(spec) => spec.allows(from, to),
            _ => false,
        })
    })
}

/// What to say where it may not. Nothing of it depends on whether the target exists: who may not refer to it may not
/// learn that either.
pub(crate) fn not_granted(object: &Object, line: u32, group: &str, target: &ObjectRef) -> Finding {
    let cause = format!(
        "no ReferenceGrant of namespace {} allows {target} to be referred to from here",
        target.namespace
    );
    let (own_group, _) = kinds::split_api_version(&object.api_version);
    let fix = format!(
        "write one into namespace {} with `from: [{{group: {own_group}, kind: {}, namespace: {}}}]` and `to: [{{group: \
         {group:?}, kind: {}}}]`, or put both into one namespace",
        target.namespace, object.object.kind, object.meta.namespace, target.kind
    );
    Finding::new(Code::RefNotPermitted, &object.at(line), cause, fix)
}
