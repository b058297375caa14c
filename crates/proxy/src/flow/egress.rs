//! The life of a connection to an address that is no service's: may it leave, and is there a service that is meant by
//! the name which the application says? A name proves nothing of an address: where a name lets it leave, it goes to an
//! address that the proxy's own name servers give for that name. Of requests each is judged for itself (`place`).

pub(super) mod place;
mod said;

use super::downstream::{Downstream, DownstreamSide};
use super::{fetch_entry, serve_own, serve_service, tcp};
use crate::detect::{FIRST_BYTES_TIMEOUT, detect};
use crate::snapshot::HostEntry;
use crate::upstream::Target;
use crate::worker::Worker;
use codec::ChunkIo;
use daemon::Drain;
use decide::egress;
use model::external::ExternalService;
use model::service::Protocol;
use model::settings::EgressMode;
use model::{Hostname, Reason};
use place::Worlds;
use said::{Said, SaidIn};
use std::net::SocketAddr;
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
    let Ok((said, stream)) = said::read(stream).await else { return };
    let claim = said.as_ref().and_then(|said| egress::by_name(&snapshot.names, said.name.as_str(), port));
    let to = match (claim, &said, settings.mode) {
        (Some(claim), Some(said), _) => match find_service(worker, &claim.host, said, original).await {
            Ok(Way::Service(entry)) => {
                return serve_service(worker, stream, address, &entry, port, drain).await;
            }
            Ok(Way::Requests(entry)) => {
                return serve_requests(worker, stream, address, &entry, original, drain).await;
            }
            Ok(Way::Addresses(to, entry)) => {
                return tcp::pass_through(downstream, stream, &to, Some(&entry)).await;
            }
            // Whoever may call anything needs no name.
            Err(_) if is_any => Ok(vec![original]),
            Err(reason) => Err(reason),
        },
        (None, _, EgressMode::AllowAny) => Ok(vec![original]),
        (None, Some(said), EgressMode::AllowAnyDynamicDns) => {
            place::addresses(worker, &said.name, port, Worlds::OutsideAlone).await
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
    /// Each request for itself, of a service that has no endpoints.
    Requests(Arc<HostEntry>),
    /// To these addresses, for such a service.
    Addresses(Vec<SocketAddr>, Arc<HostEntry>),
}

async fn find_service(
    worker: &Worker,
    host: &Hostname,
    said: &Said,
    original: SocketAddr,
) -> Result<Way, Reason> {
    let snapshot = worker.snapshot();
    let entry = fetch_entry(worker, &snapshot, host).await?;
    let port = original.port();
    if said.by == SaidIn::Http && egress::must_name_in_tls(&entry.service, &snapshot.settings.egress, port) {
        return Err(Reason::EgressDenied);
    }
    if !entry.service.external.as_deref().is_some_and(ExternalService::is_wherever) {
        return Ok(Way::Service(entry));
    }
    if said.by == SaidIn::Http {
        return Ok(Way::Requests(entry));
    }
    let to = place::of_name(worker, &entry, &said.name, original).await?;
    Ok(Way::Addresses(to, entry))
}

/// To the address that was called, which means this service and is its only endpoint.
pub(super) async fn serve_at_address(
    worker: &Rc<Worker>,
    stream: impl ChunkIo,
    address: SocketAddr,
    entry: &Arc<HostEntry>,
    original: SocketAddr,
    drain: Drain,
) {
    let snapshot = worker.snapshot();
    let (settings, port) = (&snapshot.settings.egress, original.port());
    let downstream = || Downstream::new(worker, address, DownstreamSide::Passthrough, None, drain.clone());
    if let Err(reason) = egress::may_call(original.ip(), settings) {
        return tcp::hold_back(&downstream(), original, reason);
    }
    let declared = entry.service.ports.iter().find(|known| known.port == port).map(|known| known.protocol);
    if matches!(declared, Some(Protocol::Http1 | Protocol::Http2)) {
        return serve_requests(worker, stream, address, entry, original, drain).await;
    }
    if !must_name(worker, entry, port) {
        return tcp::pass_through(downstream(), stream, &[original], Some(entry)).await;
    }
    let Ok((said, stream)) = said::read(stream).await else { return };
    match may_name(worker, entry, said.as_ref(), port).await {
        Ok(()) => tcp::pass_through(downstream(), stream, &[original], Some(entry)).await,
        Err(reason) => tcp::hold_back(&downstream(), original, reason),
    }
}

/// Requests to a service without endpoints, each to where its host leads.
async fn serve_requests(
    worker: &Rc<Worker>,
    stream: impl ChunkIo,
    address: SocketAddr,
    entry: &Arc<HostEntry>,
    original: SocketAddr,
    drain: Drain,
) {
    let host = entry.service.host.clone();
    let side = DownstreamSide::Application { host, port: original.port(), called: Some(original) };
    let downstream = Downstream::new(worker, address, side, None, drain);
    if let Ok((detected, stream)) = detect(stream, FIRST_BYTES_TIMEOUT).await {
        serve_own(&downstream, detected, stream).await;
    }
}

/// Whether clients must say a described name in TLS at this port of a service.
pub(super) fn must_name(worker: &Worker, entry: &HostEntry, port: u16) -> bool {
    entry.service.external.is_some()
        && egress::must_name_in_tls(&entry.service, &worker.snapshot().settings.egress, port)
}

/// To a port where they must: what says another name than that of the service is refused.
pub(super) async fn serve_named(downstream: Rc<Downstream>, stream: impl ChunkIo, target: &Target) {
    let Ok((said, stream)) = said::read(stream).await else { return };
    match may_name(&downstream.worker, &target.entry, said.as_ref(), target.port).await {
        Ok(()) => tcp::serve(downstream, stream, target).await,
        Err(reason) => tcp::refuse(&downstream, &target.entry, reason),
    }
}

/// Whether what is said in TLS names this service, or another host of whoever described it.
async fn may_name(worker: &Worker, entry: &HostEntry, said: Option<&Said>, port: u16) -> Result<(), Reason> {
    let denied = Err(Reason::EgressDenied);
    let Some(Said { name, by: SaidIn::Tls }) = said else { return denied };
    let snapshot = worker.snapshot();
    let Some(claim) = egress::by_name(&snapshot.names, name.as_str(), port) else { return denied };
    if claim.host == entry.service.host {
        return Ok(());
    }
    let named = &fetch_entry(worker, &snapshot, &claim.host).await?.service;
    let owner = |service: &model::service::Service| (service.namespace.clone(), service.name.clone());
    if owner(named) == owner(&entry.service) { Ok(()) } else { denied }
}
