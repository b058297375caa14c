//! Services, ports, inbound sides, exports.

use super::external::{external_in, external_out};
use super::probe::{probe_in, probe_out};
use super::{DecodeError, arcs, bad, host, list, pairs_in, pairs_out, small, strings, within};
use crate::proto::leno::mesh::v1 as p;
use model::Hostname;
use model::listener::{Exports, Inbound, InboundPort};
use model::mtls::{InboundMtls, MtlsMode};
use model::service::{Headless, Protocol, Service, ServicePort};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

pub(crate) fn service_out(service: &Service) -> p::Service {
    p::Service {
        host: service.host.to_string(),
        namespace: service.namespace.to_string(),
        name: service.name.to_string(),
        address: service.address.map(u32::from),
        ports: service.ports.iter().map(port_out).collect(),
        global: service.global,
        failover_order: strings(&service.failover_order),
        headless: service
            .headless
            .map(|headless| p::Headless { publishes_unready: headless.publishes_unready }),
        external: service.external.as_deref().map(external_out),
    }
}

pub(crate) fn service_in(service: p::Service) -> Result<Service, DecodeError> {
    Ok(Service {
        host: host("host", &service.host)?,
        namespace: service.namespace.into(),
        name: service.name.into(),
        address: service.address.map(Ipv4Addr::from),
        ports: list("ports", &service.ports, port_in)?,
        global: service.global,
        failover_order: arcs(service.failover_order),
        headless: service.headless.map(|headless| Headless { publishes_unready: headless.publishes_unready }),
        external: match service.external {
            Some(external) => Some(Box::new(within("external", external_in(external))?)),
            None => None,
        },
    })
}

pub(crate) fn port_out(port: &ServicePort) -> p::ServicePort {
    p::ServicePort {
        port: port.port.into(),
        target_port: port.target_port.into(),
        protocol: protocol_out(port.protocol),
        name: port.name.to_string(),
    }
}

pub(crate) fn port_in(port: &p::ServicePort) -> Result<ServicePort, DecodeError> {
    Ok(ServicePort {
        port: small("port", port.port)?,
        target_port: small("target_port", port.target_port)?,
        protocol: protocol_in(port.protocol)?,
        name: port.name.as_str().into(),
    })
}

fn protocol_out(protocol: Protocol) -> i32 {
    match protocol {
        Protocol::Http1 => p::Protocol::Http1,
        Protocol::Http2 => p::Protocol::Http2,
        Protocol::Tcp => p::Protocol::Tcp,
        Protocol::Undeclared => p::Protocol::Undeclared,
        Protocol::Udp => p::Protocol::Udp,
    }
    .into()
}

fn protocol_in(protocol: i32) -> Result<Protocol, DecodeError> {
    Ok(match p::Protocol::try_from(protocol) {
        Ok(p::Protocol::Http1) => Protocol::Http1,
        Ok(p::Protocol::Http2) => Protocol::Http2,
        Ok(p::Protocol::Tcp) => Protocol::Tcp,
        Ok(p::Protocol::Undeclared) => Protocol::Undeclared,
        Ok(p::Protocol::Udp) => Protocol::Udp,
        Ok(p::Protocol::Unspecified) | Err(_) => {
            return Err(bad("protocol", format!("unknown value {protocol}")));
        }
    })
}

fn host_ports_out(names: &[(Hostname, u16)]) -> Vec<p::HostPort> {
    names.iter().map(|(host, port)| p::HostPort { host: host.to_string(), port: (*port).into() }).collect()
}

fn host_port_in(name: &p::HostPort) -> Result<(Hostname, u16), DecodeError> {
    Ok((host("host", &name.host)?, small("port", name.port)?))
}

pub(crate) fn inbound_out(inbound: &Inbound) -> p::Inbound {
    let port = |port: &InboundPort| p::InboundPort {
        port: port.port.into(),
        protocol: protocol_out(port.protocol),
        names: host_ports_out(&port.names),
    };
    p::Inbound {
        namespace: inbound.namespace.to_string(),
        group: inbound.group.to_string(),
        labels: pairs_out(&inbound.labels),
        ports: inbound.ports.iter().map(port).collect(),
        // Proxies that do not know it need it only where something else than the default holds.
        mtls: (inbound.mtls != InboundMtls::default()).then(|| mtls_out(&inbound.mtls)),
        probe: inbound.probe.as_deref().map(probe_out),
        capture: pairs_out(&inbound.capture),
    }
}

pub(crate) fn inbound_in(inbound: p::Inbound) -> Result<Inbound, DecodeError> {
    let port = |port: &p::InboundPort| {
        Ok(InboundPort {
            port: small("port", port.port)?,
            protocol: protocol_in(port.protocol)?,
            names: list("names", &port.names, host_port_in)?,
        })
    };
    Ok(Inbound {
        namespace: inbound.namespace.into(),
        group: inbound.group.into(),
        labels: pairs_in(&inbound.labels),
        ports: list("ports", &inbound.ports, port)?,
        mtls: match inbound.mtls {
            Some(mtls) => within("mtls", mtls_in(mtls))?,
            None => InboundMtls::default(),
        },
        probe: match inbound.probe {
            Some(probe) => Some(Arc::new(within("probe", probe_in(probe))?)),
            None => None,
        },
        capture: pairs_in(&inbound.capture),
    })
}

fn mtls_out(mtls: &InboundMtls) -> p::InboundMtls {
    let port = |(port, mode): (&u16, &MtlsMode)| p::PortMtls { port: (*port).into(), mode: mode_out(*mode) };
    p::InboundMtls { mode: mode_out(mtls.mode), ports: mtls.ports.iter().map(port).collect() }
}

fn mtls_in(mtls: p::InboundMtls) -> Result<InboundMtls, DecodeError> {
    let port = |port: &p::PortMtls| Ok((small("port", port.port)?, mode_in(port.mode)?));
    let ports: BTreeMap<u16, MtlsMode> = list("ports", &mtls.ports, port)?.into_iter().collect();
    if ports.len() != mtls.ports.len() {
        return Err(bad("ports", "a port twice"));
    }
    Ok(InboundMtls { mode: mode_in(mtls.mode)?, ports })
}

pub(super) fn mode_out(mode: MtlsMode) -> i32 {
    match mode {
        MtlsMode::Strict => p::MtlsMode::Strict,
        MtlsMode::Permissive => p::MtlsMode::Permissive,
        MtlsMode::Disable => p::MtlsMode::Disable,
    }
    .into()
}

pub(super) fn mode_in(mode: i32) -> Result<MtlsMode, DecodeError> {
    Ok(match p::MtlsMode::try_from(mode) {
        Ok(p::MtlsMode::Strict) => MtlsMode::Strict,
        Ok(p::MtlsMode::Permissive) => MtlsMode::Permissive,
        Ok(p::MtlsMode::Disable) => MtlsMode::Disable,
        Ok(p::MtlsMode::Unspecified) | Err(_) => return Err(bad("mode", format!("unknown value {mode}"))),
    })
}

pub(crate) fn exports_out(exports: &Exports) -> p::Exports {
    p::Exports { hosts: host_ports_out(&exports.hosts) }
}

pub(crate) fn exports_in(exports: p::Exports) -> Result<Exports, DecodeError> {
    Ok(Exports { hosts: list("hosts", &exports.hosts, host_port_in)? })
}
