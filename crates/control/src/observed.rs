//! What proxies told of who comes to their applications, as long as they are registered. In memory only: every proxy
//! tells all of it again on each stream. What follows from it is in `strict`.

use model::observed::ObservedInbound;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

/// Callers kept by name in all; of whoever tells more, all are counted without their names.
pub const CALLERS_MAX: usize = 200_000;

/// What one proxy told.
#[derive(Debug)]
pub struct InboundObservation {
    /// The last that it told.
    pub seen: ObservedInbound,
    /// When that came.
    pub at: SystemTime,
}

/// What all proxies told.
#[derive(Debug, Default)]
pub struct Observed {
    by_uid: BTreeMap<Arc<str>, InboundObservation>,
    /// Kept by name.
    callers: usize,
}

impl Observed {
    /// A proxy told this, which replaces what it told before.
    pub fn take(&mut self, uid: &Arc<str>, mut seen: ObservedInbound, at: SystemTime) {
        self.forget(uid);
        if self.callers + named(&seen) > CALLERS_MAX {
            for tally in [&mut seen.plaintext, &mut seen.refused] {
                let counts: Vec<_> = std::mem::take(&mut tally.counted).into_values().collect();
                counts.into_iter().for_each(|count| tally.add_unnamed(count));
            }
        }
        self.callers += named(&seen);
        self.by_uid.insert(uid.clone(), InboundObservation { seen, at });
    }

    /// What one proxy told.
    pub fn find(&self, uid: &str) -> Option<&InboundObservation> {
        self.by_uid.get(uid)
    }

    /// Forgets what proxies told that are not registered any more.
    pub fn retain(&mut self, is_registered: impl Fn(&str) -> bool) {
        let gone: Vec<_> = self.by_uid.keys().filter(|uid| !is_registered(uid)).cloned().collect();
        gone.iter().for_each(|uid| self.forget(uid));
    }

    /// Forgets what one told.
    pub fn forget(&mut self, uid: &str) {
        if let Some(gone) = self.by_uid.remove(uid) {
            self.callers -= named(&gone.seen);
        }
    }
}

fn named(seen: &ObservedInbound) -> usize {
    seen.plaintext.counted.len() + seen.refused.counted.len()
}

#[cfg(test)]
mod tests;
