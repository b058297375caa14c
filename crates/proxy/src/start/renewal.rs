//! Renews the local certificate for ever, and keeps how that went: for the log, the metrics and `/ready`.
//!
//! A control plane that was away takes an expired certificate for its renewal, for a while (decision 0005); what
//! it refuses for good is told as such, because only a new join token helps then.

use super::control::Control;
use super::run::Bootstrap;
use crate::observe::Observe;
use decide::Dice;
use decide::dice::Pcg;
use identity::freshness::Freshness;
use identity::{Identity, rotate};
use model::time::{rfc3339, span};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use xds::Code;

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

    fn failed(&self, error: &str) -> bool {
        let mut last = self.last();
        last.error = Some(error.to_owned());
        last.is_refused
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

/// Renews the certificate for ever.
pub(super) fn renew(bootstrap: &Bootstrap, control: Control) -> impl Future<Output = ()> + use<> {
    let (identity, observe, clock) =
        (bootstrap.identity.clone(), Arc::clone(&bootstrap.observe), Arc::clone(&bootstrap.seams.clock));
    let renewal = Arc::clone(&bootstrap.admin.renewal);
    let mut dice = Pcg::new(bootstrap.seams.seed ^ 1);
    let jitter = {
        let (identity, observe, clock) = (identity.clone(), Arc::clone(&observe), Arc::clone(&clock));
        move || {
            let jitter = (dice.next_u64() % 10_000) as f64 / 10_000.0;
            // Drawn just before each wait, so this is when the next renewal is due.
            if let Some(svid) = identity.svid() {
                let now = clock.wall();
                let due: SystemTime = now + rotate::renew_after(svid.not_before, svid.not_after, now, jitter);
                observe.set_certificate(svid.not_before, svid.not_after, Some(due));
            }
            jitter
        }
    };
    let on_event = on_event(identity.clone(), observe, Arc::clone(&renewal));
    async move {
        let sign = move |csr| {
            let (control, renewal) = (control.clone(), Arc::clone(&renewal));
            async move {
                let signed = control.sign(csr).await;
                renewal.last().is_refused = refuses(&signed);
                signed
            }
        };
        rotate::run(identity, sign, move || clock.wall(), jitter, on_event).await;
    }
}

/// Whether the answer would be the same the next time.
fn refuses(signed: &Result<rotate::Signed, xds::Status>) -> bool {
    signed.as_ref().is_err_and(|status| status.code == Code::PermissionDenied)
}

fn on_event(identity: Identity, observe: Arc<Observe>, renewal: Arc<Renewal>) -> impl FnMut(rotate::Event) {
    move |event| match event {
        rotate::Event::Renewed { not_after } => {
            *renewal.last() = Last::default();
            tracing::info!(until = rfc3339(not_after), "renewed the certificate");
            observe.renewed(Ok(()));
            observe.set_renewal_refused(false);
        }
        rotate::Event::Failed { error, retry_after, expired } => {
            let is_refused = renewal.failed(&error);
            observe.renewed(Err(()));
            observe.set_renewal_refused(is_refused);
            let until = identity.svid().map(|svid| rfc3339(svid.not_after));
            match (expired, is_refused) {
                (true, true) => tracing::warn!(
                    error,
                    until,
                    "this proxy is out of the mesh: its certificate has expired and the control plane does not renew it; start it anew with a new join token"
                ),
                (true, false) => tracing::warn!(
                    error,
                    until,
                    ?retry_after,
                    "the certificate has expired: nothing new can be opened from or to this proxy until it is renewed"
                ),
                (false, _) => {
                    tracing::warn!(error, until, ?retry_after, "cannot renew the certificate yet");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
