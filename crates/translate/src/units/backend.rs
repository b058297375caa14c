//! One `Backend`: plaintext to fixed addresses. Only routes lead to it: nobody looks it up by name.

use super::host::{CompiledHost, backend_host, endpoints_touch, entry_touches, slices};
use super::{Unit, WorldReader};
use crate::ports::protocol_of_name;
use crate::slices::Slices;
use crate::world::inputs::Pair;
use api::kinds::backend::BackendSpec;
use api::{Object, Spec};
use model::service::{Endpoint, EndpointProfile, EndpointState, Protocol, Reach, ServicePort};
use model::{ObjectRef, Subscription};
use std::net::SocketAddr;
use std::sync::Arc;

pub(crate) struct BackendUnit;

impl Unit for BackendUnit {
    type Key = Pair;
    type Output = CompiledHost;

    fn keys(object: &Object) -> Vec<Pair> {
        match &object.spec {
            Spec::Backend(_) => vec![(object.meta.namespace.clone(), object.meta.name.clone())],
            _ => Vec::new(),
        }
    }

    fn compile(key: &Pair, read: &WorldReader<'_>) -> Option<CompiledHost> {
        let (object, spec) = own(key, read)?;
        let first = spec.addresses.first()?;
        let protocol = spec.protocol.as_deref().and_then(protocol_of_name).unwrap_or(Protocol::Http1);
        let port = ServicePort { port: first.port, target_port: first.port, protocol, name: "".into() };
        CompiledHost::new(object, &backend_host(key)?, vec![port])
    }

    fn touches(
        _key: &Pair,
        old: Option<&CompiledHost>,
        new: Option<&CompiledHost>,
        read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        entry_touches(old, new, read)
    }
}

fn own<'w>((namespace, name): &Pair, read: &WorldReader<'w>) -> Option<(&'w Object, &'w BackendSpec)> {
    let object = read.own_object(&ObjectRef::new("Backend", namespace, name))?;
    match &object.spec {
        Spec::Backend(spec) => Some((object, spec)),
        _ => None,
    }
}

/// The addresses of a `Backend`.
pub(crate) struct BackendEndpointsUnit;

impl Unit for BackendEndpointsUnit {
    type Key = Pair;
    type Output = Slices;

    fn keys(object: &Object) -> Vec<Pair> {
        BackendUnit::keys(object)
    }

    fn compile(key: &Pair, read: &WorldReader<'_>) -> Option<Slices> {
        let host = &read.backend(key)?.service.host;
        let (_, spec) = own(key, read)?;
        let place = read.local_cluster(&())?;
        let profile = Arc::new(EndpointProfile {
            reach: Reach::Plain,
            cluster: place.cluster.clone(),
            locality: place.locality.clone(),
            identities: Vec::new(),
            gateway_identity: None,
            plaintext_ports: Vec::new(),
        });
        let endpoints = spec.addresses.iter().filter_map(|address| {
            let ip = address.ip()?;
            Some(Endpoint {
                uid: format!("{host}/{}", SocketAddr::new(ip, address.port)).into(),
                address: ip,
                port: address.port,
                weight: 1,
                state: EndpointState::Ready,
                profile: Arc::clone(&profile),
            })
        });
        slices(endpoints)
    }

    fn touches(
        key: &Pair,
        _old: Option<&Slices>,
        _new: Option<&Slices>,
        read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        backend_host(key).map_or_else(Vec::new, |host| endpoints_touch(&host, false, read))
    }
}
