//! What a port of a service speaks: Kubernetes' rules for `appProtocol`, Istio's for names and known ports.

use api::fields::port::{ServicePortSpec, TargetPort};
use model::service::{Protocol, ServicePort};

/// Where servers speak first: one that waits for the client's first bytes to tell what it speaks would make
/// both wait. Istio takes the same ones for TCP unless they say otherwise: SMTP, DNS, MySQL, MongoDB.
const SERVER_FIRST: &[u16] = &[25, 53, 3306, 27017];

/// `None` for what the mesh does not carry. `local`: the port of the local service behind a global one.
pub(crate) fn service_port(port: &ServicePortSpec, local: Option<&ServicePort>) -> Option<ServicePort> {
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
    let known = || SERVER_FIRST.contains(&port.port).then_some(Protocol::Tcp);
    let protocol = declared.or(local.map(|local| local.protocol)).or_else(known);
    Some(ServicePort {
        port: port.port,
        target_port,
        protocol: protocol.unwrap_or(Protocol::Undeclared),
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
