//! The store in one redb file. Every commit is synced to disk before it is reported as done.

use crate::store::{Change, Row, Store, StoreError, Swap, Table, check};
use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableError};
use std::path::Path;

/// The format that this program reads and writes.
const FORMAT: &str = "leno-store-1";
/// Memory that redb may use for pages, in bytes.
const CACHE_BYTES: usize = 8 * 1024 * 1024;

const META: TableDefinition<&str, &str> = TableDefinition::new("meta");
const REVISION: TableDefinition<&str, u64> = TableDefinition::new("revision");

fn definition(table: Table) -> TableDefinition<'static, &'static str, (u64, &'static [u8])> {
    TableDefinition::new(table.as_str())
}

/// A store in a file.
#[derive(Debug)]
pub struct DiskStore {
    database: Database,
}

fn used(cause: impl Into<redb::Error>) -> StoreError {
    StoreError::Use(Box::new(cause.into()))
}

impl DiskStore {
    /// Opens the file at `path` or makes it, for its owner alone. A file that is no store of Leno's is an error,
    /// never overwritten.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |cause: redb::Error| StoreError::Open { path: path.into(), cause: Box::new(cause) };
        let file = daemon::files::open_own(path).map_err(|cause| failed(cause.into()))?;
        let backend = FileBackend::new(file).map_err(|cause| failed(cause.into()))?;
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(backend)
            .map_err(|cause| failed(cause.into()))?;
        let write = database.begin_write().map_err(|cause| failed(cause.into()))?;
        {
            let mut meta = write.open_table(META).map_err(|cause| failed(cause.into()))?;
            let found = meta
                .get("format")
                .map_err(|cause| failed(cause.into()))?
                .map(|value| value.value().to_owned());
            match found {
                None => {
                    meta.insert("format", FORMAT).map_err(|cause| failed(cause.into()))?;
                }
                Some(found) if found != FORMAT => {
                    return Err(StoreError::Format { path: path.into(), found, expected: FORMAT });
                }
                Some(_) => {}
            }
            write.open_table(REVISION).map_err(|cause| failed(cause.into()))?;
            for table in Table::ALL {
                write.open_table(definition(table)).map_err(|cause| failed(cause.into()))?;
            }
        }
        write.commit().map_err(|cause| failed(cause.into()))?;
        Ok(Self { database })
    }
}

/// Adds one to the revision inside a transaction.
fn advance(write: &redb::WriteTransaction) -> Result<u64, StoreError> {
    let mut table = write.open_table(REVISION).map_err(used)?;
    let next = table.get("last").map_err(used)?.map_or(0, |value| value.value()) + 1;
    table.insert("last", next).map_err(used)?;
    Ok(next)
}

impl Store for DiskStore {
    fn rows(&self, table: Table) -> Result<Vec<Row>, StoreError> {
        let read = self.database.begin_read().map_err(used)?;
        let table = match read.open_table(definition(table)) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(cause) => return Err(used(cause)),
        };
        let mut rows = Vec::new();
        for entry in table.iter().map_err(used)? {
            let (key, value) = entry.map_err(used)?;
            let (revision, bytes) = value.value();
            rows.push(Row { key: key.value().to_owned(), value: bytes.to_vec(), revision });
        }
        Ok(rows)
    }

    fn row(&self, table: Table, key: &str) -> Result<Option<Row>, StoreError> {
        let read = self.database.begin_read().map_err(used)?;
        let table = read.open_table(definition(table)).map_err(used)?;
        Ok(table.get(key).map_err(used)?.map(|value| {
            let (revision, bytes) = value.value();
            Row { key: key.to_owned(), value: bytes.to_vec(), revision }
        }))
    }

    fn commit(&self, changes: &[Change]) -> Result<u64, StoreError> {
        check(changes)?;
        let write = self.database.begin_write().map_err(used)?;
        let revision = advance(&write)?;
        for change in changes {
            match change {
                Change::Put(table, key, value) => {
                    let mut table = write.open_table(definition(*table)).map_err(used)?;
                    table.insert(key.as_str(), (revision, value.as_slice())).map_err(used)?;
                }
                Change::Delete(table, key) => {
                    let mut table = write.open_table(definition(*table)).map_err(used)?;
                    table.remove(key.as_str()).map_err(used)?;
                }
            }
        }
        write.commit().map_err(used)?;
        Ok(revision)
    }

    fn swap(&self, table: Table, key: &str, expected: &[u8], value: &[u8]) -> Result<Swap, StoreError> {
        check(&[Change::Put(table, key.to_owned(), value.to_vec())])?;
        let write = self.database.begin_write().map_err(used)?;
        {
            let mut rows = write.open_table(definition(table)).map_err(used)?;
            let same = rows.get(key).map_err(used)?.is_some_and(|row| row.value().1 == expected);
            if !same {
                return Ok(Swap::Differs);
            }
            let revision = advance(&write)?;
            rows.insert(key, (revision, value)).map_err(used)?;
        }
        write.commit().map_err(used)?;
        Ok(Swap::Done)
    }

    fn revision(&self) -> Result<u64, StoreError> {
        let read = self.database.begin_read().map_err(used)?;
        let table = read.open_table(REVISION).map_err(used)?;
        Ok(table.get("last").map_err(used)?.map_or(0, |value| value.value()))
    }
}

#[cfg(test)]
mod tests;
