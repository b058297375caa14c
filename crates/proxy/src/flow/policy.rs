//! Policies, asked of a request or of opaque bytes wherever they come in: at the callee (`inbound`), by a
//! gateway between networks (`eastwest`). At a gateway's listener `decide::plan` asks them. `decide::authz` answers.

use crate::failure::Failure;
use crate::flow::exchange::Exchange;
use crate::request::Head;
use crate::snapshot::Snapshot;
use crate::worker::Worker;
use decide::RequestView;
use decide::authz::{Facts, RemoteIp};
use decide::filter::RequestHead;
use decide::plan;
use model::Policy;
use std::sync::Arc;

/// Whether this request may go on. What is said by policies that are not enforced is noted. `facts` are those
/// of the connection, `head` is what the caller asked for: no rule has edited it yet.
///
/// # Errors
/// [`model::Reason::Denied`]; [`model::Reason::AmbiguousPath`] when that depends on how its path is read.
pub(crate) fn may_request(
    policies: &[Arc<Policy>],
    facts: Facts<'_>,
    head: &Head,
    exchange: &Exchange,
) -> Result<(), Failure> {
    if policies.is_empty() {
        return Ok(());
    }
    let (dry_run, admission) = plan::admit(policies, &of_request(facts, head, &head.view()));
    exchange.set_dry_run(dry_run);
    Ok(admission?)
}

/// Whether a request that went on may still; nothing is noted.
///
/// # Errors
/// As [`may_request`].
pub(crate) fn check_request(policies: &[Arc<Policy>], facts: Facts<'_>, head: &Head) -> Result<(), Failure> {
    check(policies, &of_request(facts, head, &head.view()))
}

fn of_request<'a>(facts: Facts<'a>, head: &Head, view: &'a RequestView<'a>) -> Facts<'a> {
    let remote_ip = head.client.map_or(facts.remote_ip, RemoteIp::Client);
    Facts { remote_ip, http: Some(view), ..facts }
}

/// Whether this may go on; nothing is noted.
///
/// # Errors
/// As [`may_request`].
pub(crate) fn check(policies: &[Arc<Policy>], facts: &Facts<'_>) -> Result<(), Failure> {
    Ok(plan::admit(policies, facts).1?)
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
