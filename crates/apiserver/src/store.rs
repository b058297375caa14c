//! What a store of one plane keeps, whoever keeps it: an embedded file today, a Kubernetes API later.
//!
//! Rows are bytes under a name in a table; every change has a revision. Private keys never go here.

use std::path::PathBuf;
use thiserror::Error;

/// Longest key of a row, in bytes; more is refused.
pub const KEY_BYTES_MAX: usize = 1024;
/// Longest value of a row, in bytes; more is refused.
pub const VALUE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What kinds of rows there are. The names are part of the file format: append, never rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// Objects as they were applied, text.
    Objects,
    /// Mesh-only addresses by host.
    Addresses,
    /// Join tokens by id: what they are bound to and whether they are spent. Secrets only as hashes.
    Tokens,
    /// Proxies that joined and have not left.
    Registrations,
    /// The last federated view: other clusters by name.
    Remote,
    /// Earlier reports of clusters (management plane), by cluster and number.
    History,
    /// Configuration files of the directory as they last were without an error, by path.
    Files,
}

impl Table {
    /// All tables.
    pub const ALL: [Table; 7] = [
        Self::Objects,
        Self::Addresses,
        Self::Tokens,
        Self::Registrations,
        Self::Remote,
        Self::History,
        Self::Files,
    ];

    /// The name in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Objects => "objects",
            Self::Addresses => "addresses",
            Self::Tokens => "tokens",
            Self::Registrations => "registrations",
            Self::Remote => "remote",
            Self::History => "history",
            Self::Files => "files",
        }
    }
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name, unique in its table.
    pub key: String,
    /// Its content.
    pub value: Vec<u8>,
    /// The revision of the commit that wrote it.
    pub revision: u64,
}

/// One change of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Writes a row, whether or not it was there.
    Put(Table, String, Vec<u8>),
    /// Removes a row; one that is not there is fine.
    Delete(Table, String),
}

/// What came of a conditional write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    /// The row held what was expected and now holds the new value, durably.
    Done,
    /// The row held something else, or was not there; nothing was written.
    Differs,
}

/// A durable store. Calls block for as long as the disk takes; async callers use a blocking thread.
pub trait Store: Send + Sync + 'static {
    /// All rows of a table, by key.
    fn rows(&self, table: Table) -> Result<Vec<Row>, StoreError>;
    /// One row.
    fn row(&self, table: Table, key: &str) -> Result<Option<Row>, StoreError>;
    /// Applies all changes or none; they are durable when this returns. The result is the new revision.
    fn commit(&self, changes: &[Change]) -> Result<u64, StoreError>;
    /// Replaces a row's value only if it is `expected`; durable when this returns.
    fn swap(&self, table: Table, key: &str, expected: &[u8], value: &[u8]) -> Result<Swap, StoreError>;
    /// The revision of the last commit; 0 when there was none.
    fn revision(&self) -> Result<u64, StoreError>;
}

/// Why the store could not do its work.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The file cannot be opened: it is no store of Leno's, damaged, or in use by another process.
    #[error(
        "open store {path}: not a store of leno, damaged, or in use; move it away to start with an empty one"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: Box<redb::Error>,
    },
    /// The file is a store of another version.
    #[error("open store {path}: format {found:?}, this program reads {expected:?}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What the file says.
        found: String,
        /// What is read here.
        expected: &'static str,
    },
    /// Reading or writing failed.
    #[error("use store")]
    Use(#[source] Box<redb::Error>),
    /// A key or value is too long ([`KEY_BYTES_MAX`], [`VALUE_BYTES_MAX`]).
    #[error("row {key} is too large: {bytes} bytes")]
    TooLarge {
        /// Start of its key.
        key: String,
        /// Size of the key or the value, whichever is too long.
        bytes: usize,
    },
}

/// Refuses changes that break the limits; a commit of them fails as a whole.
pub fn check(changes: &[Change]) -> Result<(), StoreError> {
    for change in changes {
        let (key, bytes) = match change {
            Change::Put(_, key, value) => (key, value.len()),
            Change::Delete(_, key) => (key, 0),
        };
        if key.len() > KEY_BYTES_MAX || bytes > VALUE_BYTES_MAX {
            let start = key.chars().take(64).collect();
            return Err(StoreError::TooLarge { key: start, bytes: bytes.max(key.len()) });
        }
    }
    Ok(())
}
