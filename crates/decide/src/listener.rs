//! Where a connection belongs: outbound by original address, inbound by destination, gateway by port and
//! host. What is not ours is refused by name.

#[cfg(test)]
mod tests;

use crate::host;
use model::address::{PORT_SSH, is_mesh_only, is_proxy_port};
use model::listener::{Gateway, GatewayListener, Inbound, ListenerProtocol};
use model::mtls::{MtlsMode, TransportSecurity};
use model::route::HostMatch;
use model::service::Protocol;
use model::settings::EgressMode;
use model::trust::{Proof, Voucher};
use model::workload_host::is_workload_host;
use model::{Hostname, MeshSettings, Reason, TrustDomain};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a captured outbound connection is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outbound {
    /// To a service of the mesh.
    Service {
        /// Its host.
        host: Hostname,
        /// Service port.
        port: u16,
    },
    /// To somewhere outside the mesh, relayed as it is; or to the address of a workload: ask the control plane.
    Passthrough,
    /// Relayed as it is, whatever has the address. It is the host's own, where nothing comes in that would be captured; or it
    /// is SSH where anything may leave, which capture leaves alone at the callee, so that whoever manages a host does not
    /// lose it by a policy or with a proxy.
    LeftAlone,
    /// Must not go on.
    Refuse(Reason),
    /// A mesh-only address that the snapshot does not know: ask the control plane, then decide again.
    Unknown(Ipv4Addr),
}

/// Judges an outbound connection by the address that the application called; `own` are the host's. `by_address` looks a
/// mesh-only address up in the snapshot; one of IPv6 is looked up by the IPv4 address in it.
pub fn outbound(
    original: SocketAddr,
    own: &[IpAddr],
    settings: &MeshSettings,
    by_address: impl Fn(Ipv4Addr) -> Option<Hostname>,
) -> Outbound {
    let (ip, port) = (original.ip().to_canonical(), original.port());
    let mesh_only = match ip {
        IpAddr::V4(v4) => is_mesh_only(ip).then_some(v4),
        IpAddr::V6(v6) => settings.ipv6_prefix.embedded(v6),
    };
    match mesh_only {
        Some(address) => match by_address(address) {
            Some(host) => Outbound::Service { host, port },
            None => Outbound::Unknown(address),
        },
        // The proxy would call itself, without end.
        None if is_proxy_port(port) || port == 0 => Outbound::Refuse(Reason::NotMyDestination),
        None if is_own(own, ip) => Outbound::LeftAlone,
        None if port == PORT_SSH && settings.egress.mode == EgressMode::AllowAny => Outbound::LeftAlone,
        None => Outbound::Passthrough,
    }
}

/// Where a mesh request wants to go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    /// `IP:PORT`, within one network.
    Address(SocketAddr),
    /// `HOST:PORT`, service host and service port, through a gateway.
    Name(Hostname, u16),
}

/// What the callee's proxy speaks to its application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppProtocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
}

/// Reads `IP:PORT`, `[IPv6]:PORT` or `HOST:PORT`; `None` for anything else: a missing or zero port, a scoped
/// IPv6 address, user information.
pub fn parse_destination(text: &str) -> Option<Destination> {
    if text.contains('%') {
        return None;
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        return (address.port() != 0).then_some(Destination::Address(address));
    }
    let (name, port) = text.rsplit_once(':')?;
    if !port.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let port: u16 = port.parse().ok().filter(|port| *port != 0)?;
    Some(Destination::Name(Hostname::parse(name)?, port))
}

/// Reads the value of `x-leno-destination`: a destination, then `;h2` when the application must be spoken to
/// in HTTP/2.
pub fn parse_destination_header(text: &str) -> Option<(Destination, AppProtocol)> {
    match text.strip_suffix(";h2") {
        Some(rest) => Some((parse_destination(rest)?, AppProtocol::Http2)),
        None => Some((parse_destination(text)?, AppProtocol::Http1)),
    }
}

/// The application's port that a destination means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// On which the application listens.
    pub port: u16,
    /// What it speaks there; ports that no service points to are opaque.
    pub protocol: Protocol,
    /// What the port takes from callers.
    pub mode: MtlsMode,
}

/// Who vouches for a caller (`docs/decisions/0003`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerCluster {
    /// This cluster, or the root itself.
    Local,
    /// Another cluster, or nobody by name: it comes through a gateway, whose address it shows. What was not
    /// exported is not for it, and an address of its own network means something else here.
    Remote,
}

/// Whether a peer is of this cluster, by what its handshake proved. Everyone could claim a cluster, so only
/// who signed counts; and a root of another trust domain, which may name clusters as it likes, makes nobody local.
pub fn peer_cluster(proof: &Proof, cluster: &str, domain: Option<&TrustDomain>) -> PeerCluster {
    match &proof.voucher {
        _ if domain != Some(&proof.id.trust_domain) => PeerCluster::Remote,
        Voucher::Root => PeerCluster::Local,
        Voucher::Cluster(of) if **of == *cluster => PeerCluster::Local,
        Voucher::Cluster(_) | Voucher::Nameless => PeerCluster::Remote,
    }
}

/// Names that mean something else in each cluster; a `GlobalService` cannot have them.
fn is_cluster_local(host: &Hostname) -> bool {
    host.is_within("svc.cluster.local") || host.is_within("backend.leno") || is_workload_host(host)
}

/// Finds the local port that a peer of the mesh asks for, or refuses what is not this workload's, or not for this
/// caller.
///
/// # Errors
/// [`Reason::NotMyDestination`] for another host's address, a name that no port here has, and the
/// proxy's own ports; for foreign callers also [`Reason::NotExported`] for all but global names;
/// [`Reason::MtlsDisabled`] for a port that takes plaintext alone.
pub fn inbound(
    inbound: &Inbound,
    own: &[IpAddr],
    to: &Destination,
    by: PeerCluster,
) -> Result<Local, Reason> {
    let local = match to {
        Destination::Address(_) if by == PeerCluster::Remote => return Err(Reason::NotExported),
        Destination::Name(host, _) if by == PeerCluster::Remote && is_cluster_local(host) => {
            return Err(Reason::NotExported);
        }
        Destination::Address(address) => at_address(inbound, own, *address)?,
        Destination::Name(host, port) => {
            let named = |names: &[(Hostname, u16)]| names.iter().any(|(h, p)| h == host && p == port);
            match inbound.ports.iter().find(|known| named(&known.names)) {
                Some(known) if !is_proxy_port(known.port) => {
                    Local { port: known.port, protocol: known.protocol, mode: inbound.mtls.at(known.port) }
                }
                _ => return Err(Reason::NotMyDestination),
            }
        }
    };
    takes(local.mode, TransportSecurity::MutualTls)?;
    Ok(local)
}

/// Finds the local port that somebody called past the mesh, in plaintext.
///
/// # Errors
/// [`Reason::Plaintext`] for a port that takes mutual TLS alone; [`Reason::NotMyDestination`] as [`inbound`].
pub fn plaintext(inbound: &Inbound, own: &[IpAddr], to: SocketAddr) -> Result<Local, Reason> {
    // First, so that who is refused everywhere learns of nothing else.
    takes(inbound.mtls.at(to.port()), TransportSecurity::Plaintext)?;
    at_address(inbound, own, to)
}

/// Whether a port of this mode takes what came by this way.
///
/// # Errors
/// [`Reason::Plaintext`], [`Reason::MtlsDisabled`].
pub fn takes(mode: MtlsMode, transport: TransportSecurity) -> Result<(), Reason> {
    match transport {
        _ if mode.takes(transport) => Ok(()),
        TransportSecurity::Plaintext => Err(Reason::Plaintext),
        TransportSecurity::MutualTls => Err(Reason::MtlsDisabled),
    }
}

fn at_address(inbound: &Inbound, own: &[IpAddr], to: SocketAddr) -> Result<Local, Reason> {
    let (ip, port) = (to.ip().to_canonical(), to.port());
    let is_elsewhere = ip.is_loopback() || ip.is_unspecified() || is_proxy_port(port) || port == 0;
    if is_elsewhere || !is_own(own, ip) {
        return Err(Reason::NotMyDestination);
    }
    let known = inbound.ports.iter().find(|known| known.port == port);
    let protocol = known.map_or(Protocol::Tcp, |known| known.protocol);
    Ok(Local { port, protocol, mode: inbound.mtls.at(port) })
}

fn is_own(own: &[IpAddr], ip: IpAddr) -> bool {
    own.iter().any(|own| own.to_canonical() == ip)
}

/// Where the application may listen on a port that was called at `called`, in the order to try: where it was found on loopback
/// last, at the address that was called, on loopback.
pub fn application_places(called: IpAddr, last: Option<IpAddr>) -> impl Iterator<Item = IpAddr> {
    let all = [called, Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    last.into_iter().chain(all.into_iter().filter(move |place| Some(*place) != last))
}

/// Index of the gateway's listener for a request that came in `at` this place, with this authority: an exact host
/// before the longest wildcard before no host (Gateway API, `Listener.hostname`). A listener on another address of
/// the same port is another entrance, with other routes and policies.
pub fn gateway_listener(gateway: &Gateway, at: SocketAddr, authority: &str) -> Option<usize> {
    let is_named = gateway.listeners.iter().any(|listener| listener.host.is_some());
    let host = if is_named { host::canonical(authority) } else { authority.into() };
    let fits = gateway
        .listeners
        .iter()
        .enumerate()
        .filter(|(_, listener)| listener.place() == at && listener.protocol != ListenerProtocol::Udp);
    let ranked = fits.filter_map(|(index, listener)| {
        Some((host_rank(listener.host.as_ref(), &host)?, std::cmp::Reverse(index)))
    });
    ranked.max().map(|(_, std::cmp::Reverse(index))| index)
}

/// The place of the gateway's listener that a workload of the mesh calls at this address of the gateway's host: it comes by the
/// mesh's own mutual TLS, so it is one that ends none itself. What it carries is HTTP.
pub fn mesh_entrance(gateway: &Gateway, called: SocketAddr) -> Option<SocketAddr> {
    let is_meant = |listener: &&GatewayListener| {
        let is_there = listener.address.is_none_or(|own| own.is_unspecified() || own == called.ip());
        is_there
            && listener.port == called.port()
            && listener.tls.is_none()
            && listener.protocol == ListenerProtocol::Http
    };
    gateway.listeners.iter().find(is_meant).map(GatewayListener::place)
}

/// Index of the gateway's listener for a connection in TLS that came in `at` this place and asked for this server name, in
/// lower case: the most specific, as for a request. Who asks for none gets a listener for all names, or none.
pub fn tls_listener(gateway: &Gateway, at: SocketAddr, server_name: Option<&str>) -> Option<usize> {
    let host = server_name.map(host::canonical).unwrap_or_default();
    let speaks = gateway.listeners.iter().enumerate().filter(|(_, listener)| listener.tls.is_some());
    let ranked = speaks.filter(|(_, listener)| listener.place() == at).filter_map(|(index, listener)| {
        Some((host_rank(listener.host.as_ref(), &host)?, std::cmp::Reverse(index)))
    });
    ranked.max().map(|(_, std::cmp::Reverse(index))| index)
}

/// How specifically a host match meets a canonical host: exact, then the longest suffix, then none at all.
/// `None`: it does not.
pub(crate) fn host_rank(pattern: Option<&HostMatch>, host: &str) -> Option<(u8, usize)> {
    match pattern {
        None => Some((0, 0)),
        Some(HostMatch::Exact(name)) => (name.as_str() == host).then_some((2, name.as_str().len())),
        Some(HostMatch::Suffix(suffix)) => {
            let below =
                host.strip_suffix(suffix.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'));
            // With the dot before it, as what an ending has before its first dot.
            below.then_some((1, suffix.as_str().len() + 1))
        }
        Some(HostMatch::Ending(ending)) => {
            (host.len() > ending.len() && host.ends_with(&**ending)).then_some((1, ending.len()))
        }
    }
}
