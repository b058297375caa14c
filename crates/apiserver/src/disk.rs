//! The store in one redb file. Every commit is synced to disk before it is reported as done.
//!
//! A file is read and checked as a whole before it is opened (`inspect`); an older format becomes the current one
//! (`format`), a newer one is refused. After a fault the file is opened anew by the next call, so a disk that was full
//! needs no restart.

mod errors; // what a user can do about it
mod format; // versions and their migration
mod inspect; // opened without being touched

use crate::store::{Change, Row, Store, StoreError, StoreSnapshot, Swap, Table, check};
pub(crate) use format::{FORMAT, PROGRAM};
use format::{advance, definition};
use redb::backends::FileBackend;
use redb::{AccessGuard, Database, ReadableDatabase, ReadableTable};
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

/// Memory that redb may use for pages, in bytes.
const CACHE_BYTES: usize = 8 * 1024 * 1024;

/// A store in a file.
#[derive(Debug)]
pub struct DiskStore {
    path: PathBuf,
    /// `None`: it could not be opened again after a fault.
    database: RwLock<Option<Database>>,
    /// The database met a fault and answers nothing until it is opened anew.
    has_fault: AtomicBool,
}

impl DiskStore {
    /// Opens the file at `path`, of this format or an earlier one, or makes it, for its owner alone.
    ///
    /// # Errors
    /// See [`StoreError`]: a file that cannot be used is left as it is.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if !path.try_exists().map_err(|cause| errors::of(path, cause.into()))? {
            create(path, FORMAT, &StoreSnapshot::default())?;
        }
        let database = RwLock::new(Some(open_database(path)?));
        Ok(Self { path: path.into(), database, has_fault: AtomicBool::new(false) })
    }

    /// Makes a file at `path` of rows that are of an earlier format or this one.
    ///
    /// # Errors
    /// It cannot be written; nothing is there then.
    pub fn create_from(path: &Path, format: u32, content: &StoreSnapshot) -> Result<(), StoreError> {
        create(path, format, content)
    }

    /// Whether a process has the file open.
    pub fn is_in_use(path: &Path) -> bool {
        let file = OpenOptions::new().read(true).write(true).open(path);
        file.is_ok_and(|file| matches!(inspect::inspect(path, file), Err(StoreError::InUse { .. })))
    }

    /// Runs `work` on the database, which is opened anew if an earlier call met a fault.
    fn run<T>(&self, work: impl Fn(&Database) -> Result<T, redb::Error>) -> Result<T, StoreError> {
        for _ in 0..2 {
            if self.has_fault.load(Ordering::Acquire) {
                self.reopen()?;
            }
            let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
            let Some(database) = &*database else { continue };
            match errors::caught(|| work(database)) {
                Ok(done) => return Ok(done),
                Err(cause) => {
                    self.has_fault.store(true, Ordering::Release);
                    // Of a fault that another call met at the same time: this one has done nothing yet.
                    if !matches!(cause, redb::Error::PreviousIo) {
                        return Err(errors::of(&self.path, cause));
                    }
                }
            }
        }
        let cause = io::Error::other("faults follow one another");
        Err(StoreError::Io { path: self.path.clone(), cause })
    }

    fn reopen(&self) -> Result<(), StoreError> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if self.has_fault.load(Ordering::Acquire) {
            // The file is closed before it is opened.
            drop(database.take());
            *database = Some(open_database(&self.path)?);
            self.has_fault.store(false, Ordering::Release);
        }
        Ok(())
    }
}

/// Makes a file, which is there as a whole or not at all.
fn create(path: &Path, format: u32, content: &StoreSnapshot) -> Result<(), StoreError> {
    let new = beside(path, ".new");
    let made = errors::caught(|| {
        let file = create_anew(&new)?;
        let database = Database::builder().create_with_backend(FileBackend::new(file)?)?;
        let write = database.begin_write()?;
        format::initialize(&write, format, content)?;
        write.commit()?;
        drop(database);
        Ok(rename(&new, path)?)
    });
    made.map_err(|cause| {
        // What is left of it is of no use, and in nobody's way.
        let _ = std::fs::remove_file(&new);
        errors::of(path, cause)
    })
}

/// Opens a file that is there.
fn open_database(path: &Path) -> Result<Database, StoreError> {
    let at_path = |cause| errors::of(path, cause);
    // Never made here: a file that went away under a running process is no empty state.
    let open = || {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map(drop)
            .and_then(|()| daemon::files::open_own(path))
    };
    let found = inspect::inspect(path, open().map_err(|cause| at_path(cause.into()))?)?;
    if found.format > FORMAT {
        let writer = found.writer.unwrap_or_else(|| "a later version".into());
        let path = path.into();
        return Err(StoreError::Newer {
            path,
            found: found.format,
            writer,
            program: PROGRAM,
            newest: FORMAT,
        });
    }
    let opened = |file: File| {
        errors::caught(|| {
            let mut builder = Database::builder();
            Ok(builder.set_cache_size(CACHE_BYTES).create_with_backend(FileBackend::new(file)?)?)
        })
    };
    let kept = (found.format < FORMAT).then(|| keep(path, found.format)).transpose();
    let kept = kept.map_err(|cause| at_path(cause.into()))?;
    let database = opened(open().map_err(|cause| at_path(cause.into()))?).map_err(at_path)?;
    if let Some(kept) = kept {
        match errors::caught(|| format::migrate(&database, found.format)) {
            Ok(()) => {
                tracing::info!(path = %path.display(), from = found.format, to = FORMAT, "state file migrated")
            }
            Err(cause) => {
                let (path, cause) = (path.into(), Box::new(at_path(cause)));
                return Err(StoreError::Migrate { path, found: found.format, newest: FORMAT, kept, cause });
            }
        }
    }
    forget_kept(path);
    Ok(database)
}

/// Copies a file as it is, for its owner alone, to be there until it is migrated.
fn keep(path: &Path, format: u32) -> io::Result<PathBuf> {
    let kept = kept_at(path, format);
    let new = beside(path, ".new");
    let copied = create_anew(&new).and_then(|mut copy| {
        io::copy(&mut File::open(path)?, &mut copy)?;
        copy.sync_all()?;
        rename(&new, &kept)
    });
    // Half of a copy would keep a disk full.
    copied.inspect_err(|_| drop(std::fs::remove_file(&new)))?;
    Ok(kept)
}

/// Makes a file for its owner alone. What an earlier attempt left there goes, and no link is followed: the directory may be
/// another user's than ours.
fn create_anew(path: &Path) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => daemon::files::private().read(true).write(true).create_new(true).open(path),
    }
}

/// Removes copies of a file that is of the current format.
fn forget_kept(path: &Path) {
    for format in 1..FORMAT {
        match std::fs::remove_file(kept_at(path, format)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, format, "the copy from before the migration stays");
            }
            _ => {}
        }
    }
}

fn kept_at(path: &Path, format: u32) -> PathBuf {
    beside(path, &format!(".format-{format}"))
}

/// A path with something behind its name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Durably.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)?;
    match to.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => File::open(directory)?.sync_all(),
        _ => Ok(()),
    }
}

fn row_of((key, value): (AccessGuard<'_, &'static str>, AccessGuard<'_, (u64, &'static [u8])>)) -> Row {
    let (revision, bytes) = value.value();
    Row { key: key.value().to_owned(), value: bytes.to_vec(), revision }
}

impl Store for DiskStore {
    fn rows(&self, table: Table) -> Result<Vec<Row>, StoreError> {
        self.run(|database| {
            let table = database.begin_read()?.open_table(definition(table))?;
            let mut rows = Vec::new();
            for entry in table.iter()? {
                rows.push(row_of(entry?));
            }
            Ok(rows)
        })
    }

    fn row(&self, table: Table, key: &str) -> Result<Option<Row>, StoreError> {
        self.run(|database| {
            let table = database.begin_read()?.open_table(definition(table))?;
            Ok(table.get(key)?.map(|value| {
                let (revision, bytes) = value.value();
                Row { key: key.to_owned(), value: bytes.to_vec(), revision }
            }))
        })
    }

    fn commit(&self, changes: &[Change]) -> Result<u64, StoreError> {
        check(changes)?;
        self.run(|database| {
            let write = database.begin_write()?;
            let revision = advance(&write)?;
            for change in changes {
                match change {
                    Change::Put(table, key, value) => {
                        let mut table = write.open_table(definition(*table))?;
                        table.insert(key.as_str(), (revision, value.as_slice()))?;
                    }
                    Change::Delete(table, key) => {
                        let mut table = write.open_table(definition(*table))?;
                        table.remove(key.as_str())?;
                    }
                }
            }
            write.commit()?;
            Ok(revision)
        })
    }

    fn swap(&self, table: Table, key: &str, expected: &[u8], value: &[u8]) -> Result<Swap, StoreError> {
        check(&[Change::Put(table, key.to_owned(), value.to_vec())])?;
        self.run(|database| {
            let write = database.begin_write()?;
            {
                let mut rows = write.open_table(definition(table))?;
                let same = rows.get(key)?.is_some_and(|row| row.value().1 == expected);
                if !same {
                    return Ok(Swap::Differs);
                }
                let revision = advance(&write)?;
                rows.insert(key, (revision, value))?;
            }
            write.commit()?;
            Ok(Swap::Done)
        })
    }

    fn revision(&self) -> Result<u64, StoreError> {
        self.run(|database| format::last_revision(&database.begin_read()?))
    }

    fn snapshot(&self, bytes_max: usize) -> Result<StoreSnapshot, StoreError> {
        let taken = self.run(|database| {
            let read = database.begin_read()?;
            let mut taken = StoreSnapshot { revision: format::last_revision(&read)?, rows: Vec::new() };
            let mut bytes = 0;
            for table in Table::ALL {
                for entry in read.open_table(definition(table))?.iter()? {
                    let row = row_of(entry?);
                    bytes += row.key.len() + row.value.len();
                    if bytes > bytes_max {
                        return Ok(None);
                    }
                    taken.rows.push((table, row));
                }
            }
            Ok(Some(taken))
        });
        taken?.ok_or(StoreError::SnapshotTooLarge { bytes_max })
    }
}

#[cfg(test)]
mod tests;
