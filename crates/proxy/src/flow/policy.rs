//! Policies, asked of a request or of opaque bytes wherever they come in: at the callee (`inbound`), by a
//! gateway's listener (`http`), between networks (`eastwest`). `decide::authz` answers.

use crate::failure::Failure;
use crate::flow::exchange::Exchange;
use crate::request::{Fields, Head};
use crate::snapshot::Snapshot;
use crate::worker::Worker;
use decide::authz::{Decision, Facts, RemoteIp, authorize, dry_run};
use model::{Policy, Reason};
use std::sync::Arc;

/// Whether this request may go on. What is said by policies that are not enforced is noted. `facts` are those
/// of the connection, `head` is what the caller asked for: no rule has edited it yet.
///
/// # Errors
/// [`Reason::Denied`]; [`Reason::AmbiguousPath`] when that depends on how its path is read.
pub(crate) fn may_request(
    policies: &[Arc<Policy>],
    facts: Facts<'_>,
    head: &Head,
    exchange: &Exchange,
) -> Result<(), Failure> {
    if policies.is_empty() {
        return Ok(());
    }
    let fields = Fields(&head.headers);
    let view = head.view(&fields);
    let remote_ip = head.client.map_or(facts.remote_ip, RemoteIp::Client);
    let facts = Facts { remote_ip, http: Some(&view), ..facts };
    if let Some(dry_run) = dry_run(policies, &facts) {
        exchange.set_dry_run(dry_run);
    }
    check(policies, &facts)
}

/// Whether this may go on; nothing is noted.
///
/// # Errors
/// As [`may_request`].
pub(crate) fn check(policies: &[Arc<Policy>], facts: &Facts<'_>) -> Result<(), Failure> {
    match authorize(policies, facts) {
        Decision::Allow => Ok(()),
        Decision::Ambiguous => Err(Reason::AmbiguousPath.into()),
        Decision::Deny(denial) => Err(Failure { reason: Reason::Denied, denial: Some(Box::new(denial)) }),
    }
}

/// Waits until a configuration comes into force under which `may` no longer allows what is going on. What came
/// since it was judged counts too.
pub(crate) async fn until_denied(worker: &Worker, may: impl Fn(&Snapshot) -> Result<(), Failure>) -> Failure {
    let mut moves = worker.shared.store.changes();
    moves.mark_changed();
    loop {
        if moves.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        if let Err(failure) = may(&worker.snapshot()) {
            return failure;
        }
    }
}
