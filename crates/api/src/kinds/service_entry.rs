//! Istio `ServiceEntry`: a service that somebody describes by hand, most often one outside the mesh.

use super::workload_entry::{self, WorkloadEntrySpec};
use super::{ISTIO_NETWORKING_GROUP, KindSpec, ObjectKind};
use crate::fields::visibility;
use crate::meta::Meta;
use crate::syntax;
use crate::validation::ValidationReport;
use model::Code;
use model::authz::Cidr;
use serde::Deserialize;
use std::collections::{BTreeMap, HashSet};

/// `ServiceEntry` `spec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceEntrySpec {
    /// Its names; `*.example.com` means all below.
    pub hosts: Vec<String>,
    /// Addresses or blocks that mean it; absent: a mesh-only one.
    pub addresses: Vec<String>,
    /// Never empty after checking.
    pub ports: Vec<EntryPortSpec>,
    /// Absent: `MESH_EXTERNAL`.
    pub location: Option<EntryLocation>,
    /// Absent: `NONE`.
    pub resolution: Option<EntryResolution>,
    /// Where it is; absent, with DNS: at its hosts.
    pub endpoints: Vec<WorkloadEntrySpec>,
    /// Instead of endpoints: workloads of the namespace, with or without a proxy.
    pub workload_selector: Option<EntrySelector>,
    /// For whose calls; absent: everybody's.
    pub export_to: Vec<String>,
    /// One must stand in the certificate of an endpoint, where TLS is originated.
    pub subject_alt_names: Vec<String>,
    /// Line of `spec`.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// `ports[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EntryPortSpec {
    /// The port that clients use.
    pub number: u16,
    /// `HTTP`, `HTTPS`, `GRPC`, `HTTP2`, `MONGO`, `TCP` or `TLS`; absent: by the name.
    pub protocol: Option<String>,
    /// Unique in the entry.
    pub name: String,
    /// Of the endpoints; absent: the same as `number`.
    pub target_port: Option<u16>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// `location`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EntryLocation {
    /// Outside the mesh.
    MeshExternal,
    /// A part of it, if without a proxy.
    MeshInternal,
}

/// `resolution`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EntryResolution {
    /// Wherever the application called.
    #[default]
    None,
    /// At the addresses of the endpoints.
    Static,
    /// At all addresses of names.
    Dns,
    /// At one address of a name.
    DnsRoundRobin,
    /// At the addresses of the name that the application asks for.
    DynamicDns,
}

/// `workloadSelector`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EntrySelector {
    /// All must be there.
    pub labels: BTreeMap<String, String>,
}

const HOSTS_MAX: usize = 256;
const ADDRESSES_MAX: usize = 256;
const PORTS_MAX: usize = 100;
const ENDPOINTS_MAX: usize = 4096;
const NAMES_MAX: usize = 64;
const PROTOCOLS: [&str; 9] = ["HTTP", "HTTPS", "GRPC", "GRPC-WEB", "HTTP2", "MONGO", "REDIS", "TCP", "TLS"];

impl KindSpec for ServiceEntrySpec {
    const KIND: ObjectKind = ObjectKind {
        kind: "ServiceEntry",
        plural: "serviceentries",
        singular: "serviceentry",
        short: &["se"],
        group: ISTIO_NETWORKING_GROUP,
        versions: &["v1", "v1beta1", "v1alpha3"],
        namespaced: true,
        doc: "A service described by hand, most often outside the mesh (Istio)",
        columns: &[("HOSTS", "spec.hosts[]"), ("RESOLUTION", "spec.resolution")],
    };

    fn check(&self, _: &Meta, report: &mut ValidationReport<'_>) {
        hosts(self, report);
        ports(self, report);
        report.at_most("spec.addresses", self.addresses.len(), ADDRESSES_MAX);
        for (index, address) in self.addresses.iter().enumerate() {
            if Cidr::parse(address).is_none() {
                let at = format!("spec.addresses[{index}]");
                report.bad(
                    &at,
                    &format!("cannot be `{address}`"),
                    "write an IP address, or a block as 10.0.0.0/8",
                );
            }
        }
        endpoints(self, report);
        visibility::check_export_to(&self.export_to, "spec.exportTo", report);
        report.at_most("spec.subjectAltNames", self.subject_alt_names.len(), NAMES_MAX);
    }
}

fn hosts(spec: &ServiceEntrySpec, report: &mut ValidationReport<'_>) {
    if spec.hosts.is_empty() {
        report.refuse(Code::MissingField, "spec.hosts", "is empty", "name the service's host");
    }
    report.at_most("spec.hosts", spec.hosts.len(), HOSTS_MAX);
    for (index, host) in spec.hosts.iter().enumerate() {
        let at = format!("spec.hosts[{index}]");
        if host == "*" {
            report.bad(
                &at,
                "cannot be `*` alone",
                "write *.DOMAIN; what nobody described is `outbound` of MeshSettings",
            );
        } else if !syntax::is_host(host, true) {
            report.bad(&at, &format!("cannot be `{host}`"), "write a host name, or *.DOMAIN");
        } else if host.starts_with("*.") && spec.resolution_needs_a_name() {
            let fix = "write `resolution: DYNAMIC_DNS`, which asks for the name that the application says, or `NONE`";
            report.bad(&at, "has a wildcard, which no name server knows", fix);
        }
        if spec.hosts[..index].contains(host) {
            report.bad(&at, "occurs twice", "remove one of the two");
        }
    }
}

impl ServiceEntrySpec {
    /// What holds where nothing is said.
    pub fn resolution(&self) -> EntryResolution {
        self.resolution.unwrap_or_default()
    }

    fn resolution_needs_a_name(&self) -> bool {
        let by_dns = [EntryResolution::Dns, EntryResolution::DnsRoundRobin].contains(&self.resolution());
        by_dns && self.endpoints.is_empty()
    }
}

fn ports(spec: &ServiceEntrySpec, report: &mut ValidationReport<'_>) {
    if spec.ports.is_empty() {
        report.refuse(Code::MissingField, "spec.ports", "is empty", "add at least one port");
    }
    report.at_most("spec.ports", spec.ports.len(), PORTS_MAX);
    let (mut names, mut numbers) = (HashSet::new(), HashSet::new());
    for (index, port) in spec.ports.iter().enumerate() {
        let at = format!("spec.ports[{index}]");
        report.port(&format!("{at}.number"), port.number);
        if let Some(target) = port.target_port {
            report.port(&format!("{at}.targetPort"), target);
        }
        if port.name.is_empty() {
            report.refuse(
                Code::MissingField,
                &format!("{at}.name"),
                "is missing",
                "name the port, for example `https`",
            );
        } else if !names.insert(&port.name) {
            report.bad(&format!("{at}.name"), &format!("`{}` occurs twice", port.name), "use another name");
        }
        if !numbers.insert(port.number) {
            report.bad(
                &format!("{at}.number"),
                &format!("{} occurs twice", port.number),
                "remove one of the two",
            );
        }
        match port.protocol.as_deref().map(str::to_ascii_uppercase) {
            Some(protocol) if protocol == "UDP" => {
                let cause = "is UDP, which does not go through a proxy's services, so the port has no effect";
                report.no_effect(
                    &format!("{at}.protocol"),
                    cause,
                    "remove the port: datagrams are not captured",
                );
            }
            Some(protocol) if !PROTOCOLS.contains(&&*protocol) => {
                let cause = format!("cannot be `{protocol}`");
                report.bad(
                    &format!("{at}.protocol"),
                    &cause,
                    format!("write one of {}", PROTOCOLS.join(", ")),
                );
            }
            _ => {}
        }
    }
}

fn endpoints(spec: &ServiceEntrySpec, report: &mut ValidationReport<'_>) {
    report.at_most("spec.endpoints", spec.endpoints.len(), ENDPOINTS_MAX);
    let resolution = spec.resolution();
    if spec.workload_selector.is_some() && !spec.endpoints.is_empty() {
        report.bad("spec.workloadSelector", "cannot stand beside `endpoints`", "keep one of them");
    }
    if matches!(resolution, EntryResolution::None | EntryResolution::DynamicDns) {
        if !spec.endpoints.is_empty() {
            let fix = "write `resolution: STATIC`, or `DNS` for host names, or remove them";
            report.bad("spec.endpoints", "cannot stand beside a resolution that calls other addresses", fix);
        }
        if spec.workload_selector.is_some() {
            let fix = "write `resolution: STATIC`";
            report.bad(
                "spec.workloadSelector",
                "cannot stand beside a resolution that calls other addresses",
                fix,
            );
        }
    }
    let static_without = resolution == EntryResolution::Static
        && spec.endpoints.is_empty()
        && spec.workload_selector.is_none();
    if static_without {
        let fix = "add `endpoints` or `workloadSelector`, or write `resolution: DNS`";
        report.refuse(Code::MissingField, "spec.endpoints", "is missing with resolution STATIC", fix);
    }
    if resolution == EntryResolution::DnsRoundRobin && spec.endpoints.len() > 1 {
        let fix = "keep one, or write `resolution: DNS`";
        report.bad("spec.endpoints", "has more than one entry with resolution DNS_ROUND_ROBIN", fix);
    }
    let by_name = matches!(resolution, EntryResolution::Dns | EntryResolution::DnsRoundRobin);
    let names: HashSet<&str> = spec.ports.iter().map(|port| port.name.as_str()).collect();
    for (index, endpoint) in spec.endpoints.iter().enumerate() {
        let at = format!("spec.endpoints[{index}]");
        workload_entry::check(endpoint, &at, report);
        if !endpoint.labels.is_empty() {
            let cause = "have no effect: no subset is made of endpoints that are written here";
            report.no_effect(
                &format!("{at}.labels"),
                cause,
                "describe each version by a ServiceEntry of its own",
            );
        }
        match &endpoint.address {
            None if !by_name => {
                report.refuse(
                    Code::MissingField,
                    &format!("{at}.address"),
                    "is missing",
                    "write its IP address",
                );
            }
            Some(address) if !by_name && endpoint.ip().is_none() && syntax::is_host(address, false) => {
                let fix = "write its IP address, or `resolution: DNS`";
                report.bad(&format!("{at}.address"), "is a name, with resolution STATIC", fix);
            }
            _ => {}
        }
        for name in endpoint.ports.keys().filter(|name| !names.contains(name.as_str())) {
            let fix = "name one of `spec.ports`";
            report.bad_entry(&format!("{at}.ports"), name, "is the name of no port", fix);
        }
    }
}

#[cfg(test)]
mod tests;
