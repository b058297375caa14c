//! What lies in a configuration directory at this moment: its files with their content, and what is not read.
//!
//! Nothing outside the directory is read. Links are followed as long as they lead to something in it, as those
//! of a mounted ConfigMap do; a file that can be reached by several names is read once. Only regular files are
//! opened, and never in a way that waits. It all has limits, a deadline among them; who breaks one is told.

use model::{Code, Finding, ObjectRef, Origin};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tokio::sync::oneshot;

/// Largest file read, in bytes; a larger one is a finding.
pub const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Bytes read of all files together; those beyond are findings.
pub const TOTAL_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Files read at most; the rest are one finding.
pub const FILES_MAX: usize = 4096;
/// Names looked at; a directory with more is reported, and nothing of it counts as gone.
pub const ENTRIES_MAX: usize = 65_536;
/// Findings about what is left out of a directory; more are not told one by one.
const LEFT_OUT_MAX: usize = 100;
/// How deep subdirectories are entered; deeper ones are findings.
pub const DEPTH_MAX: usize = 8;
/// A directory that has not answered within this time is reported, and its last objects stay.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// Which directory it is, whatever its name: device, inode, and when it was made, where that is known.
pub type DirectoryIdentity = (u64, u64, Option<SystemTime>);

/// A directory as it is at one moment.
#[derive(Debug)]
pub struct Scan {
    /// Which directory was read.
    pub at: DirectoryIdentity,
    /// Its files, by the names that they are told by.
    pub files: BTreeMap<PathBuf, FoundFile>,
    /// What is there and was not looked into: nothing below it counts as gone.
    pub unseen: Vec<PathBuf>,
    /// What is wrong with the directory, apart from single files.
    pub findings: Vec<Finding>,
}

/// One file.
#[derive(Debug)]
pub enum FoundFile {
    /// It was read.
    Read {
        /// Its bytes.
        content: Vec<u8>,
        /// When it last changed, as told after reading.
        modified: SystemTime,
        /// Whether somebody has it open for writing.
        writer: Writer,
        /// Who may read it.
        readers: Readers,
    },
    /// It is there and cannot be read.
    Unreadable(String),
    /// It is there and was not read, because there are too many.
    Surplus,
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Readers {
    /// Its owner, and nobody else.
    OwnerAlone,
    /// Its group too, or all.
    #[default]
    Others,
}

/// Whether somebody has a file open for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// Somebody has.
    Open,
    /// Nobody has.
    Nobody,
    /// The kernel does not tell: the file is another user's, or the file system cannot know.
    Unknown,
}

/// Reads `root` in a thread of its own, because a file system may not answer: then the thread is left behind.
pub fn start(root: PathBuf) -> io::Result<oneshot::Receiver<io::Result<Scan>>> {
    let (reply, answer) = oneshot::channel();
    let work = move || {
        // Nobody waits any more: fine.
        let _ = reply.send(scan(&root));
    };
    std::thread::Builder::new().name("configuration".into()).spawn(work)?;
    Ok(answer)
}

/// Reads `root` within [`DEADLINE`], where nothing else is to be done meanwhile.
pub fn wait(root: PathBuf) -> io::Result<Scan> {
    let (reply, answer) = std::sync::mpsc::channel();
    let work = move || {
        let _ = reply.send(scan(&root));
    };
    std::thread::Builder::new().name("configuration".into()).spawn(work)?;
    answer.recv_timeout(DEADLINE).unwrap_or_else(|_| Err(silent()))
}

/// Which directory has the name `root` now.
pub fn identity(root: &Path) -> io::Result<DirectoryIdentity> {
    let found = std::fs::metadata(root)?;
    Ok((found.dev(), found.ino(), found.created().ok()))
}

/// What a directory that does not answer comes to.
pub fn silent() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", DEADLINE.as_secs()))
}

/// A finding about a file or directory that is not read.
pub fn unread(path: &Path, cause: impl Into<String>, fix: &str) -> Finding {
    let text = path.to_string_lossy();
    let origin = Origin { object: ObjectRef::new("File", "", &text), file: text.into(), line: 1 };
    Finding::new(Code::Unread, &origin, cause, fix)
}

/// Whether a path is configuration: YAML or JSON, not hidden.
pub fn is_configuration(path: &Path) -> bool {
    let known = path.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json");
    known && !is_hidden(path)
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'))
}

/// Reads everything; may wait as long as the file system likes.
fn scan(root: &Path) -> io::Result<Scan> {
    let at = identity(root)?;
    let real = root.canonicalize()?;
    let mut listing = Listing { root: real.clone(), ..Listing::default() };
    listing.enter(root, &real, 0)?;
    while let Some((path, depth)) = listing.links.pop_front() {
        listing.follow(&path, depth);
    }
    let Listing { files: listed, unseen, mut findings, .. } = listing;
    if listed.len() > FILES_MAX {
        let cause = format!("the directory has {} files, {FILES_MAX} are read", listed.len());
        findings.push(unread(root, cause, "use fewer, larger files"));
    }
    let (mut files, mut left) = (BTreeMap::new(), TOTAL_BYTES_MAX);
    for (path, file) in listed {
        let found = match file {
            _ if files.len() >= FILES_MAX => FoundFile::Surplus,
            Listed::Broken(cause) => FoundFile::Unreadable(cause),
            Listed::At(real) => match load(&real, left) {
                Ok(found) => found,
                // Gone between listing and reading.
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => continue,
                Err(cause) => FoundFile::Unreadable(cause.to_string()),
            },
        };
        if let FoundFile::Read { content, .. } = &found {
            left = left.saturating_sub(content.len() as u64);
        }
        files.insert(path, found);
    }
    Ok(Scan { at, files, unseen, findings })
}

/// A file before it is read.
enum Listed {
    /// It lies here, in the directory.
    At(PathBuf),
    /// A link that leads to no file of the directory, and why.
    Broken(String),
}

/// The files below a directory.
#[derive(Default)]
struct Listing {
    /// The true path of the directory.
    root: PathBuf,
    files: BTreeMap<PathBuf, Listed>,
    /// True paths of what is listed, directories and files.
    known: BTreeSet<PathBuf>,
    /// Links, with their depth: followed when all that has a name of its own is listed.
    links: VecDeque<(PathBuf, usize)>,
    unseen: Vec<PathBuf>,
    findings: Vec<Finding>,
    entries: usize,
}

impl Listing {
    /// Lists a directory called `path` that is really `real`.
    fn enter(&mut self, path: &Path, real: &Path, depth: usize) -> io::Result<()> {
        if !self.known.insert(real.into()) {
            return Ok(());
        }
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(real)? {
            self.entries += 1;
            if self.entries > ENTRIES_MAX {
                let cause = format!("there are more than {ENTRIES_MAX} names; the rest was not looked at");
                self.leave_out(path, cause, "use a directory that holds configuration alone");
                break;
            }
            let entry = entry?;
            entries.push((entry.file_name(), entry.file_type()?));
        }
        // The order of a directory is anything.
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, kind) in entries {
            let (path, real) = (path.join(&name), real.join(&name));
            if is_hidden(&path) {
                continue;
            }
            if kind.is_symlink() {
                self.links.push_back((path, depth));
            } else if kind.is_dir() {
                self.descend(&path, &real, depth + 1);
            } else if is_configuration(&path) {
                self.known.insert(real.clone());
                self.files.insert(path, Listed::At(real));
            }
        }
        Ok(())
    }

    fn descend(&mut self, path: &Path, real: &Path, depth: usize) {
        if depth > DEPTH_MAX {
            let cause = format!("the directory lies more than {DEPTH_MAX} deep and is not read");
            return self.leave_out(path, cause, "move it up");
        }
        match self.enter(path, real, depth) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let cause = format!("the directory cannot be read: {error}");
                self.leave_out(path, cause, "make it readable; its last good files stay until then");
            }
        }
    }

    fn leave_out(&mut self, path: &Path, cause: String, fix: &str) {
        if self.findings.len() < LEFT_OUT_MAX {
            self.findings.push(unread(path, cause, fix));
        }
        self.unseen.push(path.into());
    }

    /// Follows a link, if it stays in the directory.
    fn follow(&mut self, path: &Path, depth: usize) {
        let real = match path.canonicalize() {
            Ok(real) => real,
            Err(cause) => {
                // It leads nowhere; whether it stood for a file, its name alone tells.
                if is_configuration(path) {
                    self.files.insert(path.into(), Listed::Broken(cause.to_string()));
                }
                return;
            }
        };
        let is_within = real.starts_with(&self.root);
        match std::fs::metadata(&real) {
            Ok(target) if target.is_dir() && is_within => self.descend(path, &real, depth + 1),
            Ok(target) if target.is_dir() => {
                let cause = "the link leads out of the directory and is not followed".to_owned();
                self.leave_out(path, cause, "put what it leads to into the directory, or remove the link");
            }
            _ if !is_configuration(path) => {}
            _ if !is_within => {
                let cause = "the link leads out of the directory".to_owned();
                self.files.insert(path.into(), Listed::Broken(cause));
            }
            _ => {
                if self.known.insert(real.clone()) {
                    self.files.insert(path.into(), Listed::At(real));
                }
            }
        }
    }
}

/// Reads a file that has no more than `left` bytes.
fn load(real: &Path, left: u64) -> io::Result<FoundFile> {
    let irregular = || io::Error::new(io::ErrorKind::InvalidInput, "not a regular file");
    // Looked at before it is opened: opening alone makes some devices act.
    if !std::fs::symlink_metadata(real)?.is_file() {
        return Err(irregular());
    }
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(real)?;
    let before = file.metadata()?;
    if !before.is_file() {
        return Err(irregular());
    }
    let limit = FILE_BYTES_MAX.min(left);
    let mut content = Vec::new();
    (&file).take(limit + 1).read_to_end(&mut content)?;
    if content.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 4 MiB"));
    }
    if content.len() as u64 > left {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "all files together are larger than 64 MiB"));
    }
    // Asked after reading: who began to write meanwhile is still at it, or has left a trace.
    let writer = writer(&file);
    let after = file.metadata()?;
    let stamp = |of: &std::fs::Metadata| (of.len(), of.mtime(), of.mtime_nsec(), of.ctime(), of.ctime_nsec());
    let writer = if stamp(&before) == stamp(&after) { writer } else { Writer::Open };
    let readers = if after.mode() & 0o077 == 0 { Readers::OwnerAlone } else { Readers::Others };
    Ok(FoundFile::Read { content, modified: after.modified()?, writer, readers })
}

/// Names the signal of a lease (`fcntl` of Linux, everywhere the same; missing in `libc`).
const F_SETSIG: libc::c_int = 10;

/// Asks the kernel for a read lease, which it gives only when nobody has the file open for writing.
fn writer(file: &std::fs::File) -> Writer {
    let fd = file.as_raw_fd();
    // SAFETY: calls without memory of ours, on a descriptor that is open as long as `file` lives. Who wants to
    // write while the lease is held makes the kernel send the signal named first, which does nothing.
    unsafe {
        if libc::fcntl(fd, F_SETSIG, libc::SIGURG) != 0 {
            return Writer::Unknown;
        }
        if libc::fcntl(fd, libc::F_SETLEASE, libc::F_RDLCK) == 0 {
            libc::fcntl(fd, libc::F_SETLEASE, libc::F_UNLCK);
            return Writer::Nobody;
        }
    }
    match io::Error::last_os_error().kind() {
        io::ErrorKind::WouldBlock => Writer::Open,
        _ => Writer::Unknown,
    }
}

#[cfg(test)]
mod tests;
