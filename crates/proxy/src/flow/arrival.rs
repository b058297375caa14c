//! Which port of the local application somebody asks for: by a header, by the authority of a CONNECT, or by calling it
//! past the mesh. `decide::listener` says whether that is ours to give.

use crate::request::HEADER_DESTINATION;
use crate::snapshot::Snapshot;
use crate::upstream::application::{ApplicationAddress, Listens};
use decide::listener::{self, AppProtocol, Destination, Local, PeerCluster};
use http::HeaderMap;
use model::listener::Inbound;
use model::mtls::TransportSecurity;
use model::service::Protocol;
use model::{Hostname, Reason};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A port of the local application that somebody asks for.
#[derive(Clone, Debug)]
pub(crate) struct InboundTarget {
    /// The port and its protocol.
    pub(crate) local: Local,
    /// The application.
    pub(crate) application: ApplicationAddress,
    /// By which name it was asked for, or the first that it has.
    pub(crate) host: Option<Hostname>,
    /// What to speak to it.
    pub(crate) app_protocol: AppProtocol,
}

/// The local port that the destination header of a request means.
///
/// # Errors
/// Why it means none.
pub(super) fn arrive_by_header(
    snapshot: &Snapshot,
    headers: &HeaderMap,
    by: PeerCluster,
) -> Result<InboundTarget, Reason> {
    let mut values = headers.get_all(HEADER_DESTINATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(Reason::BadRequest) };
    let text = value.to_str().map_err(|_| Reason::BadRequest)?;
    let (destination, app_protocol) = listener::parse_destination_header(text).ok_or(Reason::BadRequest)?;
    arrive(snapshot, &destination, app_protocol, by)
}

/// The local port that a destination means.
///
/// # Errors
/// Why it means none.
pub(super) fn arrive(
    snapshot: &Snapshot,
    destination: &Destination,
    app_protocol: AppProtocol,
    by: PeerCluster,
) -> Result<InboundTarget, Reason> {
    let Some(inbound) = &snapshot.inbound else {
        return Err(if snapshot.is_configured() { Reason::NotMyDestination } else { Reason::NotSynced });
    };
    let local = listener::inbound(inbound, &snapshot.own, destination, by)?;
    let (ip, host) = match destination {
        Destination::Address(address) => (address.ip(), None),
        Destination::Name(host, _) => (own_address(snapshot), Some(host.clone())),
    };
    Ok(target(inbound, local, ip, host, app_protocol))
}

/// The local port that a captured connection called.
///
/// # Errors
/// Why there is none; [`Reason::Plaintext`] as long as nothing is known.
pub(super) fn arrive_in_plaintext(snapshot: &Snapshot, to: SocketAddr) -> Result<InboundTarget, Reason> {
    let Some(inbound) = &snapshot.inbound else { return Err(Reason::Plaintext) };
    let local = listener::plaintext(inbound, &snapshot.own, to)?;
    Ok(target(inbound, local, to.ip(), None, AppProtocol::Http1))
}

/// Whether a port still takes what comes to it by this way.
///
/// # Errors
/// Why not.
pub(super) fn may_arrive(
    snapshot: &Snapshot,
    target: &InboundTarget,
    transport: TransportSecurity,
) -> Result<(), Reason> {
    let mtls = snapshot.inbound.as_ref().map(|inbound| inbound.mtls.at(target.local.port));
    listener::takes(mtls.unwrap_or_default(), transport)
}

fn target(
    inbound: &Inbound,
    local: Local,
    ip: IpAddr,
    host: Option<Hostname>,
    app_protocol: AppProtocol,
) -> InboundTarget {
    let declared = inbound.ports.iter().find(|port| port.port == local.port);
    let first_name = || declared?.names.first().map(|(host, _)| host.clone());
    let listens = if declared.is_some() { Listens::ThereOrOnLoopback } else { Listens::There };
    let app_protocol = if local.protocol == Protocol::Http2 { AppProtocol::Http2 } else { app_protocol };
    InboundTarget {
        local,
        application: ApplicationAddress { called: SocketAddr::new(ip, local.port), listens },
        host: host.or_else(first_name),
        app_protocol,
    }
}

fn own_address(snapshot: &Snapshot) -> IpAddr {
    snapshot.own.first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}
