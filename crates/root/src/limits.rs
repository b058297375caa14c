//! How many connections there are at a time, how long each may take, and how often anybody may have something signed.

use ca::RefusalCode;
use ca::issuer::serve::{Granting, Holder, Served, SigningRefusal, answer_next, refuse};
use planes::rate::{Bucket, CallerBuckets, Take};
use std::collections::HashMap;
use std::hash::Hash;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};

/// Connections to one listener at a time; one more is told so and closed.
pub(crate) const CONNECTIONS_MAX: usize = 64;
/// Of them, from one address or IPv6 network, on a listener that strangers reach.
pub(crate) const CONNECTIONS_PER_SOURCE_MAX: usize = 8;
/// How long a question may take to come and its answer to be taken; longer ends the connection.
pub(crate) const QUESTION_TIMEOUT: Duration = Duration::from_secs(10);
/// Questions on one connection; then it is closed.
const QUESTIONS_MAX: usize = 16;
/// Signings that may come at once, of all askers of one listener.
const SIGN_BURST: u32 = 64;
/// Signings each second after that; more are refused and may be tried later.
const SIGNS_PER_SECOND: u32 = 8;
/// The same for one asker. It is asked first, so that one alone cannot use up what is there for all.
const ASKER_BURST: u32 = 16;
/// See [`ASKER_BURST`].
const ASKER_PER_SECOND: u32 = 1;

/// How often something is signed.
#[derive(Debug)]
pub(crate) struct SigningRate<K>(Mutex<(CallerBuckets<K>, Bucket)>);

impl<K: Eq + Hash> SigningRate<K> {
    pub(crate) fn new(now: Instant) -> Self {
        let askers = CallerBuckets::new(ASKER_BURST, ASKER_PER_SECOND, now);
        Self(Mutex::new((askers, Bucket::new(SIGN_BURST, SIGNS_PER_SECOND, now))))
    }

    /// Whether this asker may ask once more, whoever it is. What there is for all is not touched: a stranger could use it
    /// up.
    pub(crate) fn ask(&self, asker: K, now: Instant) -> Result<(), SigningRefusal> {
        granted(self.buckets().0.take(asker, 1, now))
    }

    /// Whether one more may be signed, for somebody who has asked and may have it.
    pub(crate) fn sign(&self, now: Instant) -> Result<(), SigningRefusal> {
        granted(self.buckets().1.take(1, now))
    }

    /// The price of a failure.
    pub(crate) fn charge(&self, asker: K, units: u32, now: Instant) {
        self.buckets().0.charge(asker, units, now);
    }

    fn buckets(&self) -> MutexGuard<'_, (CallerBuckets<K>, Bucket)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn granted(take: Take) -> Result<(), SigningRefusal> {
    match take {
        Take::Granted => Ok(()),
        Take::Refused => {
            let reason = "too many questions; try again in a few seconds";
            Err(SigningRefusal::new(RefusalCode::TooMany, reason))
        }
    }
}

/// Connections that are open, by source: none has all of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct SourceSlots(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// The place of one connection.
#[derive(Debug)]
pub(crate) struct SourceSlot {
    slots: SourceSlots,
    source: IpAddr,
}

impl SourceSlots {
    /// A place for a connection from `source`, if there is one.
    pub(crate) fn take(&self, source: IpAddr) -> Option<SourceSlot> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = open.values().sum::<usize>() >= CONNECTIONS_MAX;
        let own = open.get(&source).copied().unwrap_or_default();
        if is_full || own >= CONNECTIONS_PER_SOURCE_MAX {
            return None;
        }
        open.insert(source, own + 1);
        Some(SourceSlot { slots: self.clone(), source })
    }
}

impl Drop for SourceSlot {
    fn drop(&mut self) {
        let mut open = self.slots.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = open.get_mut(&self.source) {
            *own -= 1;
            if *own == 0 {
                open.remove(&self.source);
            }
        }
    }
}

/// Answers a connection within the limits.
pub(crate) async fn serve_within(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    holder: &Holder,
    granting: &impl Granting,
) -> io::Result<()> {
    for _ in 0..QUESTIONS_MAX {
        match tokio::time::timeout(QUESTION_TIMEOUT, answer_next(stream, holder, granting)).await {
            Ok(Ok(Served::Answered)) => {}
            Ok(Ok(Served::Closed)) => return Ok(()),
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
    Ok(())
}

/// Tells one connection too many so. It is not waited for.
pub(crate) async fn turn_away(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let reason = format!("{CONNECTIONS_MAX} connections are open; try again in a few seconds");
    let refusal = SigningRefusal::new(RefusalCode::TooMany, reason);
    // It fits into an empty socket buffer, so it either goes at once or is for nobody.
    let _ = tokio::time::timeout(Duration::ZERO, refuse(&mut stream, &refusal)).await;
}

#[cfg(test)]
mod tests;
