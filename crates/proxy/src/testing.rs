//! Model values for the tests of this crate.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::snapshot::{Change, Me, Store};
use decide::balance::Place;
use model::address::mesh_only_candidate;
use model::names::Names;
use model::service::{Endpoint, EndpointSlice, EndpointState, Protocol, Reach, Service, ServicePort};
use model::{Hostname, Locality, Resource, ResourceKey, SpiffeId};
use std::sync::Arc;

pub(crate) fn host(text: &str) -> Hostname {
    Hostname::parse(text).unwrap()
}

pub(crate) fn me() -> Me {
    Me {
        uid: "me".into(),
        namespace: "default".into(),
        group: "client".into(),
        network: "west".into(),
        place: Place { cluster: "west".into(), locality: Locality::default() },
        addresses: vec!["10.244.0.5".parse().unwrap()],
    }
}

pub(crate) fn id(account: &str) -> SpiffeId {
    SpiffeId::parse(&format!("spiffe://leno.demo/ns/default/sa/{account}")).unwrap()
}

pub(crate) fn service(name: &str) -> (ResourceKey, Resource) {
    let service = Service {
        host: host(name),
        namespace: "default".into(),
        name: name.split('.').next().unwrap().into(),
        address: Some(mesh_only_candidate(name, 0)),
        ports: vec![ServicePort {
            port: 80,
            target_port: 8080,
            protocol: Protocol::Http1,
            name: "http".into(),
        }],
        global: true,
        failover_order: Vec::new(),
    };
    (ResourceKey::Service(host(name)), Resource::Service(service))
}

pub(crate) fn slice(name: &str, index: u32, uids: &[&str]) -> (ResourceKey, Resource) {
    let endpoint = |uid: &&str| Endpoint {
        uid: (*uid).into(),
        address: "10.244.0.9".parse().unwrap(),
        port: 0,
        reach: Reach::Native,
        cluster: "west".into(),
        locality: Locality::default(),
        identities: vec![id("server")],
        gateway_identity: None,
        weight: 1,
        state: EndpointState::Ready,
    };
    let slice = EndpointSlice { host: host(name), index, endpoints: uids.iter().map(endpoint).collect() };
    (ResourceKey::Slice(host(name), index), Resource::Slice(slice))
}

/// A store that knows which names are the mesh's.
pub(crate) fn configured(suffix: &str) -> Arc<Store> {
    let store = Store::new(&me());
    let names = Names { suffixes: vec![suffix.into()], ..Names::default() };
    let upserts = vec![(ResourceKey::Names, Resource::Names(names))];
    store.apply(Change { upserts, ..Change::default() });
    store
}
