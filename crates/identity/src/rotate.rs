//! Renews the certificate before half its life is over. Swaps only; open connections live on, and whoever
//! keeps one for long learns here when to open another.

use crate::config::Identity;
use crate::freshness::until_part;
use crate::key::Key;
use crate::refusal::outside_validity;
use crate::svid::Svid;
use model::Backoff;
use model::trust::TrustBundle;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// First wait after a failed renewal; doubles up to what [`retry_wait_max`] says.
pub const RETRY_WAIT_FIRST: Duration = Duration::from_secs(1);
/// Longest wait between attempts.
pub const RETRY_WAIT_MAX: Duration = Duration::from_secs(60);
/// Longest wait when the certificate is about to expire, or has expired: nothing new works without one.
pub const RETRY_WAIT_URGENT: Duration = Duration::from_secs(5);
/// An attempt that takes longer has failed.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest single sleep: the wall clock may be set, or the machine suspended, while we sleep.
const NAP_MAX: Duration = Duration::from_secs(30);

/// How often it is looked whether there is a newer certificate, once a connection should have another.
const SUCCESSOR_POLL: Duration = Duration::from_secs(1);

/// What a signer gives back.
#[derive(Clone, Debug)]
pub struct SignedLeaf {
    /// DER, leaf first.
    pub chain: Vec<Vec<u8>>,
    /// Trust bundles of the moment; empty: no change.
    pub bundles: Vec<TrustBundle>,
}

/// What happened, for metrics and logs.
#[derive(Debug)]
pub enum Event {
    /// A new certificate is in use.
    Renewed {
        /// Until when.
        not_after: SystemTime,
    },
    /// An attempt failed; another follows.
    Failed {
        /// Why, with causes.
        error: String,
        /// Wait before the next attempt.
        retry_after: Duration,
        /// The current certificate has expired.
        expired: bool,
    },
}

/// How long to wait from `now` until renewal: the moment lies between 40 % and 50 % of the certificate's
/// life, spread by `jitter01` (0.0 to 1.0), so that a fleet does not renew at once.
pub fn renew_after(
    not_before: SystemTime,
    not_after: SystemTime,
    now: SystemTime,
    jitter01: f64,
) -> Duration {
    until_part((not_before, not_after), now, 0.4 + 0.1 * jitter01.clamp(0.0, 1.0))
}

/// How long to wait from `now` until a connection that was opened with a certificate is replaced: the moment
/// lies between 80 % and 90 % of its life. Renewal is long over by then, and others do it at other moments.
pub fn replace_after(
    not_before: SystemTime,
    not_after: SystemTime,
    now: SystemTime,
    jitter01: f64,
) -> Duration {
    until_part((not_before, not_after), now, 0.8 + 0.1 * jitter01.clamp(0.0, 1.0))
}

/// Returns when a connection that was opened with `shown` should be replaced, and can be: it is time, and there
/// is a certificate that lasts longer. Until there is one the connection is kept: it may be the only way to
/// renew. Without a certificate this waits for ever.
pub async fn superseded(
    identity: &Identity,
    shown: Option<Arc<Svid>>,
    wall: impl Fn() -> SystemTime,
    jitter01: f64,
) {
    let Some(shown) = shown else { return std::future::pending().await };
    let due = wall() + replace_after(shown.not_before, shown.not_after, wall(), jitter01);
    sleep_until(due, &wall).await;
    while identity.svid().is_none_or(|current| current.not_after <= shown.not_after) {
        tokio::time::sleep(SUCCESSOR_POLL).await;
    }
}

/// The longest wait before the next attempt when the certificate is good for `left`: a tenth of that, so that
/// a signer that is back in time is found in time.
pub fn retry_wait_max(left: Duration) -> Duration {
    (left / 10).clamp(RETRY_WAIT_URGENT, RETRY_WAIT_MAX)
}

/// A random number from 0.0 to 1.0.
pub fn jitter() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness everybody renews at the same moment: no harm in one process.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX)
}

/// Renews for ever. `sign` sends a CSR (DER) to whoever signs; `wall` is the wall clock; `jitter` gives
/// numbers from 0.0 to 1.0; `on_event` hears what happened.
pub async fn run<S, F, E>(
    identity: Identity,
    sign: S,
    wall: impl Fn() -> SystemTime,
    mut jitter: impl FnMut() -> f64,
    mut on_event: impl FnMut(Event),
) -> !
where
    S: Fn(Vec<u8>) -> F,
    F: Future<Output = Result<SignedLeaf, E>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let mut backoff = Backoff::new(RETRY_WAIT_FIRST, RETRY_WAIT_MAX);
    loop {
        if let Some(svid) = identity.svid() {
            let due = wall() + renew_after(svid.not_before, svid.not_after, wall(), jitter());
            sleep_until(due, &wall).await;
        }
        loop {
            match renew(&identity, &sign, &wall).await {
                Ok(not_after) => {
                    backoff.reset();
                    on_event(Event::Renewed { not_after });
                    // A certificate that is due again at once must not make this a busy loop.
                    tokio::time::sleep(RETRY_WAIT_FIRST).await;
                    break;
                }
                Err(error) => {
                    let svid = identity.svid();
                    let left = svid.and_then(|svid| svid.not_after.duration_since(wall()).ok());
                    let expired = left.is_none_or(|left| left.is_zero());
                    let max = retry_wait_max(left.unwrap_or_default());
                    let retry_after = backoff.next_wait_within(max, jitter());
                    on_event(Event::Failed { error, retry_after, expired });
                    tokio::time::sleep(retry_after).await;
                }
            }
        }
    }
}

async fn sleep_until(due: SystemTime, wall: &impl Fn() -> SystemTime) {
    while let Ok(left) = due.duration_since(wall())
        && !left.is_zero()
    {
        tokio::time::sleep(left.min(NAP_MAX)).await;
    }
}

/// One attempt, with a new key. What comes back must be ours, good now, and believed by those who trust what
/// we shall trust; otherwise the old one stays.
async fn renew<S, F, E>(
    identity: &Identity,
    sign: &S,
    wall: &impl Fn() -> SystemTime,
) -> Result<SystemTime, String>
where
    S: Fn(Vec<u8>) -> F,
    F: Future<Output = Result<SignedLeaf, E>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let key = Key::generate().map_err(|error| chain_of(&error))?;
    let csr = key.csr().map_err(|error| chain_of(&error))?;
    let signed = match tokio::time::timeout(ATTEMPT_TIMEOUT, sign(csr)).await {
        Ok(Ok(signed)) => signed,
        Ok(Err(error)) => return Err(chain_of(error.into().as_ref())),
        Err(_) => return Err(format!("no answer within {} s", ATTEMPT_TIMEOUT.as_secs())),
    };
    let svid = Svid::new(key, signed.chain).map_err(|error| chain_of(&error))?;
    if let Some(id) = identity.id()
        && id != svid.id
    {
        return Err(format!("got a certificate for {}, not for {id}", svid.id));
    }
    if let Some(current) = identity.svid()
        && current.uid != svid.uid
    {
        return Err(format!("got a certificate for {:?}, not for {:?}", svid.uid, current.uid));
    }
    let trusted = if signed.bundles.is_empty() { identity.bundles() } else { signed.bundles.clone() };
    let proof = Identity::new(trusted).proof_at(svid.chain(), wall());
    proof.map_err(|error| {
        let why = outside_validity(&error).map_or_else(|| chain_of(&error), |outside| outside.to_string());
        format!("got a certificate that nobody would believe: {why}")
    })?;
    let not_after = svid.not_after;
    if !signed.bundles.is_empty() {
        identity.set_trust(signed.bundles);
    }
    identity.install(svid);
    Ok(not_after)
}

/// An error with its causes on one line.
fn chain_of(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
