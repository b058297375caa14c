//! Gateway API `Gateway` (v1, v1beta1). What does not work yet gives a finding.

pub mod tls;

use self::tls::{GatewayTlsSpec, ListenerTlsSpec};
use super::{GATEWAY_GROUP, KindSpec, ObjectKind};
use crate::decode::{Ignored, Unsupported, UnsupportedField};
use crate::fields::selector::LabelSelector;
use crate::meta::Meta;
use crate::syntax;
use crate::validation::ValidationReport;
use model::Code;
use model::address::{PORT_MESH, is_proxy_port};
use serde::Deserialize;
use std::collections::HashSet;
use std::net::IpAddr;

/// The class of gateways for callers from outside.
pub const CLASS: &str = "leno";
/// The class of gateways between networks; its listeners carry the mesh's own transport.
pub const EAST_WEST_CLASS: &str = "leno-east-west";
/// Annotation: the address that all listeners bind, instead of all.
pub const BIND_ADDRESS: &str = "leno.dev/bind-address";

/// Of filters that a listener runs before any route is chosen.
pub(crate) const FILTERS_FIX: &str = "remove it, and let an AuthorizationPolicy of the Gateway say who may call; without either everybody passes";
/// Kinds of routes that listeners may name in `allowedRoutes.kinds`.
const ROUTE_KINDS: &[&str] = &["HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute", "UDPRoute"];

/// `Gateway` `spec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewaySpec {
    /// `leno` or `leno-east-west`.
    pub gateway_class_name: String,
    /// 1 to 64.
    pub listeners: Vec<Listener>,
    /// Not supported yet.
    #[serde(default)]
    pub addresses: Option<Unsupported>,
    /// Ignored, with a warning.
    #[serde(default)]
    pub infrastructure: Option<Ignored>,
    /// Which ListenerSets may add to the listeners; absent: none.
    #[serde(default)]
    pub allowed_listeners: Option<AllowedListeners>,
    /// Not supported yet.
    #[serde(default)]
    pub default_scope: Option<Unsupported>,
    /// What callers must show in TLS.
    #[serde(default)]
    pub tls: Option<GatewayTlsSpec>,
    /// Line of `spec`.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

impl KindSpec for GatewaySpec {
    const KIND: ObjectKind = ObjectKind {
        kind: "Gateway",
        plural: "gateways",
        singular: "gateway",
        short: &["gtw"],
        group: GATEWAY_GROUP,
        versions: &["v1", "v1beta1"],
        namespaced: true,
        doc: "Where callers from outside, or from another network, come in",
        columns: &[("CLASS", "spec.gatewayClassName"), ("PORTS", "spec.listeners[].port")],
    };
    const UNSUPPORTED: &'static [UnsupportedField] = &[
        UnsupportedField {
            path: "spec.addresses",
            fix: "remove it, and name the address to listen on in the annotation `leno.dev/bind-address`",
        },
        UnsupportedField { path: "].filters", fix: FILTERS_FIX },
        UnsupportedField { path: "selector.matchExpressions", fix: "say the same with `matchLabels`" },
        UnsupportedField {
            path: "spec.tls.backend",
            fix: "remove it; no certificate is shown to backends yet",
        },
    ];

    fn check(&self, meta: &Meta, report: &mut ValidationReport<'_>) {
        report.subdomain("spec.gatewayClassName", &self.gateway_class_name);
        if let Some(address) = meta.annotations.get(BIND_ADDRESS)
            && address.parse::<IpAddr>().is_err()
        {
            let cause = format!("has `{BIND_ADDRESS}: {address}`, which is no IP address");
            report.bad("metadata.annotations", &cause, "write an IP address such as 127.0.0.1");
        }
        let east_west = self.gateway_class_name == EAST_WEST_CLASS;
        if east_west && meta.annotations.contains_key(BIND_ADDRESS) {
            let cause = format!("has `{BIND_ADDRESS}`, which has no effect on an east-west gateway");
            report.no_effect(
                "metadata.annotations",
                &cause,
                "remove it: the mesh transport is on all addresses",
            );
        }
        if let Some(tls) = &self.tls {
            tls.check(report);
        }
        if let Some(namespaces) =
            self.allowed_listeners.as_ref().and_then(|allowed| allowed.namespaces.as_ref())
        {
            let selects = namespaces.from == Some(FromListenerNamespaces::Selector);
            selector(selects, namespaces.selector.as_ref(), "spec.allowedListeners.namespaces", report);
        }
        if !east_west {
            return check_listeners(&self.listeners, report);
        }
        places(&self.listeners, report);
        for (index, listener) in self.listeners.iter().enumerate() {
            let at = format!("spec.listeners[{index}]");
            no_effect_between_networks(listener, &at, report);
            one_listener(listener, &at, report);
        }
    }
}

/// Checks listeners for callers from outside.
pub(super) fn check_listeners(listeners: &[Listener], report: &mut ValidationReport<'_>) {
    places(listeners, report);
    for (index, listener) in listeners.iter().enumerate() {
        let at = format!("spec.listeners[{index}]");
        outward(listener, &at, report);
        one_listener(listener, &at, report);
    }
}

/// Each has a name of its own, and stands beside the others.
fn places(listeners: &[Listener], report: &mut ValidationReport<'_>) {
    const LISTENERS_MAX: usize = 64;
    if listeners.is_empty() {
        report.refuse(Code::MissingField, "spec.listeners", "is empty", "add a listener");
    }
    report.at_most("spec.listeners", listeners.len(), LISTENERS_MAX);
    let mut names = HashSet::new();
    for (index, listener) in listeners.iter().enumerate() {
        let at = format!("spec.listeners[{index}]");
        if !names.insert(listener.name.as_str()) {
            let cause = format!("`{}` occurs twice", listener.name);
            report.bad(&format!("{at}.name"), &cause, "use another name");
        }
        let mut before = listeners.iter().take(index);
        if let Some(why) = before.find_map(|other| listener.conflict(other)) {
            report.bad(&at, why, "use another port or hostname");
        }
    }
}

/// `allowedListeners`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AllowedListeners {
    /// Absent: none.
    pub namespaces: Option<ListenerNamespaces>,
}

/// `allowedListeners.namespaces`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListenerNamespaces {
    /// Absent: `None`.
    pub from: Option<FromListenerNamespaces>,
    /// With `Selector`: labels of namespaces.
    pub selector: Option<LabelSelector>,
}

/// Where ListenerSets may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum FromListenerNamespaces {
    /// Any namespace.
    All,
    /// Namespaces with the labels.
    Selector,
    /// The gateway's own.
    Same,
    /// Nowhere.
    None,
}

/// One listener.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// Unique in the gateway.
    pub name: String,
    /// `*.example.com` or a name; absent: all.
    #[serde(default)]
    pub hostname: Option<String>,
    /// 1 to 65535.
    pub port: u16,
    /// `HTTP`, `HTTPS`, `TLS`, `TCP` or `UDP`.
    pub protocol: String,
    /// Of protocols HTTPS and TLS.
    #[serde(default)]
    pub tls: Option<ListenerTlsSpec>,
    /// Which routes may attach.
    #[serde(default)]
    pub allowed_routes: Option<AllowedRoutes>,
    /// Not supported yet (Gateway API 1.7, GEP-5224).
    #[serde(default)]
    pub filters: Option<Unsupported>,
    /// Line in the file.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

impl Listener {
    /// Why it cannot stand beside another one; `None`: it can. Listeners of a port are told apart by hostname, if what
    /// they speak says one; TCP and UDP are ports of their own.
    pub fn conflict(&self, other: &Self) -> Option<&'static str> {
        let is_udp = |listener: &Self| listener.protocol == "UDP";
        let (a, b) = (&*self.protocol, &*other.protocol);
        if self.port != other.port || is_udp(self) != is_udp(other) {
            return None;
        }
        if a != b && !matches!((a, b), ("HTTPS", "TLS") | ("TLS", "HTTPS")) {
            return Some("has the port of another listener with another protocol");
        }
        let is_same = matches!(a, "TCP" | "UDP") || self.hostname == other.hostname;
        is_same.then_some("has the port and hostname of another listener")
    }
}

/// `allowedRoutes`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AllowedRoutes {
    /// Absent: the gateway's own namespace.
    pub namespaces: Option<RouteNamespaces>,
    /// Empty: those that fit the protocol.
    pub kinds: Vec<RouteKind>,
}

/// `allowedRoutes.namespaces`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteNamespaces {
    /// Absent: `Same`.
    pub from: Option<FromNamespaces>,
    /// With `Selector`: labels of namespaces.
    pub selector: Option<LabelSelector>,
}

/// Where routes may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum FromNamespaces {
    /// Any namespace.
    All,
    /// Namespaces with the labels.
    Selector,
    /// The gateway's own.
    Same,
}

/// One allowed kind.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteKind {
    /// Absent: `gateway.networking.k8s.io`.
    #[serde(default)]
    pub group: Option<String>,
    /// For example `HTTPRoute`.
    pub kind: String,
}

/// What a listener between networks cannot choose: the mesh has one transport, on one port, for all exports.
fn no_effect_between_networks(listener: &Listener, at: &str, report: &mut ValidationReport<'_>) {
    const CAUSE: &str = "has no effect on a listener of an east-west gateway";
    if listener.hostname.is_some() {
        report.no_effect(
            &format!("{at}.hostname"),
            CAUSE,
            "remove it: all hosts that are exported are reached",
        );
    }
    if listener.tls.is_some() {
        report.no_effect(&format!("{at}.tls"), CAUSE, "remove it: the mesh's own mutual TLS is spoken there");
    }
    if listener.allowed_routes.is_some() {
        report.no_effect(&format!("{at}.allowedRoutes"), CAUSE, "remove it: the gateway takes no routes");
    }
    if listener.protocol != "HBONE" {
        report.no_effect(&format!("{at}.protocol"), CAUSE, "write `HBONE`: it carries the mesh transport");
    }
    if listener.port != PORT_MESH {
        let fix = format!("write {PORT_MESH}: the mesh transport is there on every proxy");
        report.no_effect(&format!("{at}.port"), CAUSE, fix);
    }
}

/// What a listener for callers from outside cannot do yet.
fn outward(listener: &Listener, at: &str, report: &mut ValidationReport<'_>) {
    let path = format!("{at}.protocol");
    match listener.protocol.as_str() {
        "HTTP" if listener.tls.is_some() => {
            report.bad(&format!("{at}.tls"), "does not belong to protocol HTTP", "remove it");
        }
        protocol @ ("TCP" | "UDP") if listener.tls.is_some() => {
            report.bad(&format!("{at}.tls"), &format!("does not belong to protocol {protocol}"), "remove it");
        }
        "HTTP" => {}
        "HTTPS" | "TLS" => tls::check(listener, at, report),
        protocol @ ("TCP" | "UDP") => {
            if listener.hostname.is_some() {
                let cause = format!("has no effect on a {protocol} listener");
                report.no_effect(&format!("{at}.hostname"), &cause, "remove it: opaque bytes name no host");
            }
        }
        other => {
            let fix = "write `HTTP` if callers speak it, `TCP` for opaque bytes, `UDP` for datagrams";
            report.unsupported(&path, &format!("protocol {other}"), fix);
        }
    }
    if is_proxy_port(listener.port) {
        let cause = "is one of the proxy's own (15000 to 15099)";
        report.bad(&format!("{at}.port"), cause, "use another port");
    }
}

fn one_listener(listener: &Listener, at: &str, report: &mut ValidationReport<'_>) {
    report.subdomain(&format!("{at}.name"), &listener.name);
    report.port(&format!("{at}.port"), listener.port);
    if let Some(host) = &listener.hostname
        && !syntax::is_host(host, true)
    {
        report.bad(
            &format!("{at}.hostname"),
            &format!("cannot be `{host}`"),
            "write a name, or `*.` and a name",
        );
    }
    let Some(allowed) = &listener.allowed_routes else { return };
    for (index, kind) in allowed.kinds.iter().enumerate() {
        let path = format!("{at}.allowedRoutes.kinds[{index}]");
        if !ROUTE_KINDS.contains(&&*kind.kind) {
            let fix = format!("name one of those that are served: {}", ROUTE_KINDS.join(", "));
            report.unsupported(&path, &format!("kind {}", kind.kind), fix);
        } else if let Some(group) = kind.group.as_deref().filter(|group| *group != GATEWAY_GROUP) {
            let (what, fix) =
                (format!("kind {} of group `{group}`", kind.kind), format!("write `{GATEWAY_GROUP}`"));
            report.unsupported(&format!("{path}.group"), &what, fix);
        }
    }
    if let Some(namespaces) = &allowed.namespaces {
        let selects = namespaces.from == Some(FromNamespaces::Selector);
        selector(selects, namespaces.selector.as_ref(), &format!("{at}.allowedRoutes.namespaces"), report);
    }
}

fn selector(selects: bool, selector: Option<&LabelSelector>, at: &str, report: &mut ValidationReport<'_>) {
    if selects != selector.is_some() {
        report.bad(at, "needs `selector` with `from: Selector`, and only then", "set both or neither");
    }
}
