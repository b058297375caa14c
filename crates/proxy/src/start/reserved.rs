//! Ports that are reserved for a gateway's listeners, by sockets that are bound and listen to nothing.

use crate::accept;
use crate::options::InheritedListener;
use crate::snapshot::Ports;
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;

/// The sockets of one process.
pub(super) struct Reserved {
    inherited: Vec<InheritedListener>,
    /// None where it was handed in.
    held: HashMap<SocketAddr, Vec<socket2::Socket>>,
    /// Ports that this process has had: its own workers may not have closed them yet.
    own: HashSet<u16>,
}

impl Reserved {
    /// None yet; `inherited` needs no reservation.
    pub(super) fn new(inherited: &[InheritedListener]) -> Self {
        Self { inherited: inherited.to_vec(), held: HashMap::new(), own: HashSet::new() }
    }
}

impl Ports for Reserved {
    fn reserve(&mut self, address: SocketAddr) -> io::Result<()> {
        if self.held.contains_key(&address) {
            return Ok(());
        }
        let handed_in = self.inherited.iter().find(|handed| handed.port == address.port());
        let sockets = match handed_in {
            Some(handed) => accept::inherit(handed.fd).map(|_| Vec::new())?,
            None => {
                if !self.own.contains(&address.port()) {
                    // Workers share a port among each other, and any process of this user could join them:
                    // then two gateways would answer by chance. So it is tried without sharing first.
                    drop(accept::bind_all(address, accept::Sharing::No)?);
                }
                accept::bind_all(address, accept::Sharing::Workers)?
            }
        };
        self.own.insert(address.port());
        self.held.insert(address, sockets);
        Ok(())
    }

    fn keep_only(&mut self, wanted: &HashSet<SocketAddr>) {
        self.held.retain(|address, _| wanted.contains(address));
    }
}

#[cfg(test)]
mod tests;
