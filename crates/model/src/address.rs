//! Ports with a fixed meaning and the mesh-only addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// SSH, which is left alone where nobody asks for it by name: whoever manages a host must not lose it.
pub const PORT_SSH: u16 = 22;
/// Admin, loopback only.
pub const PORT_ADMIN: u16 = 15000;
/// Outbound capture.
pub const PORT_OUTBOUND: u16 = 15001;
/// Inbound capture.
pub const PORT_INBOUND: u16 = 15006;
/// Mesh transport: mTLS and HTTP/2.
pub const PORT_MESH: u16 = 15008;
/// Control stream over mutual TLS.
pub const PORT_CONTROL: u16 = 15012;
/// Metrics of the control plane.
pub const PORT_CONTROL_METRICS: u16 = 15014;
/// DNS, on 127.0.0.1.
pub const PORT_DNS: u16 = 15053;
/// Metrics of the proxy.
pub const PORT_METRICS: u16 = 15090;
/// Where clouds tell a host its own secrets: AWS, Google, Azure, Oracle and others; AWS for containers; Azure's
/// WireServer; Alibaba. Then AWS, AWS for containers, and Google in IPv6.
pub const METADATA: [IpAddr; 8] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];
/// `SO_MARK` of the proxy's own sockets, so that capture leaves them alone.
pub const SOCKET_MARK: u32 = 1337;

/// Ports of the proxy itself: never a destination of forwarded traffic.
pub fn is_proxy_port(port: u16) -> bool {
    matches!(port, 15000..=15099)
}

/// Whether `ip` lies in the mesh-only range: 240.0.0.0/4 without 255.0.0.0/8.
pub fn is_mesh_only(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(v4) if (240..255).contains(&v4.octets()[0]))
}

/// The `attempt`-th candidate of a mesh-only address for `host`: FNV-1a over the name, the same in every
/// cluster. Collisions are resolved by the caller counting `attempt` up, and the result is stored.
pub fn mesh_only_candidate(host: &str, attempt: u32) -> Ipv4Addr {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in host.bytes().chain(attempt.to_be_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    // 15 usable /8 blocks (240 to 254); the last octet avoids .0 and .255, which some stacks mistreat.
    let block = 240 + (hash >> 40) % 15;
    let rest = (hash >> 8) as u32;
    let last = 1 + (hash & 0xff) % 254;
    Ipv4Addr::new(block as u8, (rest >> 8) as u8, rest as u8, last as u8)
}

/// The /48 out of fd00::/8 in which the mesh-only addresses of IPv6 lie. A service has one beside its mesh-only IPv4
/// address, and made of it: the prefix, 48 zero bits, then that address. So whoever knows one knows the other, and nothing
/// more is allotted, stored or sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeshPrefix(Ipv6Addr);

impl MeshPrefix {
    /// Where no other is set.
    pub const DEFAULT: Self = Self(Ipv6Addr::new(0xfd4c, 0x656e, 0x6f00, 0, 0, 0, 0, 0));

    /// Reads its text form, as `fd12:3456:789a::/48`.
    pub fn parse(text: &str) -> Option<Self> {
        Self::of(text.strip_suffix("/48")?.parse().ok()?)
    }

    /// The prefix that begins with this address: out of fd00::/8, and nothing behind its 48 bits.
    pub fn of(first: Ipv6Addr) -> Option<Self> {
        (first.octets()[0] == 0xfd && first.to_bits() << 48 == 0).then_some(Self(first))
    }

    /// Its first address.
    pub fn first(self) -> Ipv6Addr {
        self.0
    }

    /// What stands for a mesh-only IPv4 address.
    pub fn address(self, v4: Ipv4Addr) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.0.to_bits() | u128::from(v4.to_bits()))
    }

    /// The mesh-only IPv4 address that an address stands for; `None`: for none.
    pub fn embedded(self, v6: Ipv6Addr) -> Option<Ipv4Addr> {
        let v4 = Ipv4Addr::from_bits(v6.to_bits() as u32);
        (self.address(v4) == v6 && is_mesh_only(v4.into())).then_some(v4)
    }
}

impl Default for MeshPrefix {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Display for MeshPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/48", self.0)
    }
}

/// What stands for the host behind an address when callers are counted: the address itself, or the /64 network
/// that an IPv6 host has for itself.
pub fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests;
