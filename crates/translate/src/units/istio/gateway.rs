//! One Istio `Gateway`: the servers that it asks for, as listeners. Which proxies open them is in `servers`.

use super::name::HostPattern;
use crate::units::{Unit, WorldReader};
use crate::world::inputs::Pair;
use api::fields::server_tls::{ServerTlsMode, ServerTlsSpec};
use api::kinds::istio_gateway::{IstioGatewaySpec, ServerProtocol, ServerSpec, server_host};
use api::{Object, Spec};
use model::listener::{GatewayListener, ListenerProtocol};
use model::{ObjectRef, Subscription};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How Istio's Gateway is called in an `ObjectRef`.
pub(super) const KIND: &str = "Gateway.networking.istio.io";

/// What an Istio `Gateway` is compiled to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CompiledIstioGateway {
    /// Labels of the groups whose proxies serve it.
    pub(super) selector: BTreeMap<String, String>,
    /// One for each host of each server.
    pub(super) servers: Vec<ServerListener>,
}

/// A listener, and for which `VirtualService`s it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ServerListener {
    pub(super) listener: GatewayListener,
    pub(super) host: HostPattern,
    /// Of these.
    pub(super) from: ServerScope,
    /// Requests are sent to HTTPS.
    pub(super) redirects: bool,
    /// What is said of TLS, whose certificates depend on where the proxies are; `None`: plaintext.
    pub(super) tls: Option<Arc<ServerTlsSpec>>,
    /// Line of the server in its file.
    pub(super) line: u32,
}

/// The namespaces whose `VirtualService`s a server is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ServerScope {
    All,
    None,
    Only(Arc<str>),
}

impl ServerScope {
    pub(super) fn has(&self, namespace: &Arc<str>) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Only(own) => own == namespace,
        }
    }
}

pub(crate) struct IstioGatewayUnit;

impl Unit for IstioGatewayUnit {
    type Key = Pair;
    type Output = CompiledIstioGateway;

    fn keys(object: &Object) -> Vec<Pair> {
        match &object.spec {
            Spec::IstioGateway(_) => vec![(object.meta.namespace.clone(), object.meta.name.clone())],
            _ => Vec::new(),
        }
    }

    fn compile(key: &Pair, read: &WorldReader<'_>) -> Option<CompiledIstioGateway> {
        let (_, spec) = own(key, read)?;
        let servers = spec.servers.iter().zip(0..).flat_map(|(server, index)| listeners(key, server, index));
        Some(CompiledIstioGateway { selector: spec.selector.clone(), servers: servers.collect() })
    }

    fn touches(
        _key: &Pair,
        _old: Option<&CompiledIstioGateway>,
        _new: Option<&CompiledIstioGateway>,
        _read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        Vec::new()
    }
}

pub(super) fn own<'w>(
    (namespace, name): &Pair,
    read: &WorldReader<'w>,
) -> Option<(&'w Object, &'w IstioGatewaySpec)> {
    let object = read.own_object(&ObjectRef::new(KIND, namespace, name))?;
    match &object.spec {
        Spec::IstioGateway(spec) => Some((object, spec)),
        _ => None,
    }
}

fn passes_on(tls: &ServerTlsSpec) -> bool {
    matches!(tls.effective_mode(), ServerTlsMode::Passthrough | ServerTlsMode::AutoPassthrough)
}

/// `None`: it cannot be served.
fn protocol(server: &ServerSpec) -> Option<ListenerProtocol> {
    match server.port.server_protocol()? {
        ServerProtocol::Http => Some(ListenerProtocol::Http),
        ServerProtocol::Tcp => Some(ListenerProtocol::Tcp),
        ServerProtocol::Https if server.tls.as_ref().is_some_and(|tls| !passes_on(tls)) => {
            Some(ListenerProtocol::Https)
        }
        ServerProtocol::Https | ServerProtocol::Tls => server.tls.as_ref().map(|_| ListenerProtocol::Tls),
    }
}

fn listeners(gateway: &Pair, server: &ServerSpec, index: usize) -> Vec<ServerListener> {
    let Some(protocol) = protocol(server) else { return Vec::new() };
    let (namespace, name) = gateway;
    let in_tls = matches!(protocol, ListenerProtocol::Https | ListenerProtocol::Tls);
    let tls = server.tls.as_deref().filter(|_| in_tls).map(|tls| Arc::new(tls.clone()));
    let mut listeners = Vec::new();
    for (text, place) in server.hosts.iter().zip(0..) {
        let (scope, host) = server_host(text);
        let Some(host) = HostPattern::new(host, namespace) else { continue };
        listeners.push(ServerListener {
            listener: GatewayListener {
                name: format!("{namespace}.{name}.{index}.{place}").into(),
                port: server.port.number,
                protocol,
                host: host.host_match().filter(|_| protocol.is_http() || protocol == ListenerProtocol::Tls),
                address: server.bind.as_deref().and_then(|bind| bind.parse().ok()),
                tls: None,
                client: None,
            },
            host,
            from: match scope {
                None | Some("*") => ServerScope::All,
                Some("~") => ServerScope::None,
                Some(".") => ServerScope::Only(namespace.clone()),
                Some(other) => ServerScope::Only(other.into()),
            },
            // In TLS, requests are where they are sent to.
            redirects: !in_tls && server.tls.as_ref().is_some_and(|tls| tls.https_redirect == Some(true)),
            tls: tls.clone(),
            line: server.line,
        });
    }
    listeners
}
