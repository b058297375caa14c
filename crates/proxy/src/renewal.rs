//! How renewing the local certificate goes, as `/ready`, the log and the metrics tell it. The loop that renews is
//! `start::rotate`.

#[cfg(test)]
mod tests;

use identity::Identity;
use identity::freshness::Freshness;
use model::time::{rfc3339, span};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// How the last attempt went. Shared with the admin port.
#[derive(Debug, Default)]
pub(crate) struct Renewal(Mutex<Last>);

#[derive(Clone, Debug, Default)]
struct Last {
    /// Why it failed; `None`: it did not.
    error: Option<String>,
    /// The control plane said no, and will say so again.
    is_refused: bool,
}

impl Renewal {
    fn last(&self) -> MutexGuard<'_, Last> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why nobody should rely on this proxy, in Envoy's manner of one word first; `None`: its certificate is good
    /// for a while, or it has none and needs none.
    pub(crate) fn trouble(&self, identity: &Identity, now: SystemTime) -> Option<Trouble> {
        let svid = identity.svid()?;
        let at = rfc3339(svid.not_after);
        let (state, mut text) = match svid.freshness(now) {
            Freshness::Good => return None,
            Freshness::ExpiresSoon(left) => ("CERTIFICATE_EXPIRES", format!("in {} ({at})", span(left))),
            Freshness::Expired(ago) => ("CERTIFICATE_EXPIRED", format!("{} ago ({at})", span(ago))),
        };
        let last = self.last().clone();
        if let Some(error) = last.error {
            text.push_str(&format!("; not renewed: {error}"));
        }
        if last.is_refused {
            text.push_str("; start this proxy anew with a new join token");
        }
        Some(Trouble { state, text })
    }

    /// The control plane has answered, or not. `is_refused`: with a no that it will say again.
    pub(crate) fn set_refused(&self, is_refused: bool) {
        self.last().is_refused = is_refused;
    }

    /// It failed; whether the control plane said no for good.
    pub(crate) fn failed(&self, error: &str) -> bool {
        let mut last = self.last();
        last.error = Some(error.to_owned());
        last.is_refused
    }

    /// There is a new certificate.
    pub(crate) fn succeeded(&self) {
        *self.last() = Last::default();
    }
}

/// What is wrong with the local certificate.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// One word.
    pub(crate) state: &'static str,
    /// The rest.
    pub(crate) text: String,
}
