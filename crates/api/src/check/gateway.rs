//! Rules for `Gateway`.

use super::Report;
use crate::gateway::{BIND_ADDRESS, EAST_WEST_CLASS, FromNamespaces, GatewaySpec, Listener};
use crate::object::Meta;
use model::Code;
use model::address::is_proxy_port;
use std::collections::HashSet;
use std::net::IpAddr;

pub(super) fn gateway(spec: &GatewaySpec, meta: &Meta, report: &mut Report<'_>) {
    const LISTENERS_MAX: usize = 64;
    report.subdomain("spec.gatewayClassName", &spec.gateway_class_name);
    if spec.listeners.is_empty() {
        report.refuse(Code::MissingField, "spec.listeners", "is empty", "add a listener");
    }
    report.at_most("spec.listeners", spec.listeners.len(), LISTENERS_MAX);
    if let Some(address) = meta.annotations.get(BIND_ADDRESS)
        && address.parse::<IpAddr>().is_err()
    {
        let cause = format!("has `{BIND_ADDRESS}: {address}`, which is no IP address");
        report.bad("metadata.annotations", &cause, "write an IP address such as 127.0.0.1");
    }
    let (mut names, mut places) = (HashSet::new(), HashSet::new());
    for (index, listener) in spec.listeners.iter().enumerate() {
        let at = format!("spec.listeners[{index}]");
        if !names.insert(listener.name.as_str()) {
            report.bad(
                &format!("{at}.name"),
                &format!("`{}` occurs twice", listener.name),
                "use another name",
            );
        }
        if !places.insert((listener.port, listener.hostname.as_deref())) {
            report.bad(&at, "has the port and hostname of another listener", "use another port or hostname");
        }
        one_listener(listener, &at, spec.gateway_class_name == EAST_WEST_CLASS, report);
    }
}

fn one_listener(listener: &Listener, at: &str, east_west: bool, report: &mut Report<'_>) {
    report.subdomain(&format!("{at}.name"), &listener.name);
    report.port(&format!("{at}.port"), listener.port);
    if let Some(host) = &listener.hostname
        && !super::is_host(host, true)
    {
        report.bad(
            &format!("{at}.hostname"),
            &format!("cannot be `{host}`"),
            "write a name, or `*.` and a name",
        );
    }
    if !east_west {
        if listener.protocol != "HTTP" {
            report.later(&format!("{at}.protocol"), &format!("protocol {}", listener.protocol));
        }
        if listener.tls.is_some() {
            report.later(&format!("{at}.tls"), "TLS on a listener");
        }
        if is_proxy_port(listener.port) {
            report.bad(
                &format!("{at}.port"),
                "is one of the proxy's own (15000 to 15099)",
                "use another port",
            );
        }
    }
    let Some(allowed) = &listener.allowed_routes else { return };
    for (index, kind) in allowed.kinds.iter().enumerate() {
        if kind.kind != "HTTPRoute" {
            report.later(&format!("{at}.allowedRoutes.kinds[{index}]"), &format!("kind {}", kind.kind));
        }
    }
    if let Some(namespaces) = &allowed.namespaces {
        let selects = namespaces.from == Some(FromNamespaces::Selector);
        if selects != namespaces.selector.is_some() {
            let path = format!("{at}.allowedRoutes.namespaces");
            report.bad(&path, "needs `selector` with `from: Selector`, and only then", "set both or neither");
        }
    }
}
