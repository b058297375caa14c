//! Where this cluster is: as the program was started, with what the `Cluster` object of its name says.

use super::{Unit, WorldReader};
use crate::world::inputs::LocalCluster;
use api::{Object, Spec};
use model::{ObjectRef, Subscription};
use std::sync::Arc;

pub(crate) struct LocalClusterUnit;

impl Unit for LocalClusterUnit {
    type Key = ();
    type Output = LocalCluster;

    fn keys(object: &Object) -> Vec<()> {
        match &object.spec {
            Spec::Cluster(_) => vec![()],
            _ => Vec::new(),
        }
    }

    fn compile(_key: &(), read: &WorldReader<'_>) -> Option<LocalCluster> {
        let mut place = read.started_as().clone();
        let cluster = read.own_object(&ObjectRef::new("Cluster", "", &place.cluster));
        if let Some(Spec::Cluster(spec)) = cluster.map(|object| &object.spec) {
            let replace = |part: &mut Arc<str>, text: &Option<String>| {
                if let Some(text) = text {
                    *part = text.as_str().into();
                }
            };
            replace(&mut place.network, &spec.network);
            replace(&mut place.locality.region, &spec.region);
            replace(&mut place.locality.zone, &spec.zone);
        }
        Some(place)
    }

    /// Who reads it is compiled anew.
    fn touches(
        _key: &(),
        _old: Option<&LocalCluster>,
        _new: Option<&LocalCluster>,
        _read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        Vec::new()
    }
}
