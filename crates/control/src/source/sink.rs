//! From a source into the plane: each new state of it is handed to the plane's task.

use crate::source::id::SourceId;
use crate::source::objects::SourceState;
use crate::task::{Ended, Handle};
use model::{Finding, Severity};
use std::collections::BTreeSet;

/// Where a source hands in what it says.
#[derive(Clone)]
pub struct ObjectSink {
    id: SourceId,
    handle: Handle,
}

impl ObjectSink {
    /// For the source `id`.
    pub fn new(id: SourceId, handle: Handle) -> Self {
        Self { id, handle }
    }

    /// Brings a new state into force, in place of the last one. What is wrong with the configuration since then
    /// goes into the log, once.
    ///
    /// # Errors
    /// When the plane has ended, which it does with the process.
    pub async fn replace(&self, state: SourceState) -> Result<(), Ended> {
        let is_error = |finding: &&Finding| finding.code.level() == Severity::Error;
        let refused: BTreeSet<String> =
            state.findings.iter().filter(is_error).map(ToString::to_string).collect();
        let id = self.id;
        let found: Vec<Finding> = self
            .handle
            .run(move |plane, _| {
                let known: BTreeSet<String> = plane.findings().iter().map(ToString::to_string).collect();
                let rows = plane.objects.replace(id, state);
                plane.add_rows(rows);
                plane.sync_objects();
                let found = plane.findings().iter();
                found.filter(|finding| !known.contains(&finding.to_string())).cloned().collect()
            })
            .await?;
        for finding in found {
            match finding.code.level() {
                _ if refused.contains(&finding.to_string()) => {
                    tracing::warn!(%finding, "configuration refused; the last good one stays in force");
                }
                Severity::Error | Severity::Warning => tracing::warn!(%finding, "configuration"),
                Severity::Info => tracing::info!(%finding, "configuration"),
            }
        }
        Ok(())
    }
}
