//! Files that may be replaced at any time: read again when one of them is another than before.
//!
//! They are looked at on threads of their own, with no lock held: a file system that hangs keeps one of those, and neither
//! workers nor the control thread, nor what other files hold.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::time::Duration;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// How often files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a look may take before the other files are looked at without it. Whoever names files for the first time waits
/// so long for what is in them, and no longer; not at all while others hang.
const LOOK_MAX: Duration = Duration::from_secs(1);
/// Threads that look at files at most; with so many that hang, no file is looked at any more before one comes back.
const THREADS_MAX: usize = 8;

/// Largest file of a certificate, a key or authorities, in bytes; a larger one is refused.
pub(crate) const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Tells whether a file is still the one that was read: device, inode, length, and when it last changed.
pub(crate) type FileStamp = (u64, u64, u64, i64, i64, i64, i64);

/// What a path leads to now; `None`: nothing that can be looked at.
pub(crate) fn stamp(path: &str) -> Option<FileStamp> {
    let found = fs::metadata(path).ok()?;
    Some((
        found.dev(),
        found.ino(),
        found.len(),
        found.mtime(),
        found.mtime_nsec(),
        found.ctime(),
        found.ctime_nsec(),
    ))
}

/// The whole of a regular file, wiped when it is let go. Never waits for a writer, as a pipe would.
pub(crate) fn read(path: &str) -> io::Result<Zeroizing<Vec<u8>>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(Path::new(path))?;
    // With room for all of it: what grows leaves copies behind.
    let mut content = Zeroizing::new(Vec::with_capacity(usize::try_from(FILE_BYTES_MAX).unwrap_or(0) + 1));
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut content)?;
    if content.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 MiB"));
    }
    Ok(content)
}

/// What is made of files.
pub(crate) trait FilesInUse: Send + Sync {
    /// Their paths.
    fn paths(&self) -> Vec<&str>;

    /// Reads them and puts in force what they hold. May hang.
    fn read(&self);
}

/// Looks at all files that are in use. One for a proxy.
#[derive(Default)]
pub(crate) struct FileWatch {
    entries: Mutex<Vec<Arc<Entry>>>,
    threads: Arc<AtomicUsize>,
}

struct Entry {
    used: Weak<dyn FilesInUse>,
    /// What the files were when they were read; `None`: they were not yet.
    stamps: Mutex<Option<Vec<Option<FileStamp>>>>,
    /// Somebody looks at them.
    is_busy: AtomicBool,
    /// Whoever waited for that has given up.
    hangs: AtomicBool,
}

impl FileWatch {
    /// Has files read, and again whenever they change, for as long as somebody holds `used`. What they hold is in force
    /// afterwards, unless their file system hangs.
    pub(crate) fn add(&self, used: &Arc<impl FilesInUse + 'static>) {
        let used: Weak<dyn FilesInUse> = Arc::downgrade(used) as _;
        let entry = Arc::new(Entry {
            used,
            stamps: Mutex::default(),
            is_busy: AtomicBool::new(false),
            hangs: AtomicBool::new(false),
        });
        let may_wait = {
            let mut entries = self.entries();
            entries.push(Arc::clone(&entry));
            !entries.iter().any(|entry| entry.hangs.load(Ordering::Relaxed))
        };
        let (done, finished) = mpsc::sync_channel(1);
        let look = move || {
            entry.look();
            let _ = done.send(());
        };
        if self.begin(look) && may_wait && finished.recv_timeout(LOOK_MAX).is_err() {
            self.tell_hanging();
        }
    }

    /// Looks at all files whose last look has come back, one after the other.
    pub(crate) fn look(&self) {
        self.due().iter().for_each(|entry| entry.look());
    }

    /// Looks at the files again and again; never ends.
    pub(crate) async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if self.due().is_empty() {
                continue;
            }
            let (own, (done, finished)) = (Arc::clone(&self), oneshot::channel());
            let look = move || {
                own.look();
                let _ = done.send(());
            };
            if self.begin(look) && tokio::time::timeout(LOOK_MAX, finished).await.is_err() {
                self.tell_hanging();
            }
        }
    }

    /// Those at which nobody looks, of whom there still are some.
    fn due(&self) -> Vec<Arc<Entry>> {
        let mut entries = self.entries();
        entries.retain(|entry| entry.used.strong_count() > 0);
        entries.iter().filter(|entry| !entry.is_busy.load(Ordering::Acquire)).cloned().collect()
    }

    /// Begins to look on another thread; `false`: there is none for it.
    fn begin(&self, look: impl FnOnce() + Send + 'static) -> bool {
        let threads = Arc::clone(&self.threads);
        if threads.fetch_add(1, Ordering::Relaxed) >= THREADS_MAX {
            threads.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        // Not one of the runtime's, which waits for all of its own when it ends.
        let begun = std::thread::Builder::new().name("files".to_owned()).spawn(move || {
            look();
            threads.fetch_sub(1, Ordering::Relaxed);
        });
        if let Err(error) = &begun {
            self.threads.fetch_sub(1, Ordering::Relaxed);
            tracing::error!(%error, "cannot begin a thread that reads files");
        }
        begun.is_ok()
    }

    /// Tells of those at which somebody still looks, once.
    fn tell_hanging(&self) {
        let mut paths = String::new();
        for entry in self.entries().iter().filter(|entry| entry.is_busy.load(Ordering::Acquire)) {
            if entry.hangs.swap(true, Ordering::Relaxed) {
                continue;
            }
            for path in entry.used.upgrade().iter().flat_map(|used| used.paths()) {
                let _ = write!(paths, " {path}");
            }
        }
        if !paths.is_empty() {
            let files = paths.trim_start();
            tracing::error!(files, "reading files takes long; what was read of them before stays");
        }
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn look(&self) {
        let Some(used) = self.used.upgrade() else { return };
        if self.is_busy.swap(true, Ordering::AcqRel) {
            return;
        }
        // Before they are read, so that what changes meanwhile is read again.
        let now: Vec<Option<FileStamp>> = used.paths().into_iter().map(stamp).collect();
        let mut stamps = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = stamps.as_ref() != Some(&now);
        *stamps = Some(now);
        drop(stamps);
        if is_new {
            used.read();
        }
        self.hangs.store(false, Ordering::Relaxed);
        self.is_busy.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
