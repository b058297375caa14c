//! One `Backend`: fixed addresses, or names that proxies resolve. Only routes lead to it: nobody looks it up by name.

use super::host::{CompiledHost, backend_host, endpoints_touch, entry_touches, slices};
use super::{Unit, WorldReader};
use crate::outside::{plain, plain_profile, resolvers, unreadable_resolvers};
use crate::ports::protocol_of_name;
use crate::slices::Slices;
use crate::world::inputs::Pair;
use api::kinds::backend::{BackendAddress, BackendSpec};
use api::{Object, Spec};
use model::external::{ExternalService, NamedEndpoint, Resolution};
use model::service::{Protocol, ServicePort};
use model::{Finding, Hostname, Locality, ObjectRef, Subscription};
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
        let protocol = match spec.protocol.as_deref() {
            Some("udp") => Protocol::Udp,
            declared => declared.and_then(protocol_of_name).unwrap_or(Protocol::Http1),
        };
        let port = ServicePort { port: first.port, target_port: first.port, protocol, name: "".into() };
        let mut entry = CompiledHost::new(object, &backend_host(key)?, vec![port])?;
        entry.service.external = by_name(object, spec).map(Box::new);
        Some(entry)
    }

    fn touches(
        _key: &Pair,
        old: Option<&CompiledHost>,
        new: Option<&CompiledHost>,
        read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        entry_touches(old, new, read)
    }

    fn findings(key: &Pair, read: &WorldReader<'_>) -> Vec<Finding> {
        own(key, read).and_then(|(object, _)| unreadable_resolvers(object)).into_iter().collect()
    }
}

fn own<'w>((namespace, name): &Pair, read: &WorldReader<'w>) -> Option<(&'w Object, &'w BackendSpec)> {
    let object = read.own_object(&ObjectRef::new("Backend", namespace, name))?;
    match &object.spec {
        Spec::Backend(spec) => Some((object, spec)),
        _ => None,
    }
}

/// Endpoints that are called by name; `None`: there are none.
fn by_name(object: &Object, spec: &BackendSpec) -> Option<ExternalService> {
    let named = |address: &BackendAddress| {
        let host = Hostname::parse(&address.host).filter(|_| address.ip().is_none())?;
        Some(NamedEndpoint { host, port: address.port, weight: 1, locality: Locality::default() })
    };
    let names: Vec<NamedEndpoint> = spec.addresses.iter().filter_map(named).collect();
    let (resolution, resolvers) = (Resolution::Dns, resolvers(object).unwrap_or_default());
    (!names.is_empty()).then(|| ExternalService {
        resolution,
        names,
        resolvers,
        ..ExternalService::default()
    })
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
        let profile = plain_profile(None, place);
        let endpoint = |address: &BackendAddress| {
            Some(plain(host, address.ip()?, address.port, 1, Arc::clone(&profile)))
        };
        slices(spec.addresses.iter().filter_map(endpoint))
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
