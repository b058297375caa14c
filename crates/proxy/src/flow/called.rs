//! What a captured connection goes to, by the address that the application called: a service, the workload that has the
//! address, what somebody described, or somewhere outside.

use super::{fetch_entry, unavailable_reason};
use crate::lookup::Found;
use crate::snapshot::{HostEntry, Snapshot};
use crate::worker::Worker;
use decide::egress;
use decide::listener::{self, Outbound};
use model::Reason;
use model::external::Resolution;
use model::workload_host::workload_host;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// For the control plane to say whether an address is a workload's, when it is called for the first time.
const WORKLOAD_LOOKUP_TIMEOUT: Duration = Duration::from_millis(500);

/// What a captured connection goes to.
pub(super) enum Called {
    /// A port of a service.
    Service(Arc<HostEntry>, u16),
    /// A described service that has this address and no other endpoints.
    Described(Arc<HostEntry>),
    /// Somewhere that is nobody's business.
    LeftAlone,
    /// Somewhere outside the mesh, or where the name leads that will be said.
    Outside,
}

/// By the address that was called.
///
/// # Errors
/// Why it goes nowhere.
pub(super) async fn classify_outbound(worker: &Worker, original: SocketAddr) -> Result<Called, Reason> {
    let snapshot = worker.snapshot();
    let judged = |snapshot: &Snapshot| {
        let by_address = |ip| snapshot.by_address(ip).cloned();
        listener::outbound(original, &snapshot.own, &snapshot.settings, by_address)
    };
    let mut outbound = judged(&snapshot);
    if let Outbound::Unknown(ip) = outbound {
        match worker.shared.lookup.address(ip).await {
            Ok(Found::Present(found)) => outbound = judged(&found),
            Ok(Found::Absent) => return Err(Reason::UnknownAddress),
            Err(unavailable) => return Err(unavailable_reason(unavailable)),
        }
    }
    match outbound {
        Outbound::Service { host, port } => {
            Ok(Called::Service(fetch_entry(worker, &worker.snapshot(), &host).await?, port))
        }
        Outbound::Passthrough => find_outside(worker, &snapshot, original).await,
        Outbound::LeftAlone => Ok(Called::LeftAlone),
        Outbound::Refuse(reason) => Err(reason),
        Outbound::Unknown(_) => Err(Reason::UnknownAddress),
    }
}

/// A private address is a workload's before it is anything that somebody described, so that no description takes the calls of
/// a workload.
async fn find_outside(worker: &Worker, snapshot: &Snapshot, original: SocketAddr) -> Result<Called, Reason> {
    let is_private = !egress::is_of_the_world(original.ip());
    if is_private && let Some(workload) = called_workload(worker, original).await {
        return Ok(workload);
    }
    if let Some(host) = egress::by_address(&snapshot.names, original) {
        match fetch_entry(worker, snapshot, host).await {
            Ok(entry) => return Ok(described(entry, original.port())),
            // Who described it has taken it back meanwhile.
            Err(Reason::UnknownHost) => {}
            Err(reason) => return Err(reason),
        }
    }
    let workload = if is_private { None } else { called_workload(worker, original).await };
    Ok(workload.unwrap_or(Called::Outside))
}

fn described(entry: Arc<HostEntry>, port: u16) -> Called {
    match entry.service.external.as_ref().map(|external| external.resolution) {
        Some(Resolution::None) => Called::Described(entry),
        Some(Resolution::DynamicDns) => Called::Outside,
        Some(Resolution::Static | Resolution::Dns | Resolution::DnsRoundRobin) | None => {
            Called::Service(entry, port)
        }
    }
}

/// The workload of the mesh that has the address which was called, as of a headless service or by who scrapes it: the
/// call is one by mutual TLS then, with policies and metrics, to that workload alone. Where nobody can tell, as without
/// a control stream, the call goes on as one to outside: it is for the callee to refuse plaintext.
async fn called_workload(worker: &Worker, original: SocketAddr) -> Option<Called> {
    let host = workload_host(original.ip())?;
    let snapshot = worker.snapshot();
    if snapshot.is_host_absent(host.as_str()) {
        return None;
    }
    let entry = timeout(WORKLOAD_LOOKUP_TIMEOUT, fetch_entry(worker, &snapshot, &host)).await;
    Some(Called::Service(entry.ok()?.ok()?, original.port()))
}
