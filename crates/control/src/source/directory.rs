//! A directory of configuration files: each file's last good objects, and what is wrong with it now.
//!
//! A file that is broken keeps the objects that it had, also across a restart: what was good is handed out
//! as rows to be stored. One that is gone takes its objects with it. Watching is `watch`; this reads.

use api::Object;
use apiserver::{Change, Row, Table};
use model::{Code, Finding, Level, ObjectRef, Origin};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Largest file read, in bytes; a larger one is a finding.
pub const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Files read at most; the rest are one finding.
pub const FILES_MAX: usize = 4096;
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
}

impl Directory {
    /// Reads `root` for the first time; broken files become findings. `stored` is what earlier rows said.
    pub fn open(root: &Path, stored: &[Row]) -> Result<Self, DirectoryError> {
        let mut directory =
            Self { root: root.into(), files: BTreeMap::new(), findings: Vec::new(), rows: Vec::new() };
        for row in stored {
            let path = PathBuf::from(&row.key);
            if path.starts_with(root) {
                directory.files.insert(path, File::restore(row));
            } else {
                directory.rows.push(Change::Delete(Table::Files, row.key.clone()));
            }
        }
        directory.read(&BTreeSet::new())?;
        Ok(directory)
    }

    /// Rows to be stored, since the last call.
    pub fn take_rows(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.rows)
    }

    /// Reads again. Files in `unsettled` are being written at this moment and are left as they were.
    pub fn read(&mut self, unsettled: &BTreeSet<PathBuf>) -> Result<Reading, DirectoryError> {
        let (mut paths, mut closed) = (Vec::new(), Vec::new());
        list(&self.root, 0, &mut paths, &mut closed)
            .map_err(|cause| DirectoryError { path: self.root.clone(), cause })?;
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
        let mut reading = if findings == self.findings { Reading::Same } else { Reading::Changed };
        self.findings = findings;
        let there: BTreeSet<&PathBuf> = paths.iter().collect();
        let rows = &mut self.rows;
        self.files.retain(|path, _| {
            let keep = there.contains(path) || unsettled.contains(path) || is_below(path, &closed);
            if !keep {
                reading = Reading::Changed;
                rows.push(Change::Delete(Table::Files, path.to_string_lossy().into_owned()));
            }
            keep
        });
        for path in paths.iter().filter(|path| !unsettled.contains(*path)) {
            if self.read_file(path) == Reading::Changed {
                reading = Reading::Changed;
            }
        }
        Ok(reading)
    }

    fn read_file(&mut self, path: &Path) -> Reading {
        let file = self.files.entry(path.into()).or_default();
        let trouble = match load(path) {
            Ok(content) if content == file.content && !file.content.is_empty() => return Reading::Same,
            Ok(content) => {
                let Some(text) = std::str::from_utf8(&content).ok().map(str::to_owned) else {
                    file.content = content;
                    return file.refuse(vec![broken(path, "the file is not UTF-8", "save it as UTF-8")]);
                };
                file.content = content;
                let (objects, findings) = api::parse::documents(&text, &path.to_string_lossy());
                // Without a last good state the readable part is better than nothing: it fails closed.
                let broken = findings.iter().any(|finding| finding.code.level() == Level::Error);
                if broken && file.good == Good::Known {
                    return file.refuse(findings);
                }
                if !broken {
                    file.good = Good::Known;
                    let key = path.to_string_lossy().into_owned();
                    self.rows.push(Change::Put(Table::Files, key, file.content.clone()));
                }
                let same = file.objects == objects && file.findings == findings;
                file.objects = objects;
                file.findings = findings;
                return if same { Reading::Same } else { Reading::Changed };
            }
            // Gone between listing and reading: the next reading sees it.
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Reading::Same,
            Err(cause) => broken(
                path,
                &format!("the file cannot be read: {cause}"),
                "make it readable and at most 4 MiB",
            ),
        };
        file.content.clear();
        file.refuse(vec![trouble])
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

fn load(path: &Path) -> io::Result<Vec<u8>> {
    if std::fs::metadata(path)?.len() > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 4 MiB"));
    }
    std::fs::read(path)
}

/// Whether a path is configuration: YAML or JSON, not hidden.
pub(crate) fn is_configuration(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    let known = path.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json");
    known && !hidden
}

/// Lists the files; `closed` gets the subdirectories that are there but cannot be read.
fn list(
    directory: &Path,
    depth: usize,
    into: &mut Vec<PathBuf>,
    closed: &mut Vec<(PathBuf, io::Error)>,
) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        if path.is_dir() {
            if depth < DEPTH_MAX {
                match list(&path, depth + 1, into, closed) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => closed.push((path, error)),
                }
            }
        } else if is_configuration(&path) {
            into.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
