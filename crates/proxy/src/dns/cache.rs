//! Addresses of names that applications say, for as long as their answers count. Who asks for a name that is being asked
//! for waits for that answer: however many connections say it, there is one query.

#[cfg(test)]
mod tests;

use super::IsReached;
use super::forward::Forwarder;
use decide::resolution::{NameAnswer, TTL_MAX, TTL_MIN};
use model::Hostname;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

/// Names that are remembered. More: the one that was asked for first is forgotten.
const NAMES_MAX: usize = 4096;
/// Names that are asked for at once. More: nobody can tell.
const ASKED_MAX: usize = 256;
/// For name servers to answer. Longer: nobody can tell.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// That nobody could tell is remembered so long, so that a name server that is in trouble is not asked for each connection.
const FAILURE_TTL: Duration = Duration::from_secs(1);

/// What is remembered of names.
pub(crate) struct NameCache {
    forwarder: Arc<Forwarder>,
    is_reached: IsReached,
    names: Mutex<Names>,
}

#[derive(Default)]
struct Names {
    known: HashMap<Hostname, Known>,
    /// Closed when the answer has come, or when who asked has gone away.
    asked: HashMap<Hostname, watch::Receiver<()>>,
}

/// An answer.
struct Known {
    since: Instant,
    until: Instant,
    /// Empty: it has none, or nobody could tell.
    addresses: Arc<[IpAddr]>,
}

/// What somebody who wants to know a name's addresses does.
enum Role<'a> {
    Knows(Arc<[IpAddr]>),
    Waits(watch::Receiver<()>),
    Asks(Asking<'a>),
    /// Too many ask.
    GivesUp,
}

/// Somebody asks, until this is dropped.
struct Asking<'a> {
    cache: &'a NameCache,
    name: &'a Hostname,
    _told: watch::Sender<()>,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.cache.names().asked.remove(self.name);
    }
}

impl NameCache {
    /// Asks `forwarder` for what it does not know; addresses of IPv6 are told where `is_reached` says that they are of use.
    pub(crate) fn new(forwarder: Arc<Forwarder>, is_reached: IsReached) -> Self {
        Self { forwarder, is_reached, names: Mutex::default() }
    }

    /// Who is asked.
    pub(crate) fn forwarder(&self) -> &Arc<Forwarder> {
        &self.forwarder
    }

    /// The addresses of a name; `None`: it has none, or nobody can tell.
    pub(crate) async fn addresses(&self, name: &Hostname) -> Option<Arc<[IpAddr]>> {
        self.addresses_by(name, || self.forwarder.find_addresses(name, self.is_reached)).await
    }

    async fn addresses_by<F: Future<Output = NameAnswer>>(
        &self,
        name: &Hostname,
        ask: impl FnOnce() -> F,
    ) -> Option<Arc<[IpAddr]>> {
        let patience = Instant::now() + ANSWER_TIMEOUT;
        loop {
            match self.role(name) {
                Role::Knows(addresses) => return Some(addresses).filter(|addresses| !addresses.is_empty()),
                Role::GivesUp => return None,
                // An error is the end as well: it has been answered, or is asked again by one of those who wait.
                Role::Waits(mut told) => drop(timeout_at(patience, told.changed()).await.ok()?),
                Role::Asks(asking) => {
                    let answer = timeout(ANSWER_TIMEOUT, Box::pin(ask())).await;
                    let addresses = self.learn(name, answer.unwrap_or(NameAnswer::Failed));
                    drop(asking);
                    return Some(addresses).filter(|addresses| !addresses.is_empty());
                }
            }
        }
    }

    fn role<'a>(&'a self, name: &'a Hostname) -> Role<'a> {
        let mut names = self.names();
        if let Some(known) = names.known.get(name).filter(|known| known.until > Instant::now()) {
            return Role::Knows(Arc::clone(&known.addresses));
        }
        if let Some(told) = names.asked.get(name) {
            return Role::Waits(told.clone());
        }
        if names.asked.len() >= ASKED_MAX {
            return Role::GivesUp;
        }
        let (told, waits) = watch::channel(());
        names.asked.insert(name.clone(), waits);
        Role::Asks(Asking { cache: self, name, _told: told })
    }

    fn learn(&self, name: &Hostname, answer: NameAnswer) -> Arc<[IpAddr]> {
        let (addresses, ttl) = match answer {
            NameAnswer::Addresses(addresses, ttl) => (Arc::from(addresses), ttl.clamp(TTL_MIN, TTL_MAX)),
            NameAnswer::Absent(ttl) => (Arc::from([]), ttl.clamp(TTL_MIN, TTL_MAX)),
            NameAnswer::Failed => (Arc::from([]), FAILURE_TTL),
        };
        let now = Instant::now();
        let known = &mut self.names().known;
        if known.len() >= NAMES_MAX && !known.contains_key(name) {
            known.retain(|_, known| known.until > now);
            let oldest = known.iter().min_by_key(|(_, known)| known.since).map(|(name, _)| name.clone());
            if let Some(oldest) = oldest.filter(|_| known.len() >= NAMES_MAX) {
                known.remove(&oldest);
            }
        }
        let addresses: Arc<[IpAddr]> = addresses;
        known.insert(name.clone(), Known { since: now, until: now + ttl, addresses: Arc::clone(&addresses) });
        addresses
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
