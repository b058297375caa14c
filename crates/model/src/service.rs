//! Services and where their endpoints are.

use crate::external::ExternalService;
use crate::id::{Hostname, Locality, SpiffeId};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Deref;
use std::sync::Arc;

/// What an application speaks on a port. Declared by port name or `appProtocol` as in Kubernetes and Istio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1 to the application (`http`); clients may speak HTTP/1.1 or HTTP/2.
    Http1,
    /// HTTP/2 with prior knowledge (`http2`, `grpc`, `kubernetes.io/h2c`).
    Http2,
    /// Opaque bytes (`tcp`, `tls`, `https`).
    Tcp,
    /// Not declared: sniffed on the client's side.
    Undeclared,
    /// Datagrams, of a `Backend`: routes of gateways alone lead there.
    Udp,
}

/// One port of a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServicePort {
    /// The port that clients use.
    pub port: u16,
    /// The port that the application listens on.
    pub target_port: u16,
    /// What it speaks.
    pub protocol: Protocol,
    /// Port name; may be empty.
    pub name: Arc<str>,
}

/// A destination by name. A `GlobalService` and a Kubernetes `Service` both become one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name in the mesh, the key of everything that belongs to it.
    pub host: Hostname,
    /// Namespace of the object behind it.
    pub namespace: Arc<str>,
    /// `metadata.name` of the object behind it (for metric labels).
    pub name: Arc<str>,
    /// Mesh-only address that the host resolves to; `None` for hosts without one.
    pub address: Option<Ipv4Addr>,
    /// Ports; empty only for a workload that no Service names.
    pub ports: Vec<ServicePort>,
    /// Whether endpoints of other clusters may be used (it came from a `GlobalService`).
    pub global: bool,
    /// Preferred clusters when the local one has no healthy endpoint, best first; empty: any, by locality.
    pub failover_order: Vec<Arc<str>>,
    /// Its name resolves to the addresses of its workloads (Kubernetes `clusterIP: None`); `None`: to `address`.
    pub headless: Option<Headless>,
    /// What somebody described by hand; `None`: it is a `Service`, `GlobalService` or the like.
    pub external: Option<Box<ExternalService>>,
}

/// How the name of a headless service is answered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headless {
    /// With workloads that are not ready, too: peers of a cluster find one another before they are (Kubernetes
    /// `publishNotReadyAddresses`).
    pub publishes_unready: bool,
}

/// How the wire to an endpoint is secured and framed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// A Leno proxy on the same network, at [`crate::address::PORT_MESH`]: requests are plain HTTP/2 streams.
    Native,
    /// Another mesh's proxy that takes only CONNECT (Istio's ztunnel).
    Hbone,
    /// No proxy there: plaintext straight to the application's port.
    Plain,
    /// Behind the east-west gateway at the endpoint's address: two tunnels, the inner one end to end.
    /// The endpoint's address and port are the gateway's; the inner handshake must show one of `identities`.
    Gateway,
}

/// Whether an endpoint may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndpointState {
    /// May be chosen.
    Ready,
    /// On its way out: finishes what it has, gets nothing new.
    Draining,
    /// Its application is not ready: gets nothing new until it is.
    Unready,
}

/// One place where a service can be reached. There may be a hundred thousand of them, so what many have in common is held
/// once, and read as if it were their own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Stable for the life of one registration; health state is kept by it, so a restarted workload at the
    /// same address starts clean. Unique in the mesh.
    pub uid: Arc<str>,
    /// What it has in common with others.
    pub profile: Arc<EndpointProfile>,
    /// Address within `network`: of the workload, or of its network's gateway for [`Reach::Gateway`].
    pub address: IpAddr,
    /// 0: the service port's `target_port`. Otherwise this port instead (static backends), or the
    /// gateway's mesh port for [`Reach::Gateway`].
    pub port: u16,
    /// Share of traffic within its locality, from 1.
    pub weight: u32,
    /// Whether it may be chosen.
    pub state: EndpointState,
}

/// What many endpoints have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EndpointProfile {
    /// How to get there.
    pub reach: Reach,
    /// Cluster that they belong to.
    pub cluster: Arc<str>,
    /// Where they run.
    pub locality: Locality,
    /// Who must answer the (inner) handshake. Empty only for [`Reach::Plain`].
    pub identities: Vec<SpiffeId>,
    /// Identity of the gateway for [`Reach::Gateway`]; `None` otherwise.
    pub gateway_identity: Option<SpiffeId>,
    /// Ports among the service's target ports that take plaintext alone, sorted; of [`Reach::Native`] only.
    pub plaintext_ports: Vec<u16>,
}

impl EndpointProfile {
    /// How to get to a target port of the service.
    pub fn reach_at(&self, port: u16) -> &Reach {
        if self.plaintext_ports.contains(&port) { &Reach::Plain } else { &self.reach }
    }
}

impl Deref for Endpoint {
    type Target = EndpointProfile;

    fn deref(&self) -> &EndpointProfile {
        &self.profile
    }
}

/// At most this many endpoints travel in one slice, so that one change stays below 1 kB.
pub const SLICE_ENDPOINTS_MAX: usize = 48;

/// A part of a service's endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSlice {
    /// The service that they belong to.
    pub host: Hostname,
    /// Which part, from 0.
    pub index: u32,
    /// At most [`SLICE_ENDPOINTS_MAX`].
    pub endpoints: Arc<[Endpoint]>,
}
