//! What a plane's certificates mean for its health: not ready when one that everything stands on is about to expire.

use crate::OwnCertificates;
use daemon::admin::Health;
use daemon::clock::Clock;
use daemon::metrics::Registry;
use identity::Identity;
use identity::freshness::CertificateValidity;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// How a plane names what it tells of certificates.
#[derive(Clone, Copy)]
pub struct CertificateMetrics {
    /// Gauge: when a certificate of the plane expires, in seconds since the epoch.
    pub expiry: &'static str,
    /// Help of that.
    pub expiry_help: &'static str,
    /// Label with the certificate's name, where a plane has several.
    pub label: Option<&'static str>,
    /// Counter of handshakes refused because the other side's certificate was outside its validity.
    pub outside_validity: &'static str,
}

/// Judges certificates each time it is asked, and brings their metrics up to date.
pub fn of_certificates(
    certificates: OwnCertificates,
    identity: Identity,
    registry: &Registry,
    clock: Arc<dyn Clock>,
    names: CertificateMetrics,
) -> Health {
    let registry = registry.clone();
    Arc::new(move || {
        let (held, now) = (certificates(), clock.wall());
        for held in &held {
            let labels: Vec<_> = names.label.iter().map(|label| (*label, held.name)).collect();
            let gauge = registry.gauge(names.expiry, names.expiry_help, &labels);
            gauge.set(held.not_after.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64);
        }
        let outside = identity.outside_validity();
        for (state, count) in [("expired", outside.expired), ("not_yet_valid", outside.not_yet_valid)] {
            let help = "Handshakes refused because the other side's certificate was outside its validity";
            let counter = registry.counter(names.outside_validity, help, &[("state", state)]);
            counter.add(count.saturating_sub(counter.get()));
        }
        let trouble: Vec<String> =
            held.iter().filter_map(|held: &CertificateValidity| held.trouble(now)).collect();
        if trouble.is_empty() { Ok(()) } else { Err(trouble.join("; ")) }
    })
}
