//! Where services without endpoints are: at the addresses of a name, or at the one that was called. Asked for each connection, and
//! for each request on one of HTTP, because the next may name another host.

use super::super::fetch_entry;
use crate::snapshot::HostEntry;
use crate::worker::Worker;
use decide::egress::{self, SaidHost};
use model::external::{ExternalService, Resolution};
use model::route::HostMatch;
use model::settings::EgressMode;
use model::{Hostname, Reason};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The service that a request means, and the same at the addresses where it is called.
pub(in crate::flow) struct Placed {
    /// With its rules.
    pub(in crate::flow) entry: Arc<HostEntry>,
    /// With endpoints; `None`: it has them anyway.
    pub(in crate::flow) at: Option<Arc<HostEntry>>,
}

/// What a request with this authority goes to, on a connection to `called` that began with a name of `entry`.
///
/// # Errors
/// [`Reason::EgressDenied`], [`Reason::NoEndpoint`].
pub(in crate::flow) async fn of_request(
    worker: &Worker,
    entry: Arc<HostEntry>,
    authority: &str,
    called: SocketAddr,
) -> Result<Placed, Reason> {
    let snapshot = worker.snapshot();
    let (mode, port) = (snapshot.settings.egress.mode, called.port());
    let name = match egress::said_host(authority) {
        SaidHost::Name(name) => Hostname::parse(name),
        SaidHost::Address(_) => None,
    };
    let claim = name.as_ref().and_then(|name| egress::by_name(&snapshot.names, name.as_str(), port));
    let (entry, to) = match (claim, &name) {
        (Some(claim), Some(name)) => {
            let entry = match claim.host == entry.service.host {
                true => entry,
                false => fetch_entry(worker, &snapshot, &claim.host).await?,
            };
            if !entry.service.external.as_deref().is_some_and(ExternalService::is_wherever) {
                return Ok(Placed { entry, at: None });
            }
            let to = of_name(worker, &entry, name, called).await?;
            (entry, to)
        }
        // Its address means it, whatever is said to it.
        _ if egress::by_address(&snapshot.names, called) == Some(&entry.service.host) => {
            (entry, vec![called])
        }
        _ if mode == EgressMode::AllowAny => (entry, vec![called]),
        (_, Some(name)) if mode == EgressMode::AllowAnyDynamicDns => {
            let to = addresses(worker, name, port, Worlds::OutsideAlone).await?;
            (entry, to)
        }
        _ => return Err(Reason::EgressDenied),
    };
    for address in &to {
        egress::may_call(address.ip(), &snapshot.settings.egress)?;
    }
    let at = Some(Arc::new(entry.at_addresses(&to, &snapshot.me)));
    Ok(Placed { entry, at })
}

/// Where a service without endpoints is that was called at `called` by this name.
///
/// # Errors
/// [`Reason::EgressDenied`], [`Reason::NoEndpoint`].
pub(super) async fn of_name(
    worker: &Worker,
    entry: &HostEntry,
    name: &Hostname,
    called: SocketAddr,
) -> Result<Vec<SocketAddr>, Reason> {
    let external = entry.service.external.as_deref();
    let is_none = external.is_some_and(|external| external.resolution == Resolution::None);
    if is_none && external.is_some_and(|external| external.has_address(called.ip().to_canonical())) {
        return Ok(vec![called]);
    }
    // Whoever owns a name below a wildcard chooses its addresses; a whole name was chosen by whoever described it.
    let snapshot = worker.snapshot();
    let claim = egress::by_name(&snapshot.names, name.as_str(), called.port());
    let worlds = match claim.map(|claim| &claim.name) {
        Some(HostMatch::Exact(_)) => Worlds::All,
        Some(HostMatch::Suffix(_) | HostMatch::Ending(_)) | None => Worlds::OutsideAlone,
    };
    let to = addresses(worker, name, called.port(), worlds).await?;
    if is_none && to.contains(&called) { Ok(vec![called]) } else { Ok(to) }
}

/// Which addresses a name may lead to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Worlds {
    /// Any but those of metadata services, of the mesh and of this host.
    All,
    /// Those of the world outside.
    OutsideAlone,
}

/// The addresses of a name, at a port.
///
/// # Errors
/// [`Reason::NoEndpoint`]: it has none. [`Reason::EgressDenied`]: it has none that it may lead to.
pub(super) async fn addresses(
    worker: &Worker,
    name: &Hostname,
    port: u16,
    worlds: Worlds,
) -> Result<Vec<SocketAddr>, Reason> {
    let snapshot = worker.snapshot();
    let found = worker.shared.name_cache.addresses(name).await.ok_or(Reason::NoEndpoint)?;
    let may_be_called = |ip: &&IpAddr| {
        let is_of_these = worlds == Worlds::All || egress::is_of_the_world(**ip);
        is_of_these && egress::may_stand_for_name(**ip, &snapshot.settings.egress)
    };
    let to: Vec<SocketAddr> =
        found.iter().filter(may_be_called).map(|ip| SocketAddr::new(*ip, port)).collect();
    if to.is_empty() { Err(Reason::EgressDenied) } else { Ok(to) }
}
