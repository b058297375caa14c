//! That a namespace has a `Service`: then its DNS name exists, above those of its services.

use super::{Unit, WorldReader};
use api::{Object, Spec};
use model::Subscription;
use std::sync::Arc;

pub(crate) struct ServiceNamespaceUnit;

impl Unit for ServiceNamespaceUnit {
    type Key = Arc<str>;
    type Output = ();

    fn keys(object: &Object) -> Vec<Arc<str>> {
        match &object.spec {
            Spec::Service(_) => vec![object.meta.namespace.clone()],
            _ => Vec::new(),
        }
    }

    fn compile(namespace: &Arc<str>, read: &WorldReader<'_>) -> Option<()> {
        read.has_own_objects("Service", namespace).then_some(())
    }

    fn touches(
        _key: &Arc<str>,
        _old: Option<&()>,
        _new: Option<&()>,
        _read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        vec![Subscription::Mesh]
    }
}
