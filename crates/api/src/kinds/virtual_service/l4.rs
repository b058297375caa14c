//! The routes of a `VirtualService` for opaque connections, and for TLS that is passed on by server name.

use super::check_gateways;
use super::http::{DestinationSpec, check_weight};
use crate::syntax;
use crate::validation::ValidationReport;
use model::Code;
use model::authz::Cidr;
use serde::Deserialize;
use std::collections::BTreeMap;

/// `tcp[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct VirtualTcpRoute {
    /// Any must match; empty: all connections.
    #[serde(rename = "match")]
    pub matches: Vec<L4MatchSpec>,
    /// Weighted destinations.
    pub route: Vec<WeightedDestinationSpec>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// `tls[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct VirtualTlsRoute {
    /// Any must match.
    #[serde(rename = "match")]
    pub matches: Vec<TlsMatchSpec>,
    /// Weighted destinations.
    pub route: Vec<WeightedDestinationSpec>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// `tcp[].match[]`; all must hold.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct L4MatchSpec {
    /// Any of these was called; empty: any address.
    pub destination_subnets: Vec<String>,
    /// Port of the service or server.
    pub port: Option<u16>,
    /// Of the caller.
    pub source_labels: BTreeMap<String, String>,
    /// Instead of those of the object.
    pub gateways: Vec<String>,
    /// Of the caller.
    pub source_namespace: Option<String>,
    /// Of the caller.
    pub source_subnet: Option<String>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// `tls[].match[]`; all must hold.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TlsMatchSpec {
    /// Server names, which are hosts of the object or below one.
    pub sni_hosts: Vec<String>,
    /// Any of these was called; empty: any address.
    pub destination_subnets: Vec<String>,
    /// Port of the service or server.
    pub port: Option<u16>,
    /// Of the caller.
    pub source_labels: BTreeMap<String, String>,
    /// Instead of those of the object.
    pub gateways: Vec<String>,
    /// Of the caller.
    pub source_namespace: Option<String>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// `route[]` of both.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WeightedDestinationSpec {
    /// Where to.
    pub destination: DestinationSpec,
    /// Share; absent: 0, but all where it is alone.
    #[serde(default)]
    pub weight: Option<u32>,
    /// Line in the file.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

const MATCHES_MAX: usize = 64;
const DESTINATIONS_MAX: usize = 16;

impl VirtualTcpRoute {
    pub(super) fn check(&self, at: &str, report: &mut ValidationReport<'_>) {
        report.at_most(&format!("{at}.match"), self.matches.len(), MATCHES_MAX);
        for (index, one) in self.matches.iter().enumerate() {
            let at = format!("{at}.match[{index}]");
            subnets(&one.destination_subnets, &format!("{at}.destinationSubnets"), report);
            if let Some(subnet) = &one.source_subnet {
                subnet_of(subnet, &format!("{at}.sourceSubnet"), report);
            }
            caller(one.port, &one.source_labels, one.source_namespace.as_deref(), &at, report);
            check_gateways(&one.gateways, &format!("{at}.gateways"), report);
        }
        destinations(&self.route, at, report);
    }
}

impl VirtualTlsRoute {
    pub(super) fn check(&self, hosts: &[String], at: &str, report: &mut ValidationReport<'_>) {
        if self.matches.is_empty() {
            report.refuse(Code::MissingField, &format!("{at}.match"), "is empty", "add `sniHosts`");
        }
        report.at_most(&format!("{at}.match"), self.matches.len(), MATCHES_MAX);
        for (index, one) in self.matches.iter().enumerate() {
            let at = format!("{at}.match[{index}]");
            if one.sni_hosts.is_empty() {
                report.refuse(Code::MissingField, &format!("{at}.sniHosts"), "is empty", "name hosts");
            }
            for (index, name) in one.sni_hosts.iter().enumerate() {
                let at = format!("{at}.sniHosts[{index}]");
                if name != "*" && !syntax::is_host(name, true) {
                    let fix = "write a lower-case name, or `*.` and a name";
                    report.bad(&at, &format!("cannot be `{name}`"), fix);
                } else if !hosts.iter().any(|host| is_within(name, host)) {
                    let cause = format!("is `{name}`, which no entry of `spec.hosts` covers");
                    report.bad(&at, &cause, "add it to `spec.hosts`");
                }
            }
            subnets(&one.destination_subnets, &format!("{at}.destinationSubnets"), report);
            caller(one.port, &one.source_labels, one.source_namespace.as_deref(), &at, report);
            check_gateways(&one.gateways, &format!("{at}.gateways"), report);
        }
        destinations(&self.route, at, report);
    }
}

/// Whether a server name, or a pattern of them, is covered by a host.
fn is_within(name: &str, host: &str) -> bool {
    match host.strip_prefix('*') {
        Some(suffix) => name.strip_prefix('*').unwrap_or(name).ends_with(suffix),
        None => name == host,
    }
}

fn subnets(all: &[String], at: &str, report: &mut ValidationReport<'_>) {
    for (index, subnet) in all.iter().enumerate() {
        subnet_of(subnet, &format!("{at}[{index}]"), report);
    }
}

fn subnet_of(subnet: &str, at: &str, report: &mut ValidationReport<'_>) {
    if Cidr::parse(subnet).is_none() {
        report.bad(at, &format!("cannot be `{subnet}`"), "write an address, or a block such as 10.0.0.0/8");
    }
}

fn caller(
    port: Option<u16>,
    labels: &BTreeMap<String, String>,
    namespace: Option<&str>,
    at: &str,
    report: &mut ValidationReport<'_>,
) {
    if let Some(port) = port {
        report.port(&format!("{at}.port"), port);
    }
    report.labels(&format!("{at}.sourceLabels"), labels);
    if let Some(namespace) = namespace.filter(|namespace| !namespace.is_empty()) {
        report.label(&format!("{at}.sourceNamespace"), namespace);
    }
}

fn destinations(route: &[WeightedDestinationSpec], at: &str, report: &mut ValidationReport<'_>) {
    let at = format!("{at}.route");
    report.at_most(&at, route.len(), DESTINATIONS_MAX);
    if route.is_empty() {
        report.refuse(Code::MissingField, &at, "is empty", "add a destination");
    }
    if route.len() > 1 && route.iter().map(|one| one.weight.unwrap_or(0)).sum::<u32>() == 0 {
        report.bad(&at, "has no weight that is more than 0", "write weights");
    }
    for (index, one) in route.iter().enumerate() {
        let at = format!("{at}[{index}]");
        one.destination.check(&format!("{at}.destination"), report);
        check_weight(one.weight, &at, report);
    }
}
