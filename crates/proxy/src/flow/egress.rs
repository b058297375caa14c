//! The life of a connection to an address that is no service's: may it leave, and is there a service that is meant by
//! the name which the application says? A name proves nothing of an address: where a name lets it leave, it goes to an
//! address that the proxy's own name servers give for that name.

mod said;

use super::downstream::{Downstream, DownstreamSide};
use super::{fetch_entry, serve_service, tcp};
use crate::snapshot::HostEntry;
use crate::worker::Worker;
use codec::ChunkIo;
use daemon::Drain;
use decide::egress;
use model::external::{NameClaim, Resolution};
use model::route::HostMatch;
use model::settings::EgressMode;
use model::{Hostname, Reason};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

/// To `original`, or to where the name that is said leads.
pub(super) async fn serve(
    worker: &Rc<Worker>,
    stream: impl ChunkIo,
    address: SocketAddr,
    original: SocketAddr,
    drain: Drain,
) {
    let snapshot = worker.snapshot();
    let (settings, port) = (&snapshot.settings.egress, original.port());
    let downstream = Downstream::new(worker, address, DownstreamSide::Passthrough, None, drain.clone());
    if let Err(reason) = egress::may_call(original.ip(), settings) {
        return tcp::hold_back(&downstream, original, reason);
    }
    let is_any = settings.mode == EgressMode::AllowAny;
    if is_any && !egress::is_named_at(&snapshot.names, port) {
        return tcp::pass_through(downstream, stream, &[original], None).await;
    }
    let Ok((name, stream)) = said::read(stream).await else { return };
    let claim = name.as_ref().and_then(|name| egress::by_name(&snapshot.names, name.as_str(), port));
    let to = match (claim, &name, settings.mode) {
        (Some(claim), Some(name), _) => match find_service(worker, claim, name, original).await {
            Ok(Way::Service(entry)) => {
                return serve_service(worker, stream, address, &entry, port, drain).await;
            }
            Ok(Way::Addresses(to, entry)) => {
                return tcp::pass_through(downstream, stream, &to, Some(&entry)).await;
            }
            // Whoever may call anything needs no name.
            Err(_) if is_any => Ok(vec![original]),
            Err(reason) => Err(reason),
        },
        (None, _, EgressMode::AllowAny) => Ok(vec![original]),
        (None, Some(name), EgressMode::AllowAnyDynamicDns) => {
            addresses(worker, name, port, Worlds::OutsideAlone).await
        }
        _ => Err(Reason::EgressDenied),
    };
    match to {
        Ok(to) => tcp::pass_through(downstream, stream, &to, None).await,
        Err(reason) => tcp::hold_back(&downstream, original, reason),
    }
}

/// Where a named connection goes.
enum Way {
    /// To the endpoints of a service.
    Service(Arc<HostEntry>),
    /// To these addresses, for a service that has no endpoints.
    Addresses(Vec<SocketAddr>, Arc<HostEntry>),
}

async fn find_service(
    worker: &Worker,
    claim: &NameClaim,
    name: &Hostname,
    original: SocketAddr,
) -> Result<Way, Reason> {
    let entry = fetch_entry(worker, &worker.snapshot(), &claim.host).await?;
    let resolution = entry.service.external.as_ref().map(|external| external.resolution);
    match resolution {
        Some(Resolution::None | Resolution::DynamicDns) => {}
        _ => return Ok(Way::Service(entry)),
    }
    // Whoever owns a name below a wildcard chooses its addresses; a whole name was chosen by whoever described it.
    let worlds = match claim.name {
        HostMatch::Exact(_) => Worlds::All,
        HostMatch::Suffix(_) | HostMatch::Ending(_) => Worlds::OutsideAlone,
    };
    let mut to = addresses(worker, name, original.port(), worlds).await?;
    if resolution == Some(Resolution::None) && to.contains(&original) {
        to = vec![original];
    }
    Ok(Way::Addresses(to, entry))
}

/// Which addresses a name may lead to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Worlds {
    /// Any but those of metadata services and of this host.
    All,
    /// Those of the world outside.
    OutsideAlone,
}

async fn addresses(
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
