//! Services that somebody described by hand, most of them outside the mesh: how their addresses are found, and by what
//! applications mean them where they call no mesh-only address.

use crate::authz::Cidr;
use crate::id::{Hostname, Locality};
use crate::route::HostMatch;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// What is said of such a service beside its ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExternalService {
    /// Where it is.
    pub resolution: Resolution,
    /// Endpoints by name, beside those of its slices.
    pub names: Vec<NamedEndpoint>,
    /// Name servers that know them; empty: those of the proxy's host.
    pub resolvers: Vec<SocketAddr>,
    /// Addresses that mean it; with some it has no mesh-only one.
    pub addresses: Vec<Cidr>,
    /// One must stand in the certificates of its endpoints, where TLS is originated and no policy says another.
    pub subject_alt_names: Vec<Arc<str>>,
    /// Namespaces whose workloads see it; empty: all.
    pub visible_in: Vec<Arc<str>>,
    /// Its ports where clients begin with TLS, as somebody declared.
    pub tls_ports: Vec<u16>,
}

impl ExternalService {
    /// Whether workloads of a namespace see it.
    pub fn is_visible_in(&self, namespace: &str) -> bool {
        is_seen(&self.visible_in, namespace)
    }

    /// Whether it has no endpoints of its own: it is wherever the application calls, or where the name leads that it says.
    pub fn is_wherever(&self) -> bool {
        matches!(self.resolution, Resolution::None | Resolution::DynamicDns)
    }

    /// Whether an address means it.
    pub fn has_address(&self, ip: IpAddr) -> bool {
        self.addresses.iter().any(|block| block.contains(ip))
    }

    /// Its first address of each family, where that is a single one: what its name resolves to.
    pub fn told_addresses(&self) -> impl Iterator<Item = IpAddr> {
        let single = |block: &&Cidr| block.prefix == if block.address.is_ipv4() { 32 } else { 128 };
        let v4 = self.addresses.iter().filter(single).find(|block| block.address.is_ipv4());
        let v6 = self.addresses.iter().filter(single).find(|block| block.address.is_ipv6());
        v4.into_iter().chain(v6).map(|block| block.address)
    }
}

fn is_seen(visible_in: &[Arc<str>], namespace: &str) -> bool {
    visible_in.is_empty() || visible_in.iter().any(|known| **known == *namespace)
}

/// `resolution` of a `ServiceEntry`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resolution {
    /// `STATIC`: at its endpoints.
    #[default]
    Static,
    /// `DNS`: at all addresses of its names.
    Dns,
    /// `DNS_ROUND_ROBIN`: at one address of its names, the one that comes first at the moment.
    DnsRoundRobin,
    /// `NONE`: wherever the application called.
    None,
    /// `DYNAMIC_DNS`: at the addresses of the name that the application asks for.
    DynamicDns,
}

/// An endpoint that is called by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamedEndpoint {
    /// Its name.
    pub host: Hostname,
    /// 0: the service port's `target_port`.
    pub port: u16,
    /// Share of traffic, from 1, of each of its addresses.
    pub weight: u32,
    /// Where it is.
    pub locality: Locality,
}

/// Addresses that mean a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressClaim {
    /// All of these.
    pub block: Cidr,
    /// At these ports, sorted.
    pub ports: Vec<u16>,
    /// The service.
    pub host: Hostname,
    /// Namespaces whose workloads mean it by them; empty: all.
    pub visible_in: Vec<Arc<str>>,
}

impl AddressClaim {
    /// Whether it counts for workloads of a namespace.
    pub fn is_visible_in(&self, namespace: &str) -> bool {
        is_seen(&self.visible_in, namespace)
    }
}

/// Names that mean a service, as clients say them in TLS or HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameClaim {
    /// All of these.
    pub name: HostMatch,
    /// At these ports, sorted.
    pub ports: Vec<u16>,
    /// The service.
    pub host: Hostname,
    /// Namespaces whose workloads mean it by them; empty: all.
    pub visible_in: Vec<Arc<str>>,
}

impl NameClaim {
    /// Whether it counts for workloads of a namespace.
    pub fn is_visible_in(&self, namespace: &str) -> bool {
        is_seen(&self.visible_in, namespace)
    }
}
