//! One `Gateway`, whichever class it is of.

use super::client_traffic;
use super::gateway_tls::{self, GatewayTls};
use super::host::host_match;
use super::listener_set::{SetListener, listeners_of_sets};
use super::{Unit, WorldReader};
use crate::world::inputs::Pair;
use api::kinds::gateway::{BIND_ADDRESS, CLASS, EAST_WEST_CLASS, GatewaySpec, Listener};
use api::{Object, Spec};
use model::listener::{Gateway, GatewayListener, ListenerProtocol};
use model::listener_tls::{KeyPair, ListenerTls};
use model::{Code, Finding, ObjectRef, Subscription};
use std::net::IpAddr;
use std::sync::Arc;

/// A gateway and what serves it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CompiledGateway {
    class: Arc<str>,
    gateway: Gateway,
    key_pairs: Vec<KeyPair>,
}

impl CompiledGateway {
    /// All of them, those of sets too.
    pub(super) fn listeners(&self) -> &[GatewayListener] {
        &self.gateway.listeners
    }
}

pub(crate) struct GatewayUnit;

impl Unit for GatewayUnit {
    type Key = Pair;
    type Output = CompiledGateway;

    fn keys(object: &Object) -> Vec<Pair> {
        match &object.spec {
            // The last two may come to be the name of what Istio's Gateways ask for.
            Spec::Gateway(_) | Spec::IstioGateway(_) | Spec::WorkloadGroup(_) => {
                vec![(object.meta.namespace.clone(), object.meta.name.clone())]
            }
            _ => Vec::new(),
        }
    }

    fn compile((namespace, name): &Pair, read: &WorldReader<'_>) -> Option<CompiledGateway> {
        let Some(object) = read.own_object(&ObjectRef::new("Gateway", namespace, name)) else {
            return of_istio(namespace, name, read);
        };
        let Spec::Gateway(spec) = &object.spec else { return None };
        let address = object.meta.annotations.get(BIND_ADDRESS).and_then(|text| text.parse().ok());
        let GatewayTls { listeners: tls, mut key_pairs, .. } = gateway_tls::resolve(object, spec, read);
        let own = spec.listeners.iter().zip(tls);
        let own = own
            .map(|(listener, tls)| gateway_listener(listener.name.as_str().into(), listener, address, tls));
        let mut listeners: Vec<GatewayListener> = own.collect();
        for SetListener { set, listener, name } in listeners_of_sets(object, spec, read).0 {
            let GatewayTls { listeners: tls, key_pairs: more, .. } = set_tls(set, listener, spec, read);
            key_pairs.extend(more.into_iter().filter(|pair| !key_pairs.contains(pair)).collect::<Vec<_>>());
            listeners.push(gateway_listener(name, listener, address, tls.into_iter().next().flatten()));
        }
        client_traffic::apply(&(namespace.clone(), name.clone()), &mut listeners, read);
        let gateway = Gateway { namespace: namespace.clone(), name: name.clone(), listeners };
        Some(CompiledGateway { class: spec.gateway_class_name.as_str().into(), gateway, key_pairs })
    }

    /// Its class decides what its proxies see: exports too.
    fn touches(
        (namespace, name): &Pair,
        _old: Option<&CompiledGateway>,
        _new: Option<&CompiledGateway>,
        _read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        let (namespace, name) = (namespace.clone(), name.clone());
        vec![Subscription::Gateway { namespace, name }, Subscription::Exports]
    }

    fn findings((namespace, name): &Pair, read: &WorldReader<'_>) -> Vec<Finding> {
        let Some(object) = read.own_object(&ObjectRef::new("Gateway", namespace, name)) else {
            return Vec::new();
        };
        let Spec::Gateway(spec) = &object.spec else { return Vec::new() };
        let class = spec.gateway_class_name.as_str();
        if class == CLASS {
            let sets = listeners_of_sets(object, spec, read).0.into_iter();
            let of_sets = sets.flat_map(|taken| set_tls(taken.set, taken.listener, spec, read).findings);
            return gateway_tls::resolve(object, spec, read).findings.into_iter().chain(of_sets).collect();
        }
        if class == EAST_WEST_CLASS {
            return Vec::new();
        }
        let cause =
            format!("gatewayClassName `{class}` is none of Leno's, so nothing here serves this gateway");
        // Who means ours has slipped; who names another's class may well mean that one.
        let (code, fix) = match api::suggest::nearest(class, &[CLASS, EAST_WEST_CLASS]) {
            Some(near) => (Code::ReferenceNotFound, format!("did you mean `{near}`?")),
            None => (
                Code::Foreign,
                "nothing needs to be done if another controller serves it; for Leno write `leno`".into(),
            ),
        };
        vec![Finding::new(code, &object.at(spec.line), cause, fix)]
    }
}

fn gateway_listener(
    name: Arc<str>,
    listener: &Listener,
    address: Option<IpAddr>,
    tls: Option<Arc<ListenerTls>>,
) -> GatewayListener {
    GatewayListener {
        name,
        port: listener.port,
        protocol: protocol(&listener.protocol),
        host: listener.hostname.as_deref().and_then(host_match),
        address,
        tls,
        client: None,
    }
}

/// TLS of a listener of a set: its certificates are the set's to name, what callers must show is the gateway's to say.
fn set_tls(set: &Object, listener: &Listener, spec: &GatewaySpec, read: &WorldReader<'_>) -> GatewayTls {
    let alone =
        GatewaySpec { listeners: vec![listener.clone()], tls: spec.tls.clone(), ..GatewaySpec::default() };
    gateway_tls::resolve(set, &alone, read)
}

/// What the document says; a checked one says nothing else.
fn protocol(text: &str) -> ListenerProtocol {
    match text {
        "HTTPS" => ListenerProtocol::Https,
        "TLS" => ListenerProtocol::Tls,
        "TCP" => ListenerProtocol::Tcp,
        "UDP" => ListenerProtocol::Udp,
        _ => ListenerProtocol::Http,
    }
}

/// What Istio's Gateways ask of the proxies of this name.
fn of_istio(namespace: &Arc<str>, name: &Arc<str>, read: &WorldReader<'_>) -> Option<CompiledGateway> {
    let servers = read.istio_servers(&(namespace.clone(), name.clone()))?;
    let listeners = servers.listeners().cloned().collect();
    let gateway = Gateway { namespace: namespace.clone(), name: name.clone(), listeners };
    Some(CompiledGateway { class: CLASS.into(), gateway, key_pairs: servers.key_pairs().to_vec() })
}

/// A gateway for callers from outside.
pub(crate) fn edge_gateway<'w>(key: &Pair, read: &WorldReader<'w>) -> Option<&'w Gateway> {
    read.gateway(key).filter(|entry| *entry.class == *CLASS).map(|entry| &entry.gateway)
}

/// The key pairs that the listeners of a gateway for callers from outside name.
pub(crate) fn key_pairs<'w>(key: &Pair, read: &WorldReader<'w>) -> &'w [KeyPair] {
    read.gateway(key).filter(|entry| *entry.class == *CLASS).map_or(&[], |entry| &entry.key_pairs)
}

/// Whether a gateway is one between networks.
pub(crate) fn is_east_west(key: &Pair, read: &WorldReader<'_>) -> bool {
    read.gateway(key).is_some_and(|entry| *entry.class == *EAST_WEST_CLASS)
}

/// The first gateway between networks, by namespace and name. Not noted.
pub(crate) fn first_east_west<'w>(read: &WorldReader<'w>) -> Option<&'w Pair> {
    read.outputs().gateway.keys().find(|key| is_east_west(key, read))
}
