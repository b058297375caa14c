//! Where a `VirtualService` counts: at the ports of the hosts of the mesh that it has won, and at the listeners of the
//! gateways that it names.

use crate::units::host::find_host;
use crate::units::istio::claims::{VirtualClaims, winner};
use crate::units::istio::gateway::{KIND, ServerScope};
use crate::units::istio::name::{Audience, HostPattern};
use crate::units::istio::servers::SharedListener;
use crate::units::missing::RouteFindings;
use crate::units::{Topic, UnitKey, WorldReader};
use crate::world::inputs::Pair;
use api::Object;
use api::kinds::virtual_service::{MESH, VirtualServiceSpec};
use model::listener::ListenerProtocol;
use model::listener_tls::TlsMode;
use model::route::{HostMatch, Parent};
use model::service::Protocol;
use model::{Code, Finding, Hostname, ObjectRef, Subscription};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One place.
pub(super) struct Place {
    /// What rules hang on there.
    pub(super) parent: Parent,
    /// The port that is called.
    pub(super) port: u16,
    gateway: GatewayName,
    /// The object names this gateway for all its routes, and not only for some matches.
    is_named_for_all: bool,
    /// What is spoken there.
    pub(super) protocol: PlaceProtocol,
    /// The namespace whose callers alone it is for.
    pub(super) consumer: Option<Arc<str>>,
    /// Names of hosts, at a gateway; empty: all.
    pub(super) hosts: Vec<HostMatch>,
    /// Requests are sent to HTTPS instead.
    pub(super) redirects: bool,
    /// How many places before it have the same parent: of several namespaces it is exported to, or of several gateways
    /// that ask for one listener.
    pub(super) turn: u32,
}

/// What is spoken at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlaceProtocol {
    Http,
    Tcp,
    /// TLS that is passed on, at a gateway: routes by server name alone count.
    Tls,
    /// Opaque bytes at a gateway, whose TLS has ended there if there was any: routes by server name do not count.
    Decrypted,
    /// The first bytes tell.
    Either,
}

/// As `gateways` names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum GatewayName {
    Mesh,
    Gateway(Pair),
}

impl GatewayName {
    fn new(text: &str, namespace: &Arc<str>) -> Self {
        match text.split_once('/') {
            _ if text == MESH => Self::Mesh,
            Some((namespace, name)) => Self::Gateway((namespace.into(), name.into())),
            None => Self::Gateway((namespace.clone(), text.into())),
        }
    }
}

impl Place {
    /// Whether a match with these `gateways`, of an object of `namespace`, counts here.
    pub(super) fn is_named(&self, gateways: &[String], namespace: &Arc<str>) -> bool {
        match gateways {
            [] => self.is_named_for_all,
            named => named.iter().any(|name| GatewayName::new(name, namespace) == self.gateway),
        }
    }
}

/// All of them.
pub(super) fn places(
    key: &Pair,
    object: &Object,
    spec: &VirtualServiceSpec,
    read: &WorldReader<'_>,
    findings: &mut RouteFindings,
) -> Vec<Place> {
    let Some(claims) = read.virtual_claims(key) else { return Vec::new() };
    let mut places = mesh_places(key, object, spec, claims, read, findings);
    let namespace = &object.meta.namespace;
    let named_for_all: BTreeSet<GatewayName> =
        spec.gateways.iter().map(|name| GatewayName::new(name, namespace)).collect();
    let of_matches = spec.http.iter().flat_map(|route| &route.matches).flat_map(|one| &one.gateways);
    let of_tcp = spec.tcp.iter().flat_map(|route| &route.matches).flat_map(|one| &one.gateways);
    let of_tls = spec.tls.iter().flat_map(|route| &route.matches).flat_map(|one| &one.gateways);
    let mut all = named_for_all.clone();
    all.extend(of_matches.chain(of_tcp).chain(of_tls).map(|name| GatewayName::new(name, namespace)));
    for gateway in all {
        let GatewayName::Gateway(pair) = &gateway else { continue };
        let is_named_for_all = named_for_all.contains(&gateway);
        places.extend(gateway_places(pair, is_named_for_all, object, spec, claims, read, findings));
    }
    let mut turns: BTreeMap<Parent, u32> = BTreeMap::new();
    for place in &mut places {
        let next = turns.entry(place.parent.clone()).or_default();
        place.turn = *next;
        *next += 1;
    }
    places
}

fn mesh_places(
    key: &Pair,
    object: &Object,
    spec: &VirtualServiceSpec,
    claims: &VirtualClaims,
    read: &WorldReader<'_>,
    findings: &mut RouteFindings,
) -> Vec<Place> {
    let mut places = Vec::new();
    for host in claims.hosts.iter().flat_map(|pattern| pattern.hosts(read)) {
        if winner(&host, &claims.audience, read) != Some(key) {
            continue;
        }
        let before = read.members(Topic::Under(Subscription::Host(host.clone())));
        if let Some(route) = before.into_iter().find_map(of_gateway_api) {
            let cause = format!(
                "has no effect on {host}: {route} is attached to it, and counts before Istio's kinds"
            );
            let fix = "move what it says into that route, or remove the route";
            findings.push((Finding::new(Code::RouteConflict, &object.at(spec.line), cause, fix), None));
        } else {
            places.extend(ports(&host, &claims.audience, read));
        }
    }
    places
}

/// The route for requests that a unit is.
fn of_gateway_api(unit: &UnitKey) -> Option<ObjectRef> {
    match unit {
        UnitKey::HttpRoute((namespace, name)) => Some(ObjectRef::new("HTTPRoute", namespace, name)),
        UnitKey::GrpcRoute((namespace, name)) => Some(ObjectRef::new("GRPCRoute", namespace, name)),
        _ => None,
    }
}

/// The ports of a host of the mesh, for each namespace that it is exported to.
fn ports(host: &Hostname, audience: &Audience, read: &WorldReader<'_>) -> Vec<Place> {
    let consumers: Vec<Option<Arc<str>>> = match audience {
        Audience::All => vec![None],
        Audience::Namespaces(namespaces) => namespaces.iter().cloned().map(Some).collect(),
    };
    let mut places = Vec::new();
    for port in find_host(host, read).into_iter().flat_map(|entry| &entry.service.ports) {
        let protocol = match port.protocol {
            Protocol::Http1 | Protocol::Http2 => PlaceProtocol::Http,
            Protocol::Tcp => PlaceProtocol::Tcp,
            Protocol::Undeclared => PlaceProtocol::Either,
            Protocol::Udp => continue,
        };
        for consumer in &consumers {
            places.push(Place {
                parent: Parent::Service { host: host.clone(), port: port.port },
                port: port.port,
                gateway: GatewayName::Mesh,
                is_named_for_all: true,
                protocol,
                consumer: consumer.clone(),
                hosts: Vec::new(),
                redirects: false,
                turn: 0,
            });
        }
    }
    places
}

/// The listeners of a gateway that are for a host of the object.
fn gateway_places(
    gateway: &Pair,
    is_named_for_all: bool,
    object: &Object,
    spec: &VirtualServiceSpec,
    claims: &VirtualClaims,
    read: &WorldReader<'_>,
    findings: &mut RouteFindings,
) -> Vec<Place> {
    let (namespace, name) = gateway;
    let target = ObjectRef::new(KIND, namespace, name);
    if read.object(&target).is_none() {
        let cause = format!("gateway {target} does not exist, so nothing comes from there");
        findings.push((Finding::new(Code::ParentNotFound, &object.at(spec.line), cause, ""), Some(target)));
        return Vec::new();
    }
    let mut places = Vec::new();
    for unit in read.members(Topic::ServersOf(gateway.clone())) {
        let UnitKey::IstioServers(proxies) = unit else { continue };
        if !claims.audience.has(&proxies.0) {
            continue;
        }
        let listeners = read.istio_servers(proxies).into_iter().flat_map(|servers| &servers.listeners);
        places.extend(listeners.filter_map(|shared| {
            let is_for =
                |(of, scope): &(Pair, ServerScope)| of == gateway && scope.has(&object.meta.namespace);
            let hosts = shared.gateways.iter().any(is_for).then(|| hosts(object, spec, shared))??;
            Some(Place {
                parent: Parent::Gateway {
                    namespace: proxies.0.clone(),
                    name: proxies.1.clone(),
                    listener: shared.listener.name.clone(),
                },
                port: shared.listener.port,
                gateway: GatewayName::Gateway(gateway.clone()),
                is_named_for_all,
                protocol: match (shared.listener.protocol, shared.listener.tls.as_ref().map(|tls| tls.mode)) {
                    (ListenerProtocol::Http | ListenerProtocol::Https, _) => PlaceProtocol::Http,
                    (_, Some(TlsMode::Passthrough)) => PlaceProtocol::Tls,
                    _ => PlaceProtocol::Decrypted,
                },
                consumer: None,
                hosts,
                redirects: shared.redirects,
                turn: 0,
            })
        }));
    }
    if places.is_empty() {
        let cause =
            format!("no server of {target} is for a host that is named here, so nothing comes from there");
        let fix = "let `hosts` of a server cover one of `spec.hosts`";
        findings.push((Finding::new(Code::ParentNotFound, &object.at(spec.line), cause, fix), None));
    }
    places
}

/// The hosts of the object that a listener is for, as its rules name them; `None`: it is for none of them.
fn hosts(object: &Object, spec: &VirtualServiceSpec, shared: &SharedListener) -> Option<Vec<HostMatch>> {
    let own = spec.hosts.iter().filter_map(|text| HostPattern::new(text, &object.meta.namespace));
    let common: Vec<HostPattern> = own.filter_map(|own| own.common(&shared.host)).collect();
    if common.is_empty() {
        return None;
    }
    // One that means all hosts leaves nothing to compare.
    Some(common.iter().map(HostPattern::host_match).collect::<Option<Vec<_>>>().unwrap_or_default())
}
