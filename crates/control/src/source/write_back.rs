//! Tells a source what came of its objects, whenever that changes.

use crate::source::id::SourceId;
use crate::source::status::{ObjectStatus, StatusWriter};
use crate::task::Handle;
use daemon::Drain;
use model::{Backoff, ObjectRef};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// First wait after a status could not be written; doubles up to [`RETRY_WAIT_MAX`].
const RETRY_WAIT_FIRST: Duration = Duration::from_secs(1);
/// Longest wait between attempts.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(60);
/// A writer that takes longer for one object has failed.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Writes each status once, until `drain` or the end of the plane.
pub(crate) async fn run(id: SourceId, writer: Arc<dyn StatusWriter>, handle: Handle, drain: Drain) {
    let work = async {
        let mut judged = handle.judged();
        let mut written = BTreeMap::new();
        let mut backoff = Backoff::new(RETRY_WAIT_FIRST, RETRY_WAIT_MAX);
        loop {
            judged.mark_unchanged();
            let Ok(statuses) = handle.run(move |plane, _| plane.statuses(id)).await else { return };
            let retry = match write_changed(&*writer, statuses, &mut written).await {
                Ok(()) => {
                    backoff.reset();
                    Duration::MAX
                }
                Err(Unwritten) => backoff.next_wait(identity::rotate::jitter()),
            };
            tokio::select! {
                changed = judged.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(retry) => {}
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = drain.started() => {}
    }
}

/// Some status was not written.
struct Unwritten;

/// Writes what is not known to be written, one after the other.
async fn write_changed(
    writer: &dyn StatusWriter,
    statuses: Vec<ObjectStatus>,
    written: &mut BTreeMap<ObjectRef, ObjectStatus>,
) -> Result<(), Unwritten> {
    let mut result = Ok(());
    let mut before = std::mem::take(written);
    for status in statuses {
        let name = status.object.object.clone();
        if before.remove(&name).is_none_or(|before| before != status) {
            match tokio::time::timeout(WRITE_TIMEOUT, writer.write_status(&status)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(%error, cause, "status not written; trying again");
                    result = Err(Unwritten);
                    continue;
                }
                Err(_) => {
                    tracing::warn!(object = %name, "status not written in time; trying again");
                    result = Err(Unwritten);
                    continue;
                }
            }
        }
        written.insert(name, status);
    }
    result
}

#[cfg(test)]
mod tests;
