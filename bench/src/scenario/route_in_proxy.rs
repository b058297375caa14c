//! What an HTTPRoute costs a gateway's proxy whose control plane is elsewhere: the rule as it is read from the control
//! stream, its place in the table of routes, its name and version. In this process, with the library code that ships.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use decide::balance::ProxyLocality;
use model::{Locality, ResourceKey, Subscription, TrustDomain};
use proxy::snapshot::{LocalNode, SnapshotChange, SnapshotStore};
use translate::{LocalCluster, World, WorldChange};
use xds::client::ClientSession;
use xds::wire::Any;

use crate::{allocations, documents, received};

/// Bytes of heap for each of `more` routes beside `few`.
pub(crate) fn held(from: SocketAddr, few: usize, more: usize) -> Result<f64> {
    Ok((held_by(from, few + more)? - held_by(from, few)?) / more as f64)
}

fn held_by(from: SocketAddr, routes: usize) -> Result<f64> {
    let sent = sent(&documents::all(from, routes, 1))?;
    ensure!(sent.len() > routes, "{} resources for {routes} routes", sent.len());
    let (held, bytes) = allocations::held(|| -> Result<_> {
        // As it comes over a network: nothing is shared with who sends it.
        let upserts = received::read(&sent)?;
        let versions = upserts.iter().map(|(key, _)| (key.clone(), VERSION.into()));
        let session = ClientSession::restore(versions);
        let store = SnapshotStore::new(&node());
        store.apply(SnapshotChange { upserts, ..SnapshotChange::default() });
        Ok((session, store))
    });
    held.map(|_| bytes as f64)
}

/// As long as true ones.
const VERSION: &str = "0123456789abcdef";

/// What the proxy is sent.
fn sent(text: &str) -> Result<Vec<(ResourceKey, Any)>> {
    let mut world = World::new(LocalCluster {
        cluster: "bench".into(),
        network: "bench".into(),
        locality: Locality::default(),
        trust_domain: TrustDomain::parse("leno.bench").context("read the trust domain")?,
    });
    let (objects, findings) = api::parse::documents(text, "bench.yaml");
    ensure!(findings.is_empty(), "the documents are not in order: {:?}", findings.first());
    for object in objects {
        world.apply(WorldChange::Object(Arc::new(object)));
    }
    let gateway = Subscription::Gateway { namespace: "default".into(), name: documents::GATEWAY.into() };
    Ok(received::sent(&world, &gateway))
}

fn node() -> LocalNode {
    LocalNode {
        uid: "bench/default/edge-0".into(),
        namespace: "default".into(),
        group: documents::GATEWAY.into(),
        network: "bench".into(),
        place: ProxyLocality { cluster: "bench".into(), locality: Locality::default() },
        addresses: vec![[10, 255, 0, 1].into()],
    }
}
