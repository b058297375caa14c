//! What a store of one plane keeps, whoever keeps it: an embedded file today, a Kubernetes API later.
//!
//! Rows are bytes under a name in a table; every change has a revision. Private keys never go here.

use std::error::Error;
use std::io;
use std::path::PathBuf;

/// Longest key of a row, in bytes; more is refused.
pub const KEY_BYTES_MAX: usize = 1024;
/// Longest value of a row, in bytes; more is refused.
pub const VALUE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What kinds of rows there are. The names are part of the file format: never rename one. To append one is a new format
/// (`disk::format`), so that an earlier program does not go on without it.
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

/// All that a store holds at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreSnapshot {
    /// The revision of the last commit.
    pub revision: u64,
    /// The rows, by table and key.
    pub rows: Vec<(Table, Row)>,
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
    /// All rows of all tables at one moment; an error when keys and values have more than `bytes_max` bytes.
    fn snapshot(&self, bytes_max: usize) -> Result<StoreSnapshot, StoreError>;
}

/// Why the store could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the file open.
    #[error("state file {path} is in use by another process; end that one first")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged, or somebody else's.
    #[error(
        "state file {path} is damaged, or is not one of leno's; it was left as it is: restore a backup with `leno backup \
         restore FILE --state DIR --replace`, or move it away to begin with an empty state, where all hosts join anew"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How that shows.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
    /// The file was written by a later version.
    #[error(
        "state file {path} has format {found}, written by {writer}; this is {program}, which reads formats up to \
         {newest}: start {writer} or a later version, or restore a backup that {program} made"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The file's format.
        found: u32,
        /// The program that brought it to this format.
        writer: String,
        /// This program.
        program: &'static str,
        /// The last format that it reads.
        newest: u32,
    },
    /// The file is of an earlier version and could not be brought to this one.
    #[error(
        "bring state file {path} from format {found} to {newest}; the file as it was is at {kept}, and the version \
         that wrote it can go on with it"
    )]
    Migrate {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The format of this program.
        newest: u32,
        /// A copy from before.
        kept: PathBuf,
        /// Why not.
        #[source]
        cause: Box<StoreError>,
    },
    /// The disk is full.
    #[error("state file {path} cannot be written: its disk is full; free space there, no restart is needed")]
    Full {
        /// The file.
        path: PathBuf,
        /// In the words of the system.
        #[source]
        cause: io::Error,
    },
    /// The system does not let us read or write the file.
    #[error("read or write state file {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// It holds more than is taken out at once.
    #[error(
        "more than {} MiB are stored; stop the process and copy its state directory instead", bytes_max / (1 << 20)
    )]
    SnapshotTooLarge {
        /// What is taken out at most.
        bytes_max: usize,
    },
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
