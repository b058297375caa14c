//! Model values for the tests of this crate.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use crate::snapshot::{LocalNode, SnapshotChange, SnapshotStore};
use decide::balance::ProxyLocality;
use model::address::mesh_only_candidate;
use model::names::Names;
use model::service::{EndpointSlice, Service};
use model::{Locality, Resource, ResourceKey};
use std::sync::Arc;

pub(crate) use fixtures::mesh::{host, id};

pub(crate) fn me() -> LocalNode {
    LocalNode {
        uid: "me".into(),
        namespace: "default".into(),
        group: "client".into(),
        network: "west".into(),
        place: ProxyLocality { cluster: "west".into(), locality: Locality::default() },
        addresses: vec!["10.244.0.5".parse().unwrap()],
    }
}

pub(crate) fn service(name: &str) -> (ResourceKey, Resource) {
    let service = Service { address: Some(mesh_only_candidate(name, 0)), ..fixtures::mesh::service(name) };
    (ResourceKey::Service(host(name)), Resource::Service(service))
}

pub(crate) fn slice(name: &str, index: u32, uids: &[&str]) -> (ResourceKey, Resource) {
    let endpoint = |uid: &&str| fixtures::mesh::endpoint(uid, "10.244.0.9".parse().unwrap());
    let slice = EndpointSlice { host: host(name), index, endpoints: uids.iter().map(endpoint).collect() };
    (ResourceKey::Slice(host(name), index), Resource::Slice(slice))
}

/// A store that knows which names are the mesh's.
pub(crate) fn configured(suffix: &str) -> Arc<SnapshotStore> {
    let store = SnapshotStore::new(&me());
    let names = Names { suffixes: vec![suffix.into()], ..Names::default() };
    let upserts = vec![(ResourceKey::Names, Resource::Names(names))];
    store.apply(SnapshotChange { upserts, ..SnapshotChange::default() });
    store
}

/// A body of pieces in hand.
pub(crate) struct Pieces(std::collections::VecDeque<http_body::Frame<bytes::Bytes>>);

impl Pieces {
    pub(crate) fn new(pieces: &[&str], trailers: Option<http::HeaderMap>) -> Self {
        let data = pieces
            .iter()
            .map(|piece| http_body::Frame::data(bytes::Bytes::copy_from_slice(piece.as_bytes())));
        Self(data.chain(trailers.map(http_body::Frame::trailers)).collect())
    }
}

impl http_body::Body for Pieces {
    type Data = bytes::Bytes;
    type Error = codec::BodyError;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, codec::BodyError>>> {
        std::task::Poll::Ready(self.get_mut().0.pop_front().map(Ok))
    }
}
