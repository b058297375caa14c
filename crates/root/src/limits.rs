//! How many connections there are at a time, how long each may take, and how often anybody may have something signed.

use ca::RefusalCode;
use ca::issuer::serve::{Granting, Holder, Served, SigningRefusal, answer_next, refuse};
use planes::rate::{Bucket, CallerBuckets, Take};
use std::hash::Hash;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};

/// Connections to one listener at a time; one more is told so and closed.
pub(crate) const CONNECTIONS_MAX: usize = 64;
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

    /// Whether one more may be signed.
    pub(crate) fn take(&self, asker: K, now: Instant) -> Result<(), SigningRefusal> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (askers, all) = &mut *buckets;
        if askers.take(asker, 1, now) == Take::Granted && all.take(1, now) == Take::Granted {
            return Ok(());
        }
        Err(SigningRefusal::new(RefusalCode::TooMany, "too many questions; try again in a few seconds"))
    }
}

impl<K: Eq + Hash> SigningRate<K> {
    /// The price of a failure.
    pub(crate) fn charge(&self, asker: K, units: u32, now: Instant) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.charge(asker, units, now);
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
