//! A backup: what a plane keeps, at one moment, as lines of JSON. The first line says of what and in which format, each
//! further one is a row, the last has a checksum of all before it.
//!
//! There is no private key in it, because there is none in a store. But hashes of join tokens are, and which service calls
//! which: it is for its owner alone. Read `snapshot` for how one is made, `restore` for what becomes of it.

pub mod restore;
pub mod snapshot;

use crate::disk::{FORMAT, PROGRAM};
use crate::store::{KEY_BYTES_MAX, Row, StoreSnapshot, Table, VALUE_BYTES_MAX};
use aws_lc_rs::digest::{self, SHA256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::hex::hex;
use model::time::rfc3339;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::{self, BufRead};
use std::time::SystemTime;

/// What is in the first line of every backup.
const KIND: &str = "leno-backup";
/// The form of the lines that this program writes and reads.
const VERSION: u32 = 1;
/// Keys and values of a backup together, in bytes; a plane that keeps more is copied while it stands still.
pub const SNAPSHOT_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Longest line, in bytes: a row at its largest, and what is around it.
const LINE_BYTES_MAX: u64 = (2 * (KEY_BYTES_MAX + VALUE_BYTES_MAX) + 1024) as u64;

/// Whose state it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StatePlane {
    /// `leno control`.
    Control,
    /// `leno manager`.
    Manager,
}

impl StatePlane {
    /// Its file in the state directory.
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Control => "control.redb",
            Self::Manager => "manager.redb",
        }
    }
}

impl fmt::Display for StatePlane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Control => "control plane",
            Self::Manager => "management plane",
        })
    }
}

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupHead {
    kind: String,
    version: u32,
    /// Whose state it is.
    pub plane: StatePlane,
    /// The format of the rows, as that of the state file.
    pub format: u32,
    /// The program that made it.
    pub writer: String,
    /// When.
    pub made: String,
    /// The revision of the last change in it.
    pub revision: u64,
}

#[derive(Serialize, Deserialize)]
struct RowLine {
    table: String,
    key: String,
    revision: u64,
    /// Base64.
    value: String,
}

#[derive(Serialize, Deserialize)]
struct LastLine {
    rows: u64,
    sha256: String,
}

/// Why a file is no backup that can be used.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// It cannot be read.
    #[error("read the backup")]
    Read(#[source] io::Error),
    /// Its first line is not that of a backup.
    #[error("it does not begin as a backup of leno does")]
    Foreign,
    /// A later version made it.
    #[error(
        "it has format {format} in version {version}, written by {writer}; this is {PROGRAM}, which reads formats up to \
         {FORMAT} in version {VERSION}: use {writer} or a later version"
    )]
    Newer {
        /// Of its rows.
        format: u32,
        /// Of its lines.
        version: u32,
        /// Who made it.
        writer: String,
    },
    /// A line makes no sense.
    #[error("line {0} makes no sense: it was changed, or is of a later version")]
    Line(u64),
    /// It ends too early, or its checksum is wrong.
    #[error("it is cut off or was changed: {0}; use another copy")]
    Damaged(&'static str),
}

/// The lines of a backup, one by one.
pub(crate) fn lines(
    plane: StatePlane,
    snapshot: StoreSnapshot,
    now: SystemTime,
) -> impl Iterator<Item = Vec<u8>> + Send {
    let head = BackupHead {
        kind: KIND.into(),
        version: VERSION,
        plane,
        format: FORMAT,
        writer: PROGRAM.into(),
        made: rfc3339(now),
        revision: snapshot.revision,
    };
    let mut sum = digest::Context::new(&SHA256);
    let (mut head, mut rows, mut count) = (Some(line(&head)), snapshot.rows.into_iter(), 0);
    let mut is_ended = false;
    std::iter::from_fn(move || {
        let next = head.take().or_else(|| {
            let (table, row) = rows.next()?;
            count += 1;
            let (key, value) = (row.key, STANDARD.encode(row.value));
            Some(line(&RowLine { table: table.as_str().into(), key, revision: row.revision, value }))
        });
        match next {
            Some(next) => {
                sum.update(&next);
                Some(next)
            }
            None if is_ended => None,
            None => {
                is_ended = true;
                Some(line(&LastLine { rows: count, sha256: hex(sum.clone().finish().as_ref()) }))
            }
        }
    })
}

fn line(value: &impl Serialize) -> Vec<u8> {
    // Of texts and numbers this is always possible.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Reads all of a backup, and gives each row to `each`. Whether it is whole is known when this returns.
///
/// # Errors
/// See [`BackupError`].
pub(crate) fn read(
    mut file: impl BufRead,
    mut each: impl FnMut(Table, Row) -> Result<(), BackupError>,
) -> Result<BackupHead, BackupError> {
    let mut sum = digest::Context::new(&SHA256);
    let mut text = Vec::new();
    let first = next_line(&mut file, &mut text).map_err(|_| BackupError::Foreign)?;
    let head: BackupHead = serde_json::from_slice(first).map_err(|_| BackupError::Foreign)?;
    if head.kind != KIND {
        return Err(BackupError::Foreign);
    }
    if head.version != VERSION || head.format > FORMAT {
        let BackupHead { format, version, writer, .. } = head;
        return Err(BackupError::Newer { format, version, writer });
    }
    sum.update(first);
    for rows in 0.. {
        let line = next_line(&mut file, &mut text)?;
        if let Ok(last) = serde_json::from_slice::<LastLine>(line) {
            let is_whole = last.rows == rows && last.sha256 == hex(sum.finish().as_ref());
            let is_end = file.fill_buf().map_err(BackupError::Read)?.is_empty();
            return match is_whole && is_end {
                true => Ok(head),
                false => Err(BackupError::Damaged("its checksum is another")),
            };
        }
        sum.update(line);
        let (table, row) = read_row(line).ok_or(BackupError::Line(rows + 2))?;
        each(table, row)?;
    }
    Err(BackupError::Damaged("it has no end"))
}

fn read_row(line: &[u8]) -> Option<(Table, Row)> {
    let row: RowLine = serde_json::from_slice(line).ok()?;
    let table = Table::ALL.into_iter().find(|table| table.as_str() == row.table)?;
    let value = STANDARD.decode(row.value).ok()?;
    let fits = row.key.len() <= KEY_BYTES_MAX && value.len() <= VALUE_BYTES_MAX;
    fits.then_some((table, Row { key: row.key, value, revision: row.revision }))
}

/// The next line with its end.
fn next_line<'a>(file: &mut impl BufRead, line: &'a mut Vec<u8>) -> Result<&'a [u8], BackupError> {
    line.clear();
    io::Read::take(file, LINE_BYTES_MAX).read_until(b'\n', line).map_err(BackupError::Read)?;
    match line.ends_with(b"\n") {
        true => Ok(line),
        false => Err(BackupError::Damaged("its last line is missing")),
    }
}

#[cfg(test)]
mod tests;
