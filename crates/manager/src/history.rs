//! Kept revisions: every report that was replaced, as it was, up to a number for each cluster.

use apiserver::{Change, Table};
use model::Resource;
use model::federation::RemoteCluster;
use std::sync::Arc;
use xds::wire::{self, Any, Encoded};

/// Earlier reports kept of each cluster; older ones are forgotten.
pub const HISTORY_MAX: usize = 32;

/// Keeps the report that is about to be replaced; the changes must be stored.
pub(crate) fn keep(
    history: &mut Vec<(u64, Arc<str>)>,
    cluster: &str,
    revision: u64,
    replaced: &Encoded,
) -> Vec<Change> {
    let mut rows = Vec::new();
    rows.push(Change::Put(Table::History, history_key(cluster, revision), to_bytes(revision, replaced)));
    history.push((revision, replaced.version.clone()));
    while history.len() > HISTORY_MAX {
        let (oldest, _) = history.remove(0);
        rows.push(Change::Delete(Table::History, history_key(cluster, oldest)));
    }
    rows
}

fn history_key(cluster: &str, revision: u64) -> String {
    format!("{cluster}/{revision:020}")
}

/// The revision, the kind of message and the message.
pub(crate) fn to_bytes(revision: u64, encoded: &Encoded) -> Vec<u8> {
    let mut bytes = format!("{revision}\n{}\n", encoded.any.type_url()).into_bytes();
    bytes.extend_from_slice(encoded.any.value());
    bytes
}

/// What [`to_bytes`] wrote; `None`: another version wrote something else.
pub(crate) fn from_bytes(bytes: &[u8]) -> Option<(u64, RemoteCluster)> {
    let mut parts = bytes.splitn(3, |byte| *byte == b'\n');
    let revision = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    let type_url = String::from_utf8(parts.next()?.to_vec()).ok()?;
    match wire::decode(&Any::Received { type_url, value: parts.next()?.to_vec().into() }).ok()? {
        Resource::Cluster(report) => Some((revision, report)),
        _ => None,
    }
}
