//! Istio `Gateway`: servers, for callers from outside, on the proxies that its selector finds. Its kind has its group
//! behind it, because the Gateway API has one of that name.

use super::{ISTIO_NETWORKING_GROUP, KindSpec, ObjectKind};
use crate::decode::{Ignored, Unsupported, UnsupportedField};
use crate::fields::server_tls::ServerTlsSpec;
use crate::ignored::IgnoredField;
use crate::meta::Meta;
use crate::syntax;
use crate::validation::ValidationReport;
use model::Code;
use model::address::is_proxy_port;
use serde::Deserialize;
use std::collections::{BTreeMap, HashSet};

/// Istio `Gateway` `spec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IstioGatewaySpec {
    /// Listeners.
    pub servers: Vec<ServerSpec>,
    /// Labels of the WorkloadGroups whose proxies serve it.
    pub selector: BTreeMap<String, String>,
    /// Line of `spec`.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// `servers[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerSpec {
    /// Where.
    pub port: ServerPortSpec,
    /// An address to listen on; absent: all.
    #[serde(default)]
    pub bind: Option<String>,
    /// `HOST` or `NAMESPACE/HOST`: for which VirtualServices, of which namespaces; `./HOST`: the gateway's own.
    pub hosts: Vec<String>,
    /// How TLS ends here, or does not.
    #[serde(default)]
    pub tls: Option<Box<ServerTlsSpec>>,
    /// Ignored, with a warning.
    #[serde(default)]
    pub default_endpoint: Option<Unsupported>,
    /// For people.
    #[serde(default)]
    pub name: Option<String>,
    /// Line in the file.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

/// `servers[].port`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerPortSpec {
    /// 1 to 65535.
    pub number: u16,
    /// What callers speak.
    pub protocol: String,
    /// For people.
    pub name: String,
    /// Ignored, with a warning: it has no effect in Istio either.
    #[serde(default)]
    pub target_port: Option<Ignored>,
}

/// What callers of a server speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerProtocol {
    /// HTTP in plaintext.
    Http,
    /// HTTP in TLS.
    Https,
    /// Any bytes.
    Tcp,
    /// Any bytes in TLS.
    Tls,
}

impl ServerPortSpec {
    /// What is meant; `None`: nothing that is known.
    pub fn server_protocol(&self) -> Option<ServerProtocol> {
        match self.protocol.to_ascii_uppercase().as_str() {
            "HTTP" | "HTTP2" | "GRPC" | "GRPC-WEB" => Some(ServerProtocol::Http),
            "HTTPS" => Some(ServerProtocol::Https),
            "TCP" | "MONGO" | "MYSQL" | "REDIS" => Some(ServerProtocol::Tcp),
            "TLS" => Some(ServerProtocol::Tls),
            _ => None,
        }
    }
}

/// `NAMESPACE/HOST` of a server: the part before the slash, if there is one, and the host.
pub fn server_host(text: &str) -> (Option<&str>, &str) {
    text.split_once('/').map_or((None, text), |(namespace, host)| (Some(namespace), host))
}

const SERVERS_MAX: usize = 64;
const HOSTS_MAX: usize = 256;

impl KindSpec for IstioGatewaySpec {
    const KIND: ObjectKind = ObjectKind {
        kind: "Gateway.networking.istio.io",
        plural: "gateways",
        singular: "gateway",
        short: &["gw"],
        group: ISTIO_NETWORKING_GROUP,
        versions: &["v1", "v1beta1", "v1alpha3"],
        namespaced: true,
        doc: "Where callers from outside come in (Istio)",
        columns: &[("PORTS", "spec.servers[].port.number"), ("SELECTOR", "spec.selector")],
    };
    const IGNORED: &'static [IgnoredField] =
        &[IgnoredField::new("port.targetPort", &[], "remove it: it says nothing in Istio either")];
    const UNSUPPORTED: &'static [UnsupportedField] = &[
        UnsupportedField {
            path: ".defaultEndpoint",
            fix: "remove it, and write a VirtualService with a route",
        },
        UnsupportedField {
            path: "tls.caCrl",
            fix: "remove it, and use short-lived certificates; no revocation lists are read",
        },
    ];

    fn check(&self, _: &Meta, report: &mut ValidationReport<'_>) {
        report.labels("spec.selector", &self.selector);
        if self.servers.is_empty() {
            report.refuse(Code::MissingField, "spec.servers", "is empty", "add a server");
        }
        report.at_most("spec.servers", self.servers.len(), SERVERS_MAX);
        let mut names = HashSet::new();
        for (index, server) in self.servers.iter().enumerate() {
            let at = format!("spec.servers[{index}]");
            one_server(server, &at, report);
            if let Some(name) = server.name.as_deref().filter(|name| !name.is_empty())
                && !names.insert(name)
            {
                report.bad(&format!("{at}.name"), &format!("`{name}` occurs twice"), "use another name");
            }
        }
    }
}

fn one_server(server: &ServerSpec, at: &str, report: &mut ValidationReport<'_>) {
    let path = format!("{at}.port.number");
    report.port(&path, server.port.number);
    if is_proxy_port(server.port.number) {
        report.bad(&path, "is one of the proxy's own (15000 to 15099)", "use another port");
    }
    if server.port.name.is_empty() {
        report.refuse(Code::MissingField, &format!("{at}.port.name"), "is empty", "name the port");
    }
    if let Some(bind) = server.bind.as_deref().filter(|bind| !bind.is_empty())
        && bind.parse::<std::net::IpAddr>().is_err()
    {
        let cause = format!("cannot be `{bind}`");
        report.bad(&format!("{at}.bind"), &cause, "write an IP address, or leave it out for all addresses");
    }
    if server.hosts.is_empty() {
        report.refuse(Code::MissingField, &format!("{at}.hosts"), "is empty", "add hosts, or `*`");
    }
    report.at_most(&format!("{at}.hosts"), server.hosts.len(), HOSTS_MAX);
    for (index, text) in server.hosts.iter().enumerate() {
        let (namespace, host) = server_host(text);
        let is_namespace = namespace.is_none_or(|ns| matches!(ns, "*" | "." | "~") || syntax::is_label(ns));
        if !is_namespace || !(host == "*" || syntax::is_host(host, true)) {
            let fix = "write HOST or NAMESPACE/HOST, the host being a name, `*.` and a name, or `*`";
            report.bad(&format!("{at}.hosts[{index}]"), &format!("cannot be `{text}`"), fix);
        }
    }
    protocol(server, at, report);
}

/// Whether TLS fits the protocol.
fn protocol(server: &ServerSpec, at: &str, report: &mut ValidationReport<'_>) {
    let path = format!("{at}.port.protocol");
    let ends = server.tls.as_ref().filter(|tls| tls.is_about_tls());
    match server.port.server_protocol() {
        None => {
            let fix = "write HTTP, HTTPS, GRPC, HTTP2, TCP or TLS";
            report.bad(&path, &format!("cannot be `{}`", server.port.protocol), fix);
        }
        Some(ServerProtocol::Http | ServerProtocol::Tcp) if ends.is_some() => {
            let fix = "write protocol HTTPS or TLS, or keep `httpsRedirect` alone";
            report.bad(&format!("{at}.tls"), "does not belong to a protocol without TLS", fix);
        }
        Some(ServerProtocol::Https | ServerProtocol::Tls) if server.tls.is_none() => {
            report.refuse(Code::MissingField, &format!("{at}.tls"), "is missing", "add `tls`");
        }
        Some(_) => {}
    }
    if let Some(tls) = &server.tls {
        tls.check(&format!("{at}.tls"), report);
    }
}

#[cfg(test)]
mod tests;
