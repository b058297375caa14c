//! The grants that were made: for whom, until when, and which are spent. In memory alone: a root that is started
//! anew knows none of them.
//!
//! A grant is spent by the first request for a certificate that comes with it. The same request may come again until
//! the grant expires, for its answer may have been lost; another one may not.

use aws_lc_rs::digest;
use ca::issuer::serve::SigningRefusal;
use ca::{GrantSubject, GrantToken, RefusalCode};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a grant is good where nothing is said.
pub(crate) const TTL_DEFAULT: Duration = Duration::from_secs(10 * 60);
/// How long it may be good at most: a day.
const TTL_MAX: Duration = Duration::from_secs(24 * 3600);
/// Grants kept at most, spent ones included until they expire; more are not made.
const GRANTS_MAX: usize = 1000;

/// All of them, by id.
#[derive(Debug, Default)]
pub(crate) struct Grants(Mutex<HashMap<String, KeptGrant>>);

#[derive(Debug)]
struct KeptGrant {
    hash: String,
    subject: GrantSubject,
    expires_s: u64,
    /// SHA-256 of the request that spent it.
    spent_by: Option<Vec<u8>>,
}

impl Grants {
    fn kept(&self) -> MutexGuard<'_, HashMap<String, KeptGrant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one for a root with this SHA-256.
    pub(crate) fn make(
        &self,
        subject: GrantSubject,
        ttl: Option<Duration>,
        root_pin: [u8; 32],
        now: SystemTime,
    ) -> Result<GrantToken, SigningRefusal> {
        let expires_s = seconds(now + ttl.unwrap_or(TTL_DEFAULT).min(TTL_MAX));
        let mut kept = self.kept();
        kept.retain(|_, grant| grant.expires_s > seconds(now));
        if kept.len() >= GRANTS_MAX {
            let reason = format!("{GRANTS_MAX} grants are outstanding; wait until some expire");
            return Err(SigningRefusal::new(RefusalCode::TooMany, reason));
        }
        let token = GrantToken::generate(root_pin, expires_s, subject.clone())
            .map_err(|error| SigningRefusal::new(RefusalCode::Other, error.to_string()))?;
        let grant = KeptGrant { hash: token.hash(), subject, expires_s, spent_by: None };
        kept.insert(token.id().to_owned(), grant);
        Ok(token)
    }

    /// Spends one for a request (DER); for whom it was made.
    pub(crate) fn spend(
        &self,
        token: &GrantToken,
        csr: &[u8],
        now: SystemTime,
    ) -> Result<GrantSubject, SigningRefusal> {
        let refuse = |code, what| {
            let reason = format!("the grant {what}; make another with `leno root grant` on the root's host");
            SigningRefusal::new(code, reason)
        };
        let mut kept = self.kept();
        // Unknown and wrong are not told apart.
        let grant = kept.get_mut(token.id()).filter(|grant| token.is_hash(&grant.hash));
        let grant = grant.ok_or_else(|| {
            refuse(RefusalCode::GrantInvalid, "is not known here (it is gone when the root is started anew)")
        })?;
        if grant.expires_s <= seconds(now) {
            return Err(refuse(RefusalCode::GrantExpired, "has expired"));
        }
        let request = digest::digest(&digest::SHA256, csr).as_ref().to_vec();
        match &grant.spent_by {
            Some(by) if *by != request => Err(refuse(RefusalCode::GrantSpent, "was used before")),
            _ => {
                grant.spent_by = Some(request);
                Ok(grant.subject.clone())
            }
        }
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
