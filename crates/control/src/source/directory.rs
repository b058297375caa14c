//! A directory of configuration files: each file's last good objects, and what is wrong with it now.
//!
//! A file that is broken keeps the objects that it had, also across a restart: what was good is handed out
//! as rows to be stored. Empty counts as broken, because a writer that died and a full disk leave such files;
//! to take objects out, delete the file (or leave a comment in it). A directory that is empty and not the one
//! that was read before is a mount that went away, and keeps all. Watching is `watch`; this reads.

use api::Object;
use apiserver::store::KEY_BYTES_MAX;
use apiserver::{Change, Row, Table};
use model::{Code, Finding, Level, ObjectRef, Origin};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File as OpenFile;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use thiserror::Error;

/// Largest file read, in bytes; a larger one is a finding.
pub const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Files read at most; the rest are one finding.
pub const FILES_MAX: usize = 4096;
/// A file that changed less than this ago and was not seen to be closed may be half written: it is left as it
/// was, and read again when it had its time.
pub const QUIET: Duration = Duration::from_millis(200);
/// How deep subdirectories are entered.
pub const DEPTH_MAX: usize = 8;

/// The directory cannot be read at all.
#[derive(Debug, Error)]
#[error("read configuration directory {path}")]
pub struct DirectoryError {
    /// The directory.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub cause: io::Error,
}

/// What is known of files beside their content.
#[derive(Clone, Debug, Default)]
pub struct Signs {
    /// Being written at this moment: left as they were.
    pub writing: BTreeSet<PathBuf>,
    /// Closed or renamed since the last reading: whole, however young.
    pub whole: BTreeSet<PathBuf>,
}

/// Whether a reading brought something new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Everything as before.
    Same,
    /// Objects or findings changed.
    Changed,
}

#[derive(Debug, Default)]
struct File {
    content: Vec<u8>,
    objects: Vec<Object>,
    findings: Vec<Finding>,
    good: Good,
}

/// Whether a file was ever without an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Good {
    #[default]
    Never,
    Known,
}

/// The files of a directory as last read.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
    files: BTreeMap<PathBuf, File>,
    /// Trouble with the directory itself.
    findings: Vec<Finding>,
    rows: Vec<Change>,
    /// Device and inode of the directory when files were last seen in it; `None`: not in this run.
    seen_at: Option<(u64, u64)>,
    /// Files that were left as they were because they are too young.
    young: BTreeSet<PathBuf>,
}

impl Directory {
    /// Reads `root` for the first time; broken files become findings. `stored` is what earlier rows said.
    pub fn open(root: &Path, stored: &[Row]) -> Result<Self, DirectoryError> {
        let mut directory = Self {
            root: root.into(),
            files: BTreeMap::new(),
            findings: Vec::new(),
            rows: Vec::new(),
            seen_at: None,
            young: BTreeSet::new(),
        };
        for row in stored {
            let path = PathBuf::from(&row.key);
            if path.starts_with(root) {
                directory.files.insert(path, File::restore(row));
            } else {
                directory.rows.push(Change::Delete(Table::Files, row.key.clone()));
            }
        }
        directory.read(&Signs::default(), SystemTime::now())?;
        Ok(directory)
    }

    /// Rows to be stored, since the last call.
    pub fn take_rows(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.rows)
    }

    /// Whether files were left as they were that should be read after [`QUIET`].
    pub fn has_young(&self) -> bool {
        !self.young.is_empty()
    }

    /// Reads again; `now` tells how old files are.
    pub fn read(&mut self, signs: &Signs, now: SystemTime) -> Result<Reading, DirectoryError> {
        let mut listing = Listing::default();
        let failed = |cause| DirectoryError { path: self.root.clone(), cause };
        let root = std::fs::metadata(&self.root).map_err(failed)?;
        listing.enter(&self.root, 0).map_err(failed)?;
        let Listing { mut paths, closed, .. } = listing;
        let at = Some((root.dev(), root.ino()));
        if paths.is_empty() && self.seen_at != at && self.objects().next().is_some() {
            let cause = "the directory is empty and not the one that was read before; its last objects stay";
            let fix = "mount or fill it; to take them out, leave a file with a comment in it";
            return Ok(self.set_findings(vec![broken(&self.root, cause, fix)]));
        }
        self.seen_at = at;
        paths.sort();
        let mut findings = Vec::new();
        if paths.len() > FILES_MAX {
            let cause = format!("the directory has {} files, {FILES_MAX} are read", paths.len());
            findings.push(Finding::new(
                Code::BadValue,
                &origin(&self.root),
                cause,
                "use fewer, larger files",
            ));
            paths.truncate(FILES_MAX);
        }
        for (path, cause) in &closed {
            let cause = format!("the directory cannot be read: {cause}");
            findings.push(broken(path, &cause, "make it readable; its last good files stay until then"));
        }
        let mut reading = self.set_findings(findings);
        let there: BTreeSet<&PathBuf> = paths.iter().collect();
        let rows = &mut self.rows;
        self.files.retain(|path, _| {
            let keep = there.contains(path) || signs.writing.contains(path) || is_below(path, &closed);
            if !keep {
                reading = Reading::Changed;
                rows.push(Change::Delete(Table::Files, path.to_string_lossy().into_owned()));
            }
            keep
        });
        self.young.clear();
        for path in paths.iter().filter(|path| !signs.writing.contains(*path)) {
            if self.read_file(path, signs.whole.contains(path), now) == Reading::Changed {
                reading = Reading::Changed;
            }
        }
        Ok(reading)
    }

    fn set_findings(&mut self, findings: Vec<Finding>) -> Reading {
        let same = self.findings == findings;
        self.findings = findings;
        if same { Reading::Same } else { Reading::Changed }
    }

    fn read_file(&mut self, path: &Path, is_whole: bool, now: SystemTime) -> Reading {
        let file = self.files.entry(path.into()).or_default();
        let content = match load(path) {
            Ok((content, _)) if content == file.content && !content.is_empty() => return Reading::Same,
            Ok((_, modified)) if file.good == Good::Known && !is_whole && is_young(modified, now) => {
                self.young.insert(path.into());
                return Reading::Same;
            }
            Ok((content, _)) => content,
            // Gone between listing and reading: the next reading sees it.
            Err(cause) if cause.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {
                return Reading::Same;
            }
            Err(cause) => {
                file.content.clear();
                let cause = format!("the file cannot be read: {cause}");
                let fix = "make it a readable file of at most 4 MiB; its last objects stay until then";
                return file.refuse(vec![broken(path, &cause, fix)]);
            }
        };
        let Ok(text) = String::from_utf8(content.clone()) else {
            file.content = content;
            return file.refuse(vec![broken(path, "the file is not UTF-8", "save it as UTF-8")]);
        };
        file.content = content;
        if text.trim().is_empty() && !file.objects.is_empty() {
            let fix = "write them again, or delete the file to take them out";
            return file.refuse(vec![broken(path, "the file is empty; its last objects stay in force", fix)]);
        }
        let (objects, findings) = api::parse::documents(&text, &path.to_string_lossy());
        let broken = findings.iter().any(|finding| finding.code.level() == Level::Error);
        if broken && file.good == Good::Known {
            return file.refuse(findings);
        }
        // Without a last good state the readable part is better than nothing, and what denies must not be
        // missing: a policy that is refused denies everything.
        let (objects, findings) = match broken {
            true => api::parse::documents_closed(&text, &path.to_string_lossy()),
            false => (objects, findings),
        };
        if !broken {
            file.good = Good::Known;
            let key = path.to_string_lossy().into_owned();
            // A longer one cannot be stored; such a file is only not remembered over a restart.
            if key.len() <= KEY_BYTES_MAX {
                self.rows.push(Change::Put(Table::Files, key, file.content.clone()));
            }
        }
        let same = file.objects == objects && file.findings == findings;
        file.objects = objects;
        file.findings = findings;
        if same { Reading::Same } else { Reading::Changed }
    }

    /// All objects in file order.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.files.values().flat_map(|file| &file.objects)
    }

    /// What is wrong now.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().chain(self.files.values().flat_map(|file| &file.findings))
    }
}

impl File {
    /// What was good in an earlier run. What the file says now is read next.
    fn restore(row: &Row) -> Self {
        let text = String::from_utf8_lossy(&row.value);
        let (objects, findings) = api::parse::documents(&text, &row.key);
        Self { content: row.value.clone(), objects, findings, good: Good::Known }
    }

    /// Keeps the objects, shows the findings.
    fn refuse(&mut self, findings: Vec<Finding>) -> Reading {
        let same = self.findings == findings;
        self.findings = findings;
        if same { Reading::Same } else { Reading::Changed }
    }
}

fn origin(path: &Path) -> Origin {
    let text = path.to_string_lossy();
    Origin { object: ObjectRef::new("File", "", &text), file: text.into(), line: 1 }
}

fn broken(path: &Path, cause: &str, fix: &str) -> Finding {
    Finding::new(Code::Syntax, &origin(path), cause, fix)
}

/// Whether a file lies in a subdirectory that cannot be read now: it may well be there.
fn is_below(path: &Path, closed: &[(PathBuf, io::Error)]) -> bool {
    closed.iter().any(|(directory, _)| path.starts_with(directory))
}

/// A change in the future was told by a clock that is not ours, and says nothing.
fn is_young(modified: SystemTime, now: SystemTime) -> bool {
    now.duration_since(modified).is_ok_and(|age| age < QUIET)
}

/// The content, and when it last changed.
fn load(path: &Path) -> io::Result<(Vec<u8>, SystemTime)> {
    // Looked at before it is opened: opening a pipe waits for a writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let file = OpenFile::open(path)?;
    let mut content = Vec::new();
    (&file).take(FILE_BYTES_MAX + 1).read_to_end(&mut content)?;
    if content.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 4 MiB"));
    }
    // Asked after reading: what was written meanwhile is young.
    let modified = file.metadata()?.modified()?;
    Ok((content, modified))
}

/// Whether a path is configuration: YAML or JSON, not hidden.
pub(crate) fn is_configuration(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    let known = path.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json");
    known && !hidden
}

/// The files below a directory.
#[derive(Default)]
struct Listing {
    paths: Vec<PathBuf>,
    /// Subdirectories that are there but cannot be read.
    closed: Vec<(PathBuf, io::Error)>,
    /// Directories entered, by their true path: links may lead in circles.
    entered: BTreeSet<PathBuf>,
}

impl Listing {
    fn enter(&mut self, directory: &Path, depth: usize) -> io::Result<()> {
        if !self.entered.insert(directory.canonicalize()?) {
            return Ok(());
        }
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
            if hidden {
                continue;
            }
            if path.is_dir() {
                if depth < DEPTH_MAX {
                    match self.enter(&path, depth + 1) {
                        Ok(()) => {}
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                        Err(error) => self.closed.push((path, error)),
                    }
                }
            } else if is_configuration(&path) {
                self.paths.push(path);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests;
