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
    /// Hosts that got one since a trial began; `None`: nothing is tried.
    tried: Option<Vec<Hostname>>,
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
        if let Some(tried) = &mut self.tried {
            tried.push(host.clone());
        }
        Some(address)
    }

    /// From now on it is noted which hosts get an address.
    pub(crate) fn begin_trial(&mut self) {
        self.tried = Some(Vec::new());
    }

    /// Takes back what hosts got since the trial began.
    pub(crate) fn end_trial(&mut self) {
        for host in self.tried.take().unwrap_or_default() {
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
