//! From the configuration directory into the plane: each new state of the files is handed to its task.

use crate::source::directory::Directory;
use crate::source::watch::{self, Events, State};
use crate::task::Handle;
use daemon::Drain;
use model::Level;

/// Watches a directory into a plane until `drain`.
pub(crate) async fn watch_into(directory: Directory, events: Events, handle: Handle, drain: Drain) {
    let publish = |state: State| {
        let handle = handle.clone();
        async move {
            for finding in &state.findings {
                match finding.code.level() {
                    Level::Error => {
                        tracing::warn!(%finding, "configuration refused; the last good one stays in force");
                    }
                    Level::Warning | Level::Info => tracing::warn!(%finding, "configuration"),
                }
            }
            let took = handle.run(move |plane, _| {
                plane.objects.set_files(state.objects, state.leaving, state.findings);
                plane.add_rows(state.rows);
                plane.sync_objects();
            });
            // The plane ends only with the process.
            let _ = took.await;
        }
    };
    tokio::select! {
        () = watch::run(directory, events, publish) => {}
        () = drain.started() => {}
    }
}
