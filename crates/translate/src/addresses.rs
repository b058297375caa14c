//! Mesh-only addresses: by hash of the name, so that every cluster finds the same, probed on collision.

use model::Hostname;
use model::address::mesh_only_candidate;
use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;

/// Candidates tried for one host; beyond that it has no address (the range holds 250 million).
const ATTEMPTS_MAX: u32 = 1000;

/// Who has which address. An address stays with its host even when the host is gone for a while, because
/// applications keep addresses.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    by_host: BTreeMap<Hostname, Ipv4Addr>,
    by_address: HashMap<Ipv4Addr, Hostname>,
    /// Hosts that got one since somebody asked, who stores them.
    new: Vec<Hostname>,
    /// How many of them there were when a trial began; `None`: nothing is tried.
    new_before_trial: Option<usize>,
}

impl Addresses {
    /// The host's address, allotted now if need be.
    pub(crate) fn ensure(&mut self, host: &Hostname) -> Option<Ipv4Addr> {
        if let Some(address) = self.by_host.get(host) {
            return Some(*address);
        }
        let candidates = (0..ATTEMPTS_MAX).map(|attempt| mesh_only_candidate(host.as_str(), attempt));
        let address = candidates.into_iter().find(|address| !self.by_address.contains_key(address))?;
        self.by_host.insert(host.clone(), address);
        self.by_address.insert(address, host.clone());
        self.new.push(host.clone());
        Some(address)
    }

    /// What hosts got since the last call, to be stored.
    pub(crate) fn take_new(&mut self) -> Vec<(Hostname, Ipv4Addr)> {
        debug_assert!(self.new_before_trial.is_none(), "what is only tried is not stored");
        let new = std::mem::take(&mut self.new);
        new.into_iter().filter_map(|host| self.by_host.get(&host).map(|address| (host, *address))).collect()
    }

    /// From now on what hosts get is taken back in the end.
    pub(crate) fn begin_trial(&mut self) {
        self.new_before_trial = Some(self.new.len());
    }

    /// Takes back what hosts got since the trial began.
    pub(crate) fn end_trial(&mut self) {
        let before = self.new_before_trial.take().unwrap_or(self.new.len());
        for host in self.new.split_off(before.min(self.new.len())) {
            if let Some(address) = self.by_host.remove(&host) {
                self.by_address.remove(&address);
            }
        }
    }

    /// Takes over what was stored; what contradicts an address already in use is left out.
    pub(crate) fn restore(&mut self, stored: BTreeMap<Hostname, Ipv4Addr>) {
        for (host, address) in stored {
            if !self.by_host.contains_key(&host) && !self.by_address.contains_key(&address) {
                self.by_address.insert(address, host.clone());
                self.by_host.insert(host, address);
            }
        }
    }

    pub(crate) fn host(&self, address: Ipv4Addr) -> Option<&Hostname> {
        self.by_address.get(&address)
    }

    pub(crate) fn all(&self) -> &BTreeMap<Hostname, Ipv4Addr> {
        &self.by_host
    }
}
