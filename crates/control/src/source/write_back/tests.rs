#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use crate::plane::tests::plane;
use crate::source::objects::SourceState;
use crate::source::status::StatusError;
use crate::task;
use fixtures::text::service;
use futures_util::future::BoxFuture;
use std::sync::Mutex;
use tokio::sync::mpsc;

/// Tells what it was given, and refuses it as often as it is told to.
struct Recorder {
    told: mpsc::UnboundedSender<String>,
    failures: Mutex<u32>,
}

impl StatusWriter for Recorder {
    fn write_status<'a>(&'a self, status: &'a ObjectStatus) -> BoxFuture<'a, Result<(), StatusError>> {
        let accepted = &status.conditions[0];
        let told = format!("{} {}", status.object.object.name, accepted.reason);
        let mut failures = self.failures.lock().unwrap();
        let result = match *failures {
            0 => self.told.send(told).map_err(|_| unreachable!()),
            _ => Err(StatusError { object: told, cause: "not now".into() }),
        };
        *failures = failures.saturating_sub(1);
        Box::pin(std::future::ready(result))
    }
}

fn state(names: &[&str], file: &str) -> SourceState {
    let object = |name: &&str| Arc::new(api::parse::documents(&service(name, 80), file).0.pop().unwrap());
    SourceState { objects: names.iter().map(object).collect(), ..SourceState::default() }
}

#[tokio::test(start_paused = true)]
async fn a_source_is_told_what_came_of_its_objects() {
    let (work, handle, _rows) = task::prepare(Arc::new(daemon::clock::System));
    tokio::spawn(work.run(plane()));
    let (told, mut statuses) = mpsc::unbounded_channel();
    let writer = Arc::new(Recorder { told, failures: Mutex::new(1) });
    let (_trigger, drain) = Drain::new();
    let id = SourceId::Directory(1);
    let replace = async |id: SourceId, state: SourceState| {
        let replaced = handle.run(move |plane, _| {
            assert_eq!(plane.objects.replace(id, state), []);
            plane.sync_objects();
        });
        replaced.await.unwrap();
    };
    replace(id, state(&["a", "b"], "2.yaml")).await;
    tokio::spawn(run(id, writer, handle.clone(), drain));
    // The first could not be written at first.
    assert_eq!(statuses.recv().await.unwrap(), "b Accepted");
    assert_eq!(statuses.recv().await.unwrap(), "a Accepted");
    // Another source overrides one of them; nothing is said of the other.
    replace(SourceId::Directory(0), state(&["a", "c"], "1.yaml")).await;
    assert_eq!(statuses.recv().await.unwrap(), "a Overridden");
    replace(SourceId::Directory(0), SourceState::default()).await;
    assert_eq!(statuses.recv().await.unwrap(), "a Accepted");
}
