//! Watches a directory and hands on what it says, one state for all that changes together.
//!
//! A change is read when nothing has happened for [`SETTLE`] and nobody is known to be writing, at the latest
//! [`SETTLE_MAX`] after it began. A file that is open for writing is left alone until it is closed, or still for
//! long: half a file must never count as a whole one. Events may be lost, or come after the reading that they
//! should have stopped, so `scan` asks the kernel about each file too, and all is read again every [`REREAD`].

use crate::source::directory::files::{Directory, OPEN_STILL, Reading, ReadingTime, Signs};
use crate::source::directory::scan::{self, is_configuration};
use crate::source::objects::SourceState;
use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecursiveMode, Watcher};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// What changed is read when nothing happened for this long.
pub const SETTLE: Duration = Duration::from_millis(100);
/// The longest that a change waits for [`SETTLE`].
pub const SETTLE_MAX: Duration = Duration::from_secs(1);
/// The directory is read this often even if the kernel reports nothing (it may drop events).
pub const REREAD: Duration = Duration::from_secs(5);
/// Events kept; more are dropped and the next reading finds what they told.
const EVENTS_MAX: usize = 1024;

/// How often a directory is looked for that cannot be read.
const RETRY: Duration = Duration::from_secs(1);
/// Who had it open for writing closed it.
const CLOSED: AccessKind = AccessKind::Close(AccessMode::Write);

/// The kernel's word of what happens in a directory, until it is dropped.
pub struct Events {
    events: mpsc::Receiver<Event>,
    /// Which directory it speaks of.
    at: scan::DirectoryIdentity,
    _watcher: notify::RecommendedWatcher,
}

/// Starts watching `root`. Events name files as a reading of `root` does.
pub fn start(root: &Path) -> notify::Result<Events> {
    let (tx, events) = mpsc::channel(EVENTS_MAX);
    // The library makes a relative path absolute.
    let (given, absolute) = (root.to_owned(), std::path::absolute(root)?);
    let at = scan::identity(root)?;
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        // An error or a full queue means lost events: any event makes the loop read everything anyway.
        let mut event = event.unwrap_or_else(|_| Event::new(EventKind::Any));
        for path in &mut event.paths {
            if let Ok(below) = path.strip_prefix(&absolute) {
                *path = given.join(below);
            }
        }
        // Readers, ourselves above all, are no news, and must not fill the queue.
        let is_read = matches!(event.kind, EventKind::Access(kind) if kind != CLOSED);
        if !is_read {
            let _ = tx.try_send(event);
        }
    })?;
    watcher.watch(root, RecursiveMode::Recursive)?;
    Ok(Events { events, at, _watcher: watcher })
}

/// Reads `directory` whenever something changed and hands each new state to `publish`, for ever.
pub async fn run<F: Future<Output = ()> + Send>(
    mut directory: Directory,
    mut events: Events,
    publish: impl Fn(SourceState) -> F + Send,
) {
    let mut noted = Noted::default();
    let mut reread = Instant::now() + REREAD;
    loop {
        let now = Instant::now();
        let due = directory.due(now.into_std()).map_or(reread, |due| reread.min(due.into()));
        tokio::select! {
            Some(event) = events.events.recv() => {
                noted.take(&event, Instant::now());
                continue;
            }
            () = tokio::time::sleep_until(noted.due().map_or(due, |noted| noted.min(due))) => {}
        }
        let signs = noted.signs(Instant::now());
        reread = Instant::now() + REREAD;
        let scanned = match read(&mut directory, &publish).await {
            Ok(scan) => {
                // Another directory has the name now: no event would come for it.
                if events.at != scan.at {
                    match start(directory.root()) {
                        Ok(other) => events = other,
                        Err(error) => tracing::warn!(%error, "the configuration directory cannot be watched"),
                    }
                    // What came before it was watched is read at once.
                    noted.take(&Event::new(EventKind::Any), Instant::now());
                }
                Ok(scan)
            }
            Err(error) => {
                reread = Instant::now() + RETRY;
                Err(error)
            }
        };
        let work = tokio::task::spawn_blocking(move || {
            let taken = scanned.and_then(|scan| {
                let take = AssertUnwindSafe(|| directory.take(scan, &signs, ReadingTime::real()));
                // A defect of ours must not end the watching: what was read before stays, and that is reported.
                catch_unwind(take).map_err(|_| io::Error::other("reading the directory panicked"))
            });
            let reading = taken.unwrap_or_else(|error| directory.fail(&error));
            (directory, reading)
        });
        let Ok((taken, reading)) = work.await else { return };
        directory = taken;
        if reading == Reading::Changed {
            publish(directory.state()).await;
        }
    }
}

/// Reads what lies in the directory, however long that takes; that it takes too long is published.
async fn read<F: Future<Output = ()> + Send>(
    directory: &mut Directory,
    publish: &(impl Fn(SourceState) -> F + Send),
) -> io::Result<scan::Scan> {
    let mut scanning = scan::start(directory.root().into())?;
    let answer = match tokio::time::timeout(scan::DEADLINE, &mut scanning).await {
        Ok(answer) => answer,
        Err(_) => {
            if directory.fail(&scan::silent()) == Reading::Changed {
                publish(directory.state()).await;
            }
            scanning.await
        }
    };
    answer.unwrap_or_else(|_| Err(io::Error::other("the thread that reads it failed")))
}

/// What events told since the last reading.
#[derive(Default)]
struct Noted {
    /// When the first and the last of what is not read yet happened.
    first: Option<Instant>,
    last: Option<Instant>,
    /// Written to and not closed, with the time of the last write.
    writing: BTreeMap<PathBuf, Instant>,
    /// Closed or renamed.
    whole: BTreeSet<PathBuf>,
}

impl Noted {
    /// Takes note of an event.
    fn take(&mut self, event: &Event, now: Instant) {
        let files: Vec<&PathBuf> = event.paths.iter().filter(|path| is_configuration(path)).collect();
        let is_news = match event.kind {
            EventKind::Modify(ModifyKind::Data(_)) => {
                for path in &files {
                    self.writing.insert((*path).clone(), now);
                    self.whole.remove(*path);
                }
                // Others that changed with it wait for it too.
                self.first.is_some() && !files.is_empty()
            }
            EventKind::Access(CLOSED) => {
                files.iter().for_each(|path| self.coalesce(path));
                !files.is_empty()
            }
            EventKind::Access(_) => false,
            EventKind::Modify(ModifyKind::Name(_)) | EventKind::Remove(_) => {
                files.iter().for_each(|path| self.coalesce(path));
                true
            }
            _ => true,
        };
        if is_news {
            self.first.get_or_insert(now);
            self.last = Some(now);
        }
    }

    fn coalesce(&mut self, path: &Path) {
        self.writing.remove(path);
        self.whole.insert(path.into());
    }

    /// When to read, if anything happened.
    fn due(&self) -> Option<Instant> {
        let given_up = self.writing.values().map(|since| *since + OPEN_STILL).min();
        let (Some(first), Some(last)) = (self.first, self.last) else { return given_up };
        let latest = first + SETTLE_MAX;
        let settled = if self.writing.is_empty() { (last + SETTLE).min(latest) } else { latest };
        Some(given_up.map_or(settled, |given_up| given_up.min(settled)))
    }

    /// All that was noted, for a reading that begins now.
    fn signs(&mut self, now: Instant) -> Signs {
        self.writing.retain(|_, since| *since + OPEN_STILL > now);
        (self.first, self.last) = (None, None);
        Signs { writing: self.writing.keys().cloned().collect(), whole: std::mem::take(&mut self.whole) }
    }
}

#[cfg(test)]
mod tests;
