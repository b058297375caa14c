//! Who must be sent what after a change: translated again by key, compared, and handed to the streams that
//! it concerns. `published` keeps what is in use, encoded once for all. When to push is `task`'s business.

pub mod published;

use crate::metrics::Metrics;
use crate::stream::{CatalogSource, ControlStream, StreamId};
use model::Subscription;
use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

/// Sends what changed to the streams that it concerns; the result is what really changed.
pub fn fan_out(
    touched: &HashSet<Subscription>,
    source: CatalogSource<'_>,
    streams: &mut BTreeMap<StreamId, ControlStream>,
    metrics: &Metrics,
    started: Instant,
) -> HashSet<Subscription> {
    let changed = source.published.refresh(touched, source.world);
    // What a gateway or an export touches may also change who sees what without asking.
    let implied_may_change =
        touched.iter().any(|s| matches!(s, Subscription::Gateway { .. } | Subscription::Exports));
    if changed.is_empty() && !implied_may_change {
        return changed;
    }
    let mut stuck = Vec::new();
    let mut any = false;
    for (id, stream) in &mut *streams {
        match stream.on_change(&changed, source) {
            Ok(sent) => {
                any |= sent.resources + sent.removed > 0;
                metrics.resources_sent.add(sent.resources);
                metrics.resources_removed.add(sent.removed);
            }
            Err(_) => stuck.push(*id),
        }
    }
    for id in stuck {
        tracing::debug!(stream = id, "a stream does not take messages; its end is being noticed");
    }
    if any {
        metrics.pushes.inc();
        metrics.push_ms.observe(started.elapsed().as_secs_f64() * 1000.0);
    }
    source.published.sweep(|| streams.values().flat_map(ControlStream::subscriptions));
    changed
}
