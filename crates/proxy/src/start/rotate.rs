//! Renews the local certificate for ever, and tells how that goes: to the log, the metrics and `/ready`.
//!
//! A control plane that was away takes an expired certificate for its renewal, for a while (decision 0005); what
//! it refuses for good is told as such, because only a new join token helps then.

use super::control::Control;
use super::unjoined::Unjoined;
use crate::observe::Observe;
use crate::renewal::Renewal;
use daemon::clock::Clock;
use decide::Dice;
use decide::dice::Pcg;
use identity::{Identity, rotate};
use model::time::rfc3339;
use std::future::Future;
use std::sync::Arc;
use std::time::SystemTime;
use xds::Code;

/// Starts it.
pub(super) fn start(unjoined: &Unjoined, renewal: &Arc<Renewal>, control: Control) {
    let dice = Pcg::new(unjoined.seams.seed ^ 1);
    let (identity, observe, clock) = (unjoined.identity.clone(), &unjoined.observe, &unjoined.seams.clock);
    let renewing =
        renew(identity, Arc::clone(observe), Arc::clone(clock), Arc::clone(renewal), dice, control);
    unjoined.tasks.spawn_local("renewal", renewing);
}

/// Renews the certificate for ever.
fn renew(
    identity: Identity,
    observe: Arc<Observe>,
    clock: Arc<dyn Clock>,
    renewal: Arc<Renewal>,
    mut dice: Pcg,
    control: Control,
) -> impl Future<Output = ()> {
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
                renewal.set_refused(refuses(&signed));
                signed
            }
        };
        rotate::run(identity, sign, move || clock.wall(), jitter, on_event).await;
    }
}

/// Whether the answer would be the same the next time.
fn refuses(signed: &Result<rotate::SignedLeaf, xds::Status>) -> bool {
    signed.as_ref().is_err_and(|status| status.code == Code::PermissionDenied)
}

fn on_event(identity: Identity, observe: Arc<Observe>, renewal: Arc<Renewal>) -> impl FnMut(rotate::Event) {
    move |event| match event {
        rotate::Event::Renewed { not_after } => {
            renewal.succeeded();
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
