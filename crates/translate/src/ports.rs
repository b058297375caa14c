//! What a port of a service speaks: Kubernetes' rules for `appProtocol`, Istio's for names, Linkerd's for opaque ports.

use api::fields::port::{ServicePortSpec, TargetPort};
use model::port_list;
use model::service::{Protocol, ServicePort};
use std::collections::{BTreeMap, BTreeSet};

/// Ports of a Service that are opaque.
pub(crate) enum OpaquePorts {
    /// Those that are known for it, where nothing declares them.
    Default,
    /// These, whatever they are declared as, and no others by number alone.
    Listed(BTreeSet<u16>),
}

impl OpaquePorts {
    /// What annotations say.
    pub(crate) fn annotated(annotations: &BTreeMap<String, String>) -> Self {
        let listed = annotations.get(port_list::OPAQUE_PORTS).and_then(|list| port_list::parse(list).ok());
        listed.map_or(Self::Default, Self::Listed)
    }

    /// What a declared or undeclared port speaks.
    fn protocol(&self, port: u16, declared: Option<Protocol>) -> Protocol {
        let is_opaque = match self {
            Self::Default => declared.is_none() && port_list::OPAQUE_DEFAULT.contains(&port),
            Self::Listed(ports) => ports.contains(&port),
        };
        if is_opaque { Protocol::Tcp } else { declared.unwrap_or(Protocol::Undeclared) }
    }
}

/// `None` for what the mesh does not carry. `local`: the port of the local service behind a global one.
pub(crate) fn service_port(
    port: &ServicePortSpec,
    local: Option<&ServicePort>,
    opaque: &OpaquePorts,
) -> Option<ServicePort> {
    if !port.is_tcp() {
        return None;
    }
    let name = port.name.as_deref().unwrap_or_default();
    let target_port = port
        .target_port
        .as_ref()
        .and_then(TargetPort::number)
        .or(local.map(|local| local.target_port))
        .unwrap_or(port.port);
    // An `appProtocol` that is not known is another implementation's hint and says nothing here.
    let declared = port.app_protocol.as_deref().and_then(protocol_of_hint).or_else(|| protocol_of_name(name));
    let declared = declared.or(local.map(|local| local.protocol));
    Some(ServicePort {
        port: port.port,
        target_port,
        protocol: opaque.protocol(port.port, declared),
        name: name.into(),
    })
}

/// Of an `appProtocol`: Kubernetes' own values, then the words that names begin with. Values with the domain
/// of somebody else are never ours, whatever follows the slash.
fn protocol_of_hint(text: &str) -> Option<Protocol> {
    match text.to_ascii_lowercase().as_str() {
        "kubernetes.io/h2c" => Some(Protocol::Http2),
        "kubernetes.io/ws" => Some(Protocol::Http1),
        "kubernetes.io/wss" => Some(Protocol::Tcp),
        other => protocol_of_name(other),
    }
}

/// Of a name as `http` or `http-web`: the word before the first `-` counts. `grpc-web` is one word, and HTTP/2
/// like `grpc`.
pub(crate) fn protocol_of_name(text: &str) -> Option<Protocol> {
    let lower = text.to_ascii_lowercase();
    match lower.split('-').next().unwrap_or_default() {
        "http2" | "grpc" => Some(Protocol::Http2),
        "http" | "http_proxy" => Some(Protocol::Http1),
        "tcp" | "tls" | "https" | "mysql" | "mongo" | "redis" => Some(Protocol::Tcp),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
