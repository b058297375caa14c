//! What a proxy accepts: a workload's own ports, a gateway's listeners, an east-west gateway's exports.

use crate::client_traffic::ClientTraffic;
use crate::id::Hostname;
use crate::listener_tls::ListenerTls;
use crate::mtls::InboundMtls;
use crate::probe::ReadinessProbe;
use crate::route::HostMatch;
use crate::service::Protocol;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// The inbound side of every workload of one `WorkloadGroup`.
#[derive(Clone, Debug, PartialEq)]
pub struct Inbound {
    /// Namespace of the group.
    pub namespace: Arc<str>,
    /// Name of the group.
    pub group: Arc<str>,
    /// Labels of the group's template (metrics: `app`, `version`).
    pub labels: Vec<(Arc<str>, Arc<str>)>,
    /// The application's ports that services point to. Other ports of the workload are opaque TCP.
    pub ports: Vec<InboundPort>,
    /// What its ports take from callers.
    pub mtls: InboundMtls,
    /// How to find out whether the application is ready; `None`: it counts as ready.
    pub probe: Option<Arc<ReadinessProbe>>,
    /// Annotations of the group's template about capture, for whoever keeps the host's rules.
    pub capture: Vec<(Arc<str>, Arc<str>)>,
}

/// One port of the application.
#[derive(Clone, Debug, PartialEq)]
pub struct InboundPort {
    /// The port that the application listens on.
    pub port: u16,
    /// What it speaks there.
    pub protocol: Protocol,
    /// Names by which it is called: `(service host, service port)`; what arrives through a gateway
    /// names its destination so.
    pub names: Vec<(Hostname, u16)>,
}

/// A `Gateway` (Gateway API).
#[derive(Clone, Debug, PartialEq)]
pub struct Gateway {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// Its listeners.
    pub listeners: Vec<GatewayListener>,
}

/// One listener of a gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewayListener {
    /// `name`.
    pub name: Arc<str>,
    /// Port, 1 to 65535.
    pub port: u16,
    /// What callers speak there.
    pub protocol: ListenerProtocol,
    /// `hostname`; `None`: all.
    pub host: Option<HostMatch>,
    /// `Some`: listen on this address only (short form `leno gateway --from`).
    pub address: Option<std::net::IpAddr>,
    /// What is done with TLS; `None`: none is spoken.
    pub tls: Option<Arc<ListenerTls>>,
    /// What is said of those who call it; `None`: nothing.
    pub client: Option<Arc<ClientTraffic>>,
}

/// What callers speak at a listener (Gateway API, `ProtocolType`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ListenerProtocol {
    /// HTTP/1.1 and HTTP/2 in plaintext.
    #[default]
    Http,
    /// The same in TLS, which ends here.
    Https,
    /// TLS, which ends here or is passed on; routed by server name.
    Tls,
    /// Opaque bytes.
    Tcp,
    /// Datagrams.
    Udp,
}

impl ListenerProtocol {
    /// Whether what comes in is read as HTTP.
    pub fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }
}

/// Stands between the parts of the name of a listener that comes from a `ListenerSet`; no name of a user has it.
const OF_SET: char = '~';

/// The name, among all listeners of its gateway, of one that comes from a `ListenerSet`.
pub fn listener_of_set(namespace: &str, set: &str, listener: &str) -> String {
    format!("{namespace}{OF_SET}{set}{OF_SET}{listener}")
}

impl GatewayListener {
    /// Whether the gateway itself lists it. A route that names the gateway and no listener is for those alone.
    pub fn is_gateways_own(&self) -> bool {
        !self.name.contains(OF_SET)
    }

    /// Where it listens. On all addresses unless one is given; the unspecified one, of either family, stands for those
    /// of both.
    pub fn place(&self) -> SocketAddr {
        SocketAddr::new(self.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), self.port)
    }
}

/// What an east-west gateway may be asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Exports {
    /// `(service host, service port)`, sorted. The gateway subscribes to these hosts.
    pub hosts: Vec<(Hostname, u16)>,
}
