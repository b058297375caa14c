#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use crate::snapshot::{SnapshotChange, SnapshotStore};
use crate::testing::me;
use model::listener::Inbound;
use model::mtls::InboundMtls;
use model::{MeshSettings, Resource, ResourceKey};

/// A configuration whose group has these annotations.
fn configuration(prefix: MeshPrefix, annotations: &[(&str, &str)]) -> Arc<Snapshot> {
    let named =
        |(what, value): &(&str, &str)| (format!("traffic.sidecar.istio.io/{what}").into(), (*value).into());
    let inbound = Inbound {
        namespace: "default".into(),
        group: "client".into(),
        labels: Vec::new(),
        ports: Vec::new(),
        mtls: InboundMtls::default(),
        probe: None,
        capture: annotations.iter().map(named).collect(),
    };
    let settings = MeshSettings { ipv6_prefix: prefix, ..MeshSettings::default() };
    let upserts = vec![
        (ResourceKey::Inbound("default".into(), "client".into()), Resource::Inbound(inbound)),
        (ResourceKey::Settings, Resource::Settings(settings)),
    ];
    let store = SnapshotStore::new(&me());
    store.apply(SnapshotChange { upserts, ..SnapshotChange::default() });
    store.snapshot()
}

#[test]
fn the_name_server_follows_prefix_and_annotations_with_each_configuration() {
    let captured = Arc::new(Captured::new(&Default::default()));
    let notice = CaptureNotice::new(Rc::new(Supervisor::silent()), Arc::clone(&captured));
    let prefix = MeshPrefix::parse("fd12:3456:789a::/48").unwrap();
    let takes = || {
        let of = |prefix: MeshPrefix| captured.takes(prefix.address([240, 0, 0, 1].into()).into());
        [of(MeshPrefix::DEFAULT), of(prefix)]
    };
    for (prefix, annotations, expected) in [
        (MeshPrefix::DEFAULT, &[][..], [true, true]),
        (MeshPrefix::DEFAULT, &[("includeOutboundIPRanges", "10.0.0.0/8")], [true, false]),
        (prefix, &[("includeOutboundIPRanges", "10.0.0.0/8")], [false, true]),
        (prefix, &[("excludeOutboundIPRanges", "fd12::/16")], [true, false]),
        (prefix, &[], [true, true]),
    ] {
        notice.tell(&configuration(prefix, annotations));
        assert_eq!(takes(), expected, "{prefix} {annotations:?}");
    }
}
