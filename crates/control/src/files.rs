//! From the configuration directory into the plane: each new state of the files is handed to its task.

use crate::source::directory::files::Directory;
use crate::source::directory::watch::{self, Events, State};
use crate::task::Handle;
use daemon::Drain;
use model::{Finding, Level};
use std::collections::BTreeSet;

/// Watches a directory into a plane until `drain`.
pub(crate) async fn watch_into(directory: Directory, events: Events, handle: Handle, drain: Drain) {
    let publish = |state: State| {
        let handle = handle.clone();
        async move {
            let is_error = |finding: &&Finding| finding.code.level() == Level::Error;
            let refused: BTreeSet<String> =
                state.findings.iter().filter(is_error).map(ToString::to_string).collect();
            let took = handle.run(move |plane, _| {
                let known: BTreeSet<String> = plane.findings().iter().map(ToString::to_string).collect();
                plane.objects.set_files(state.objects, state.leaving, state.findings);
                plane.add_rows(state.rows);
                plane.sync_objects();
                let found = plane.findings().iter();
                found.filter(|finding| !known.contains(&finding.to_string())).cloned().collect()
            });
            // The plane ends only with the process. What was told before is not told again.
            let found: Vec<Finding> = took.await.unwrap_or_default();
            for finding in found {
                if refused.contains(&finding.to_string()) {
                    tracing::warn!(%finding, "configuration refused; the last good one stays in force");
                } else {
                    tracing::warn!(%finding, "configuration");
                }
            }
        }
    };
    tokio::select! {
        () = watch::run(directory, events, publish) => {}
        () = drain.started() => {}
    }
}
