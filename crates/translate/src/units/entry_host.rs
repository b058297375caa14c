//! One host of `ServiceEntry`s: what the one that has it makes of it.

use super::host::{CompiledHost, endpoints_touch, entry_touches, slices};
use super::service_entry::{entry_hosts, entry_winner, service_entry};
use super::workload_entry::selected;
use super::workload_group::groups_selected;
use super::{Unit, WorldReader};
use crate::outside::{locality, plain, plain_profile, resolvers};
use crate::ports::protocol_of_name;
use crate::slices::Slices;
use crate::units::group_mtls::plaintext_ports;
use crate::units::service::native;
use api::kinds::service_entry::{EntryPortSpec, EntryResolution, ServiceEntrySpec};
use api::kinds::workload_entry::WorkloadEntrySpec;
use api::{Object, Spec};
use model::authz::Cidr;
use model::external::{ExternalService, NamedEndpoint, Resolution};
use model::interner::Interner;
use model::service::{Endpoint, Protocol, ServicePort};
use model::{Hostname, Subscription};
use std::sync::Arc;

pub(crate) struct EntryHostUnit;

impl Unit for EntryHostUnit {
    type Key = Hostname;
    type Output = CompiledHost;

    fn keys(object: &Object) -> Vec<Hostname> {
        match &object.spec {
            Spec::ServiceEntry(spec) => entry_hosts(spec),
            _ => Vec::new(),
        }
    }

    /// `None` without a TCP port.
    fn compile(host: &Hostname, read: &WorldReader<'_>) -> Option<CompiledHost> {
        let (object, spec) = service_entry(entry_winner(host, read)?, read)?;
        let ports = spec.ports.iter().filter_map(|port| service_port(port, spec)).collect();
        let mut entry = CompiledHost::new(object, host, ports)?;
        entry.service.external = Some(Box::new(external(host, object, spec, read)));
        if let Some(selector) = &spec.workload_selector {
            entry.groups = groups_selected(&object.meta.namespace, &selector.labels, read);
        }
        Some(entry)
    }

    fn addressed(entry: &CompiledHost) -> Option<&Hostname> {
        entry.has_mesh_address().then_some(&entry.service.host)
    }

    fn touches(
        _key: &Hostname,
        old: Option<&CompiledHost>,
        new: Option<&CompiledHost>,
        read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        let mut touched = entry_touches(old, new, read);
        // Names and addresses by which it is meant.
        touched.push(Subscription::Mesh);
        touched
    }
}

/// `None` for what no proxy carries.
fn service_port(port: &EntryPortSpec, spec: &ServiceEntrySpec) -> Option<ServicePort> {
    let declared = match port.protocol.as_deref() {
        Some(protocol) if protocol.eq_ignore_ascii_case("UDP") => return None,
        Some(protocol) => protocol_of_name(protocol),
        None => protocol_of_name(&port.name),
    };
    Some(ServicePort {
        port: port.number,
        target_port: common_port(port, spec).or(port.target_port).unwrap_or(port.number),
        protocol: declared.unwrap_or(Protocol::Undeclared),
        name: port.name.as_str().into(),
    })
}

/// Whether clients begin with TLS there (Istio's `TLS` and `HTTPS`).
fn begins_with_tls(port: &EntryPortSpec) -> bool {
    let declared =
        port.protocol.as_deref().unwrap_or_else(|| port.name.split('-').next().unwrap_or_default());
    ["tls", "https"].iter().any(|protocol| declared.eq_ignore_ascii_case(protocol))
}

/// The port that all endpoints have of their own under this one's name.
fn common_port(port: &EntryPortSpec, spec: &ServiceEntrySpec) -> Option<u16> {
    let mut own = spec.endpoints.iter().map(|endpoint| endpoint.ports.get(&port.name).copied());
    let first = own.next()??;
    own.all(|other| other == Some(first)).then_some(first)
}

/// The port that an endpoint has of its own, in a service of one port; 0: the service's.
fn own_port(endpoint: &WorkloadEntrySpec, spec: &ServiceEntrySpec) -> u16 {
    match spec.ports.as_slice() {
        [only] => endpoint.ports.get(&only.name).copied().unwrap_or(0),
        _ => 0,
    }
}

fn external(
    host: &Hostname,
    object: &Object,
    spec: &ServiceEntrySpec,
    read: &WorldReader<'_>,
) -> ExternalService {
    let resolution = match spec.resolution() {
        EntryResolution::None => Resolution::None,
        EntryResolution::Static => Resolution::Static,
        EntryResolution::Dns => Resolution::Dns,
        EntryResolution::DnsRoundRobin => Resolution::DnsRoundRobin,
        EntryResolution::DynamicDns => Resolution::DynamicDns,
    };
    let is_by_name = matches!(resolution, Resolution::Dns | Resolution::DnsRoundRobin);
    let by_selector = selected(object, spec, read).filter(|entry| entry.ip().is_none());
    let endpoints = spec.endpoints.iter().filter(|endpoint| endpoint.ip().is_none());
    let mut names: Vec<NamedEndpoint> =
        endpoints.chain(by_selector).filter_map(|endpoint| named(host, endpoint, spec)).collect();
    // Without endpoints its own name is asked for.
    if names.is_empty() && is_by_name && spec.endpoints.is_empty() && spec.workload_selector.is_none() {
        names.extend(named(host, &WorkloadEntrySpec::default(), spec));
    }
    ExternalService {
        resolution,
        names,
        resolvers: resolvers(object).unwrap_or_default(),
        addresses: spec.addresses.iter().filter_map(|address| Cidr::parse(address)).collect(),
        subject_alt_names: spec.subject_alt_names.iter().map(|name| name.as_str().into()).collect(),
        visible_in: visible_in(object, spec),
        tls_ports: spec.ports.iter().filter(|port| begins_with_tls(port)).map(|port| port.number).collect(),
    }
}

fn named(host: &Hostname, endpoint: &WorkloadEntrySpec, spec: &ServiceEntrySpec) -> Option<NamedEndpoint> {
    Some(NamedEndpoint {
        host: match &endpoint.address {
            Some(address) => Hostname::parse(address)?,
            None => host.clone(),
        },
        port: own_port(endpoint, spec),
        weight: endpoint.weight.unwrap_or(1).max(1),
        locality: locality(endpoint.locality.as_deref()),
    })
}

/// Empty: all namespaces.
fn visible_in(object: &Object, spec: &ServiceEntrySpec) -> Vec<Arc<str>> {
    let namespaces = spec.export_to.iter().map(|namespace| match namespace.as_str() {
        "*" => None,
        "." => Some(object.meta.namespace.clone()),
        other => Some(Arc::from(other)),
    });
    namespaces.collect::<Option<Vec<_>>>().unwrap_or_default()
}

/// The addresses of its endpoints.
pub(crate) struct EntryEndpointsUnit;

impl Unit for EntryEndpointsUnit {
    type Key = Hostname;
    type Output = Slices;

    fn keys(object: &Object) -> Vec<Hostname> {
        EntryHostUnit::keys(object)
    }

    fn compile(host: &Hostname, read: &WorldReader<'_>) -> Option<Slices> {
        let entry = read.entry_host(host)?;
        let (object, spec) = service_entry(entry_winner(host, read)?, read)?;
        let place = read.local_cluster(&())?;
        let by_address = spec.endpoints.iter().chain(selected(object, spec, read));
        let mut profiles = Interner::default();
        let mut endpoints: Vec<Endpoint> = Vec::new();
        for endpoint in by_address {
            let Some(ip) = endpoint.ip() else { continue };
            let profile = profiles.intern_arc(plain_profile(endpoint.locality.as_deref(), place));
            let weight = endpoint.weight.unwrap_or(1).max(1);
            endpoints.push(plain(host, ip, own_port(endpoint, spec), weight, profile));
        }
        for pair in &entry.groups {
            let Some(group) = read.workload_group(pair) else { continue };
            let ports = entry.service.ports.iter().map(|port| port.target_port);
            let plaintext = plaintext_ports(pair, ports, read);
            let workloads = read.workloads_of(pair);
            endpoints.extend(workloads.map(|one| native(one, group, place, &plaintext, &mut profiles)));
        }
        slices(endpoints)
    }

    fn touches(
        host: &Hostname,
        _old: Option<&Slices>,
        _new: Option<&Slices>,
        read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        endpoints_touch(host, false, read)
    }
}
