//! Addresses of names that applications say, for as long as their answers count: one query for a name at a time serves all.

use super::IsReached;
use super::forward::Forwarder;
use decide::resolution::{NameAnswer, TTL_MAX, TTL_MIN};
use model::Hostname;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Names that are remembered. More: those that are over are forgotten, and if none is, all are.
const NAMES_MAX: usize = 4096;
/// For name servers to answer. Longer: nobody can tell.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// What is remembered of names.
pub(crate) struct NameCache {
    forwarder: Arc<Forwarder>,
    is_reached: IsReached,
    known: Mutex<Known>,
}

/// Until when what counts.
type Known = HashMap<Hostname, (Instant, Arc<[IpAddr]>)>;

impl NameCache {
    /// Asks `forwarder` for what it does not know; addresses of IPv6 are told where `is_reached` says that they are of use.
    pub(crate) fn new(forwarder: Arc<Forwarder>, is_reached: IsReached) -> Self {
        Self { forwarder, is_reached, known: Mutex::default() }
    }

    /// Who is asked.
    pub(crate) fn forwarder(&self) -> &Arc<Forwarder> {
        &self.forwarder
    }

    /// The addresses of a name; `None`: it has none, or nobody can tell.
    pub(crate) async fn addresses(&self, name: &Hostname) -> Option<Arc<[IpAddr]>> {
        let now = Instant::now();
        if let Some((until, addresses)) = self.known().get(name)
            && *until > now
        {
            return Some(Arc::clone(addresses)).filter(|addresses| !addresses.is_empty());
        }
        let asking = self.forwarder.find_addresses(name, self.is_reached);
        let (addresses, ttl) = match timeout(ANSWER_TIMEOUT, Box::pin(asking)).await {
            Ok(NameAnswer::Addresses(addresses, ttl)) => (Arc::from(addresses), ttl),
            Ok(NameAnswer::Absent(ttl)) => (Arc::from([]), ttl),
            Ok(NameAnswer::Failed) | Err(_) => return None,
        };
        let mut known = self.known();
        if known.len() >= NAMES_MAX {
            known.retain(|_, (until, _)| *until > now);
            if known.len() >= NAMES_MAX {
                known.clear();
            }
        }
        known.insert(name.clone(), (now + ttl.clamp(TTL_MIN, TTL_MAX), Arc::clone(&addresses)));
        Some(addresses).filter(|addresses| !addresses.is_empty())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
