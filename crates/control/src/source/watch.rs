//! Watches a directory: the first change is read at once, followers are gathered for a moment.
//!
//! A file that is open for writing is left alone until it is closed, or quiet for a while: half a file
//! must never count as a whole one.

use crate::source::directory::{Directory, Reading, is_configuration};
use api::Object;
use apiserver::Change;
use model::Finding;
use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind};
use notify::{Event, EventKind, RecursiveMode, Watcher};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Followers of a change are gathered for this long.
const GATHER: Duration = Duration::from_millis(10);
/// A file that is written to but not closed is read after this long without a further write.
const QUIET: Duration = Duration::from_millis(200);
/// The directory is read this often even if the kernel reports nothing (it may drop events).
const REREAD: Duration = Duration::from_secs(5);
/// Events kept; more are dropped and the next reading finds what they told.
const EVENTS_MAX: usize = 1024;

/// What a directory says at one moment.
#[derive(Debug)]
pub struct State {
    /// Objects in force, in file order.
    pub objects: Vec<Object>,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// To be stored.
    pub rows: Vec<Change>,
}

impl State {
    /// The directory as last read; takes its rows.
    pub fn of(directory: &mut Directory) -> Self {
        Self {
            rows: directory.take_rows(),
            objects: directory.objects().cloned().collect(),
            findings: directory.findings().cloned().collect(),
        }
    }
}

/// Starts watching `root`; the watcher stops when it is dropped.
pub fn start(root: &Path) -> notify::Result<(notify::RecommendedWatcher, mpsc::Receiver<Event>)> {
    let (tx, rx) = mpsc::channel(EVENTS_MAX);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        // An error or a full queue means lost events: any event makes the loop read everything anyway.
        let event = event.unwrap_or_else(|_| Event::new(EventKind::Any));
        let _ = tx.try_send(event);
    })?;
    watcher.watch(root, RecursiveMode::Recursive)?;
    Ok((watcher, rx))
}

/// Reads `directory` whenever something changed and hands each new state to `publish`, until events end.
pub async fn run<F: Future<Output = ()> + Send>(
    mut directory: Directory,
    mut events: mpsc::Receiver<Event>,
    publish: impl Fn(State) -> F + Send,
) {
    let mut unsettled: BTreeMap<PathBuf, Instant> = BTreeMap::new();
    loop {
        let wake = unsettled.values().map(|since| *since + QUIET).min();
        let wake = wake.unwrap_or_else(|| Instant::now() + REREAD).min(Instant::now() + REREAD);
        let mut due = false;
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => due |= note(&event, &mut unsettled),
                None => return,
            },
            () = tokio::time::sleep_until(wake) => due = true,
        }
        while let Ok(event) = events.try_recv() {
            due |= note(&event, &mut unsettled);
        }
        let now = Instant::now();
        unsettled.retain(|_, since| *since + QUIET > now);
        if !due {
            continue;
        }
        let skip: BTreeSet<PathBuf> = unsettled.keys().cloned().collect();
        let work = tokio::task::spawn_blocking(move || {
            let reading = directory.read(&skip);
            (directory, reading)
        });
        let Ok((read, reading)) = work.await else { return };
        directory = read;
        match reading {
            Ok(Reading::Changed) => {
                publish(State::of(&mut directory)).await;
            }
            Ok(Reading::Same) => {}
            Err(error) => {
                tracing::warn!(%error, cause = %error.cause, "configuration not read; the last good one stays")
            }
        }
        tokio::time::sleep(GATHER).await;
    }
}

/// Takes note of an event; whether the directory is worth reading now.
fn note(event: &Event, unsettled: &mut BTreeMap<PathBuf, Instant>) -> bool {
    let files = event.paths.iter().filter(|path| is_configuration(path));
    match event.kind {
        EventKind::Create(CreateKind::File) | EventKind::Modify(ModifyKind::Data(_)) => {
            for path in files {
                unsettled.insert(path.clone(), Instant::now());
            }
            false
        }
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => {
            let mut any = false;
            for path in files {
                unsettled.remove(path);
                any = true;
            }
            any
        }
        EventKind::Access(_) => false,
        EventKind::Modify(ModifyKind::Name(_)) | EventKind::Remove(_) => {
            for path in files {
                unsettled.remove(path);
            }
            true
        }
        _ => true,
    }
}
