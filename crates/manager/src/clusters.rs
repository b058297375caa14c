//! What each cluster reported last, and before that. Pure: time is an argument, storing is the caller's.
//!
//! Unknown yet is not absent: after a start a cluster that has not reported yet keeps its stored report,
//! and one whose link broke keeps its last one.

use crate::history::{self, from_bytes, to_bytes};
use apiserver::{Change, Row, Table};
use model::federation::RemoteCluster;
use model::{Resource, ResourceKey};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;
use xds::wire::{self, Encoded};

/// Clusters at most; reports of more are refused.
pub const CLUSTERS_MAX: usize = 1024;
/// Longest cluster name, in bytes.
pub const NAME_BYTES_MAX: usize = 63;

/// What is known of one cluster.
#[derive(Debug)]
pub struct KnownCluster {
    /// Its last report.
    pub report: RemoteCluster,
    /// The same as others get it.
    pub encoded: Arc<Encoded>,
    /// Number of the report, from 1; counts changes only.
    pub revision: u64,
    /// When it came, or was loaded.
    pub at: SystemTime,
    /// Open report streams.
    pub links: u32,
    /// When the last of them ended, or since when none has begun; means nothing while there is one.
    pub left: SystemTime,
    /// Earlier reports, oldest first: revision and version.
    pub history: Vec<(u64, Arc<str>)>,
}

/// Whether a report told something new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The others must hear of it.
    Changed,
    /// Everything as before.
    Same,
}

/// A report that was looked at.
#[derive(Debug)]
pub struct Weighed {
    /// Whether it tells something new.
    pub news: News,
    /// To be stored.
    pub rows: Vec<Change>,
    known: KnownCluster,
}

/// Why a report is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// See [`CLUSTERS_MAX`].
    #[error("more than {CLUSTERS_MAX} clusters")]
    TooMany,
    /// A name is empty, too long, or has characters other than letters, digits, `-`, `_` and `.`.
    #[error("not a cluster name")]
    Name,
    /// A control plane speaks for another cluster than the one that its certificate is bound to.
    #[error("a control plane speaks for its own cluster only")]
    OtherCluster,
}

/// All clusters.
#[derive(Debug, Default)]
pub struct Clusters {
    known: BTreeMap<Arc<str>, KnownCluster>,
}

fn encode(report: &RemoteCluster) -> Arc<Encoded> {
    wire::encode(&ResourceKey::Cluster(report.cluster.clone()), &Resource::Cluster(report.clone()))
}

impl Clusters {
    /// What an earlier run stored.
    pub fn load(reports: &[Row], history: &[Row], now: SystemTime) -> Self {
        let mut clusters = Self::default();
        for (revision, report) in reports.iter().filter_map(|row| from_bytes(&row.value)) {
            let encoded = encode(&report);
            let known =
                KnownCluster { encoded, revision, at: now, links: 0, left: now, history: Vec::new(), report };
            clusters.known.insert(known.report.cluster.clone(), known);
        }
        for row in history {
            let Some((revision, report)) = from_bytes(&row.value) else { continue };
            if let Some(known) = clusters.known.get_mut(&report.cluster) {
                known.history.push((revision, encode(&report).version.clone()));
            }
        }
        clusters
    }

    /// Looks at a report. Its rows must be stored, and then it must be [`Clusters::take`]n: one that could not
    /// be stored must not be known either, or the same report would be no news when it comes again.
    pub fn weigh(&self, report: RemoteCluster, now: SystemTime) -> Result<Weighed, Unfit> {
        let name = report.cluster.clone();
        let byte_ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(byte_ok) {
            return Err(Unfit::Name);
        }
        let encoded = encode(&report);
        let mut known =
            KnownCluster { report, encoded, revision: 1, at: now, links: 0, left: now, history: Vec::new() };
        let mut rows = Vec::new();
        match self.known.get(&name) {
            None if self.known.len() >= CLUSTERS_MAX => return Err(Unfit::TooMany),
            None => {}
            Some(before) => {
                known.history.clone_from(&before.history);
                known.revision = before.revision;
                if before.encoded.version == known.encoded.version {
                    return Ok(Weighed { news: News::Same, rows, known });
                }
                rows = history::keep(&mut known.history, &name, before.revision, &before.encoded);
                known.revision += 1;
            }
        }
        rows.push(Change::Put(Table::Remote, name.to_string(), to_bytes(known.revision, &known.encoded)));
        Ok(Weighed { news: News::Changed, rows, known })
    }

    /// Takes a report whose rows are stored. None of the same cluster may come in between.
    pub fn take(&mut self, weighed: Weighed) {
        let mut known = weighed.known;
        if let Some(before) = self.known.get(&known.report.cluster) {
            (known.links, known.left) = (before.links, before.left);
        }
        self.known.insert(known.report.cluster.clone(), known);
    }

    /// A report stream of this cluster began.
    pub fn connect(&mut self, cluster: &str) {
        if let Some(known) = self.known.get_mut(cluster) {
            known.links += 1;
        }
    }

    /// A report stream of this cluster ended. Its report stays.
    pub fn disconnect(&mut self, cluster: &str, now: SystemTime) {
        if let Some(known) = self.known.get_mut(cluster) {
            known.links = known.links.saturating_sub(1);
            known.left = now;
        }
    }

    /// All clusters but `own`, as they travel.
    pub fn others(&self, own: &str) -> Vec<Arc<Encoded>> {
        let others = self.known.values().filter(|known| *known.report.cluster != *own);
        others.map(|known| known.encoded.clone()).collect()
    }

    /// All clusters by name.
    pub fn all(&self) -> impl Iterator<Item = &KnownCluster> {
        self.known.values()
    }
}

#[cfg(test)]
pub(crate) mod tests;
