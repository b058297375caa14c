//! The version of a state file, and how a file of an older version becomes one of this: a table of steps.
//!
//! All steps of a file run in one transaction. A step that was released is never changed: append another one.
//! What rows say is not known here: the JSON in them takes fields that are new or missing.

use crate::store::{StoreSnapshot, Table};
use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableError, WriteTransaction,
};

/// The format that this program writes. It reads all before it.
pub(crate) const FORMAT: u32 = 2;
/// This program, as files of it say.
pub(crate) const PROGRAM: &str = concat!("leno ", env!("CARGO_PKG_VERSION"));

/// What every file of Leno's says of itself; its format is the number behind this.
const FORMAT_PREFIX: &str = "leno-store-";
const FORMAT_KEY: &str = "format";
const WRITER_KEY: &str = "writer";
const META: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");
const LAST_KEY: &str = "last";
const REVISION: TableDefinition<'_, &str, u64> = TableDefinition::new("revision");

/// From one format to the next.
struct MigrationStep {
    from: u32,
    run: fn(&WriteTransaction) -> Result<(), redb::Error>,
}

const STEPS: &[MigrationStep] = &[MigrationStep { from: 1, run: note_writer }];

/// What a file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileVersion {
    pub(super) format: u32,
    /// The program that brought it to this format; files of format 1 do not say.
    pub(super) writer: Option<String>,
}

/// A table of rows in the file.
pub(super) fn definition(table: Table) -> TableDefinition<'static, &'static str, (u64, &'static [u8])> {
    TableDefinition::new(table.as_str())
}

/// Format 2 says which program wrote it, so that an older one can say which to start instead.
fn note_writer(write: &WriteTransaction) -> Result<(), redb::Error> {
    write.open_table(META)?.insert(WRITER_KEY, PROGRAM)?;
    Ok(())
}

/// What an open file is; `None`: no file of Leno's.
pub(super) fn read_version(database: &Database) -> Result<Option<FileVersion>, redb::Error> {
    let read = database.begin_read()?;
    let meta = match read.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(cause) => return Err(cause.into()),
    };
    let format =
        meta.get(FORMAT_KEY)?.and_then(|text| text.value().strip_prefix(FORMAT_PREFIX)?.parse().ok());
    let Some(format) = format.filter(|format| *format > 0) else { return Ok(None) };
    let writer = meta.get(WRITER_KEY)?.map(|text| text.value().to_owned());
    Ok(Some(FileVersion { format, writer }))
}

/// Makes an empty database a file of this format, with rows that are of format `from`.
pub(super) fn initialize(
    write: &WriteTransaction,
    from: u32,
    content: &StoreSnapshot,
) -> Result<(), redb::Error> {
    make_tables(write)?;
    note_writer(write)?;
    for (table, row) in &content.rows {
        write
            .open_table(definition(*table))?
            .insert(row.key.as_str(), (row.revision, row.value.as_slice()))?;
    }
    write.open_table(REVISION)?.insert(LAST_KEY, content.revision)?;
    upgrade(write, from, STEPS)
}

/// Brings a file of format `from` to [`FORMAT`], or leaves all of it as it was.
pub(super) fn migrate(database: &Database, from: u32) -> Result<(), redb::Error> {
    migrate_by(database, from, STEPS)
}

fn migrate_by(database: &Database, from: u32, steps: &[MigrationStep]) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    upgrade(&write, from, steps)?;
    Ok(write.commit()?)
}

fn upgrade(write: &WriteTransaction, from: u32, steps: &[MigrationStep]) -> Result<(), redb::Error> {
    for step in steps.iter().filter(|step| step.from >= from) {
        (step.run)(write)?;
    }
    make_tables(write)?;
    set_format(write, FORMAT)
}

fn make_tables(write: &WriteTransaction) -> Result<(), redb::Error> {
    write.open_table(REVISION)?;
    for table in Table::ALL {
        write.open_table(definition(table))?;
    }
    Ok(())
}

fn set_format(write: &WriteTransaction, format: u32) -> Result<(), redb::Error> {
    write.open_table(META)?.insert(FORMAT_KEY, format!("{FORMAT_PREFIX}{format}").as_str())?;
    Ok(())
}

/// Adds one to the revision inside a transaction.
pub(super) fn advance(write: &WriteTransaction) -> Result<u64, redb::Error> {
    let mut table = write.open_table(REVISION)?;
    let next = table.get(LAST_KEY)?.map_or(0, |value| value.value()) + 1;
    table.insert(LAST_KEY, next)?;
    Ok(next)
}

/// The revision of the last commit.
pub(super) fn last_revision(read: &ReadTransaction) -> Result<u64, redb::Error> {
    let table = read.open_table(REVISION)?;
    Ok(table.get(LAST_KEY)?.map_or(0, |value| value.value()))
}

#[cfg(test)]
mod tests;
