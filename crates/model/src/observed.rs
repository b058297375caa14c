//! Who came to the ports of a workload's application, and by which way, as its proxy counted since it started: in
//! plaintext by caller, in mutual TLS by port. The proxy counts, tells its control plane, and that asks
//! `decide::mtls::plan` what STRICT would break.
//!
//! Every count has a limit. Who was not seen for longest makes room, and is then counted without a name.

#[cfg(test)]
mod tests;

use crate::mtls::MtlsMode;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// Callers in plaintext that one proxy keeps by name, each once for every port that it called.
pub const PLAINTEXT_CALLERS_MAX: usize = 256;
/// Callers that were refused for their plaintext, likewise. A limit of its own, so that whoever knocks at all ports of
/// a STRICT workload takes the place of nobody who is let in.
pub const REFUSED_CALLERS_MAX: usize = 64;
/// Ports with callers in mutual TLS that one proxy keeps.
pub const MUTUAL_TLS_PORTS_MAX: usize = 64;

/// What one proxy counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedInbound {
    /// Since when.
    pub started: SystemTime,
    /// How often the proxy tells what has changed.
    pub report_every: Duration,
    /// Let in, in plaintext.
    pub plaintext: ConnectionTally<PlaintextCaller>,
    /// Refused, because a port takes mutual TLS alone.
    pub refused: ConnectionTally<PlaintextCaller>,
    /// In mutual TLS, by port of the application. Of ports that are STRICT nobody needs to know.
    pub mutual_tls: ConnectionTally<u16>,
}

/// Somebody who called a port in plaintext.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlaintextCaller {
    /// Of the application.
    pub port: u16,
    /// The caller's.
    pub address: IpAddr,
    /// What the port took at that time: where it was DISABLE, callers with a proxy came in plaintext too.
    pub mode: MtlsMode,
}

/// Connections of some kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionCount {
    /// How many there were.
    pub total: u64,
    /// How many of them are open.
    pub open: u32,
    /// When the last one was opened, or ended.
    pub last: SystemTime,
}

/// Connections by key, of a limited number of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionTally<K> {
    /// By key.
    pub counted: BTreeMap<K, ConnectionCount>,
    /// Those for whose keys there was no room.
    pub unnamed: Option<ConnectionCount>,
}

/// Where a connection was counted; to be given back when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Under its key.
    Named,
    /// With all others for whose keys there was no room.
    Unnamed,
}

impl<K> Default for ConnectionTally<K> {
    fn default() -> Self {
        Self { counted: BTreeMap::new(), unnamed: None }
    }
}

impl<K: Ord + Copy> ConnectionTally<K> {
    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.counted.is_empty() && self.unnamed.is_none()
    }

    /// Adds connections of `key`, where at most `most` keys are kept. Keys with an open connection stay.
    pub fn add(&mut self, key: K, count: ConnectionCount, most: usize) -> Counted {
        if let Some(known) = self.counted.get_mut(&key) {
            known.join(count);
            return Counted::Named;
        }
        if self.counted.len() >= most {
            let idle = self.counted.iter().filter(|(_, known)| known.open == 0);
            let oldest = idle.min_by_key(|(_, known)| known.last).map(|(key, known)| (*key, known.last));
            match oldest {
                Some((oldest, last)) if count.open > 0 || last <= count.last => {
                    let gone = self.counted.remove(&oldest);
                    gone.into_iter().for_each(|gone| self.add_unnamed(gone));
                }
                _ => {
                    self.add_unnamed(count);
                    return Counted::Unnamed;
                }
            }
        }
        self.counted.insert(key, count);
        Counted::Named
    }

    /// Adds connections whose keys nobody kept.
    pub fn add_unnamed(&mut self, count: ConnectionCount) {
        match &mut self.unnamed {
            Some(known) => known.join(count),
            None => self.unnamed = Some(count),
        }
    }

    /// Adds all that another has counted.
    pub fn merge(&mut self, other: &Self, most: usize) {
        for (key, count) in &other.counted {
            self.add(*key, *count, most);
        }
        other.unnamed.iter().for_each(|count| self.add_unnamed(*count));
    }

    /// An open connection ended.
    pub fn close(&mut self, key: K, counted: Counted, now: SystemTime) {
        let count = match counted {
            Counted::Named => self.counted.get_mut(&key),
            Counted::Unnamed => self.unnamed.as_mut(),
        };
        if let Some(count) = count {
            debug_assert!(count.open > 0, "a connection ended twice");
            count.open = count.open.saturating_sub(1);
            count.last = count.last.max(now);
        }
    }
}

impl ConnectionCount {
    /// One connection that is open.
    pub const fn opened(now: SystemTime) -> Self {
        Self { total: 1, open: 1, last: now }
    }

    /// One connection of which only counts that it came.
    pub const fn came(now: SystemTime) -> Self {
        Self { total: 1, open: 0, last: now }
    }

    /// How long ago it was last seen; not at all, as long as one is open.
    pub fn age(&self, now: SystemTime) -> Duration {
        match self.open {
            0 => now.duration_since(self.last).unwrap_or_default(),
            _ => Duration::ZERO,
        }
    }

    fn join(&mut self, other: Self) {
        self.total = self.total.saturating_add(other.total);
        self.open = self.open.saturating_add(other.open);
        self.last = self.last.max(other.last);
    }
}
