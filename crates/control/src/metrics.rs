//! What a control plane counts, at `/metrics` (15014 unless told otherwise).

use daemon::metrics::{Counter, Gauge, Histogram, Registry};

/// Handles of all metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Rounds in which changes were sent.
    pub pushes: Counter,
    /// Milliseconds that such a round took, from translation to the last message handed over.
    pub push_ms: Histogram,
    /// Resources in all messages to proxies; a reconnect without a change adds none.
    pub resources_sent: Counter,
    /// Removals in all messages to proxies.
    pub resources_removed: Counter,
    /// Refusals by proxies.
    pub nacks: Counter,
    /// Open control streams.
    pub proxies: Gauge,
    /// Registered proxies that are gone.
    pub gone: Gauge,
    /// Registered proxies whose application is not ready.
    pub unready: Gauge,
    /// Certificates issued to joining proxies.
    pub joins: Counter,
    /// Certificates renewed.
    pub renewals: Counter,
    /// Certificates renewed that had expired.
    pub late_renewals: Counter,
    /// Joins, renewals and streams refused.
    pub refusals: Counter,
    /// Reports to the management plane.
    pub reports: Counter,
    /// Changed resources received from the management plane.
    pub remote_received: Counter,
    /// Clusters that the management plane no longer knew, kept.
    pub remote_kept: Counter,
    /// Whether the stream to the management plane is up.
    pub manager_up: Gauge,
    /// Findings about the configuration.
    pub findings: Gauge,
}

impl Metrics {
    /// Makes all of them in `registry`.
    pub fn new(registry: &Registry) -> Self {
        let counter = |name, help| registry.counter(name, help, &[]);
        let gauge = |name, help| registry.gauge(name, help, &[]);
        Self {
            pushes: counter("leno_control_pushes_total", "Rounds in which changes were sent to proxies"),
            push_ms: registry.histogram(
                "leno_control_push_duration_milliseconds",
                "Duration of a round of sending changes",
                &[],
            ),
            resources_sent: counter("leno_control_resources_sent_total", "Resources sent to proxies"),
            resources_removed: counter("leno_control_resources_removed_total", "Removals sent to proxies"),
            nacks: counter("leno_control_nacks_total", "Responses that a proxy refused"),
            proxies: gauge("leno_control_connected_proxies", "Open control streams"),
            gone: gauge(
                "leno_control_gone_proxies",
                "Registered proxies that are gone and were not withdrawn",
            ),
            unready: gauge(
                "leno_control_unready_proxies",
                "Registered proxies whose application is not ready",
            ),
            joins: registry.counter(
                "leno_control_certificates_issued_total",
                "Certificates issued",
                &[("call", "join")],
            ),
            renewals: registry.counter(
                "leno_control_certificates_issued_total",
                "Certificates issued",
                &[("call", "sign")],
            ),
            late_renewals: registry.counter(
                "leno_control_certificates_issued_total",
                "Certificates issued",
                &[("call", "sign_expired")],
            ),
            refusals: counter("leno_control_refusals_total", "Joins, renewals and streams refused"),
            reports: counter("leno_control_reports_total", "Reports sent to the management plane"),
            remote_received: counter(
                "leno_control_remote_received_total",
                "Changes received from the management plane",
            ),
            remote_kept: counter(
                "leno_control_remote_kept_total",
                "Clusters kept although the management plane no longer knew them",
            ),
            manager_up: gauge("leno_control_manager_connected", "Whether the management plane is connected"),
            findings: gauge("leno_control_findings", "Findings about the configuration"),
        }
    }
}
