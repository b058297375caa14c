//! Watches a directory: the first change is read at once, followers are gathered for a moment.
//!
//! A file that is open for writing is left alone until it is closed, or quiet for a while: half a file
//! must never count as a whole one. Events may come after the reading that they should have stopped, so
//! `directory` looks at the age of a file too.

use crate::source::directory::{Directory, QUIET, Reading, Signs, is_configuration};
use api::Object;
use apiserver::Change;
use model::Finding;
use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind};
use notify::{Event, EventKind, RecursiveMode, Watcher};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Followers of a change are gathered for this long.
const GATHER: Duration = Duration::from_millis(10);
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

/// Starts watching `root`; the watcher stops when it is dropped. Events name files as a reading of `root` does.
pub fn start(root: &Path) -> notify::Result<(notify::RecommendedWatcher, mpsc::Receiver<Event>)> {
    let (tx, rx) = mpsc::channel(EVENTS_MAX);
    // The library makes a relative path absolute.
    let (given, absolute) = (root.to_owned(), std::path::absolute(root)?);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        // An error or a full queue means lost events: any event makes the loop read everything anyway.
        let mut event = event.unwrap_or_else(|_| Event::new(EventKind::Any));
        for path in &mut event.paths {
            if let Ok(below) = path.strip_prefix(&absolute) {
                *path = given.join(below);
            }
        }
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
    let mut noted = Noted::default();
    loop {
        let mut wake = Instant::now() + REREAD;
        if directory.has_young() {
            wake = Instant::now() + QUIET;
        }
        wake = noted.unsettled.values().map(|since| *since + QUIET).fold(wake, Instant::min);
        let mut due = false;
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => due |= noted.take(&event),
                None => return,
            },
            () = tokio::time::sleep_until(wake) => due = true,
        }
        while let Ok(event) = events.try_recv() {
            due |= noted.take(&event);
        }
        let now = Instant::now();
        noted.unsettled.retain(|_, since| *since + QUIET > now);
        if !due {
            continue;
        }
        let signs = Signs {
            writing: noted.unsettled.keys().cloned().collect(),
            whole: std::mem::take(&mut noted.whole),
        };
        let work = tokio::task::spawn_blocking(move || {
            let reading = directory.read(&signs, SystemTime::now());
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

/// What events told since the last reading.
#[derive(Default)]
struct Noted {
    /// Written to and not closed, with the time of the last write.
    unsettled: BTreeMap<PathBuf, Instant>,
    /// Closed or renamed.
    whole: BTreeSet<PathBuf>,
}

impl Noted {
    /// Takes note of an event; whether the directory is worth reading now.
    fn take(&mut self, event: &Event) -> bool {
        let files: Vec<&PathBuf> = event.paths.iter().filter(|path| is_configuration(path)).collect();
        match event.kind {
            EventKind::Create(CreateKind::File) | EventKind::Modify(ModifyKind::Data(_)) => {
                for path in files {
                    self.unsettled.insert(path.clone(), Instant::now());
                    self.whole.remove(path);
                }
                false
            }
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => {
                for path in &files {
                    self.settle(path);
                }
                !files.is_empty()
            }
            EventKind::Access(_) => false,
            EventKind::Modify(ModifyKind::Name(_)) | EventKind::Remove(_) => {
                for path in files {
                    self.settle(path);
                }
                true
            }
            _ => true,
        }
    }

    fn settle(&mut self, path: &Path) {
        self.unsettled.remove(path);
        self.whole.insert(path.into());
    }
}

#[cfg(test)]
mod tests;
