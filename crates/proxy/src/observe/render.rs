//! Prometheus text of everything recorded.

use super::labels::put_label;
use super::metrics::{MirrorOutcome, Observe};
use super::series::{BOUNDS, Certificate, Http, Series, SeriesHistogram, Tcp};
use crate::probe::ProbeCounts;
use daemon::logging;
use identity::OutsideValidity;
use model::probe::ApplicationHealth;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

impl Observe {
    /// Notes the local certificate and when it is to be renewed.
    pub fn set_certificate(
        &self,
        not_before: SystemTime,
        not_after: SystemTime,
        renew_at: Option<SystemTime>,
    ) {
        let mut certificate = self.certificate.lock().unwrap_or_else(PoisonError::into_inner);
        *certificate = Certificate { not_before: Some(not_before), not_after: Some(not_after), renew_at };
    }

    /// Counts a renewal of the local certificate, successful or failed.
    pub fn renewed(&self, outcome: Result<(), ()>) {
        match outcome {
            Ok(()) => self.renewals.fetch_add(1, Ordering::Relaxed),
            Err(()) => self.renewal_failures.fetch_add(1, Ordering::Relaxed),
        };
    }

    /// Notes whether the control plane refuses to renew the local certificate for good.
    pub fn set_renewal_refused(&self, is_refused: bool) {
        self.renewal_refused.store(u64::from(is_refused), Ordering::Relaxed);
    }

    /// Notes whether the control stream is open.
    pub fn set_connected(&self, is_connected: bool) {
        let before = self.is_connected.swap(u64::from(is_connected), Ordering::Relaxed);
        if is_connected && before == 0 {
            self.connects.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The Prometheus text of everything recorded. `epoch` and `hosts` describe the snapshot in force.
    pub fn render(&self, epoch: u64, hosts: usize) -> String {
        let mut text = String::with_capacity(16 * 1024);
        let sums = self.sums();
        http_families(&mut text, &sums);
        tcp_families(&mut text, &sums);
        head(
            &mut text,
            "leno_refused_connections_total",
            "counter",
            "Connections refused, or cut for what the caller did, by reason.",
        );
        for (reason, count) in self.refusals() {
            let _ =
                writeln!(text, "leno_refused_connections_total{{reason=\"{}\"}} {count}", reason.row().code);
        }
        let mirrored: Vec<_> = MirrorOutcome::ALL
            .iter()
            .zip(&self.mirrored)
            .map(|((_, name), count)| (name, count.load(Ordering::Relaxed)))
            .collect();
        if mirrored.iter().any(|(_, count)| *count > 0) {
            let what = "Copies of requests that routes ask for, by what became of them.";
            head(&mut text, "leno_mirrored_requests_total", "counter", what);
            for (outcome, count) in mirrored {
                let _ = writeln!(text, "leno_mirrored_requests_total{{outcome=\"{outcome}\"}} {count}");
            }
        }
        head(
            &mut text,
            "leno_policy_dry_run_matches_total",
            "counter",
            "Requests and connections that a policy matched without being enforced.",
        );
        for (policy, action, count) in self.dry_run_matches() {
            let mut labels = String::new();
            put_label(&mut labels, "policy", &policy);
            put_label(&mut labels, "action", action);
            let _ = writeln!(text, "leno_policy_dry_run_matches_total{{{labels}}} {count}");
        }
        head(
            &mut text,
            "leno_policy_denied_total",
            "counter",
            "Requests and connections that a policy denied, or none of the ALLOW policies allowed (`none`).",
        );
        for (policy, count) in self.denied() {
            let mut labels = String::new();
            put_label(&mut labels, "policy", &policy);
            let _ = writeln!(text, "leno_policy_denied_total{{{labels}}} {count}");
        }
        let handshakes = self.handshakes();
        if !handshakes.is_empty() {
            let help = "Handshakes in TLS with callers from outside, by version and cipher suite.";
            head(&mut text, "leno_tls_handshakes_total", "counter", help);
        }
        for (version, cipher, count) in handshakes {
            let mut labels = String::new();
            put_label(&mut labels, "version", version);
            put_label(&mut labels, "cipher", cipher);
            let _ = writeln!(text, "leno_tls_handshakes_total{{{labels}}} {count}");
        }
        self.own_state(&mut text, epoch, hosts);
        text
    }

    fn own_state(&self, text: &mut String, epoch: u64, hosts: usize) {
        let certificate = *self.certificate.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock().wall();
        let read = |cell: &AtomicU64| cell.load(Ordering::Relaxed) as f64;
        let seconds = |from: SystemTime, to: SystemTime| match to.duration_since(from) {
            Ok(ahead) => ahead.as_secs_f64(),
            Err(behind) => -behind.duration().as_secs_f64(),
        };
        let mut single = |name: &str, kind: &str, help: &str, value: f64| {
            head(text, name, kind, help);
            let _ = writeln!(text, "{name} {value}");
        };
        if let Some(not_before) = certificate.not_before {
            single(
                "leno_certificate_age_seconds",
                "gauge",
                "Age of the local certificate.",
                seconds(not_before, now),
            );
        }
        if let Some(not_after) = certificate.not_after {
            single(
                "leno_certificate_expires_seconds",
                "gauge",
                "Time until the local certificate expires; negative: since.",
                seconds(now, not_after),
            );
            single(
                "leno_certificate_expired",
                "gauge",
                "1 when the local certificate has expired: nothing new works until it is renewed.",
                f64::from(u8::from(not_after <= now)),
            );
        }
        if let Some(at) = certificate.renew_at {
            single(
                "leno_certificate_next_renewal_seconds",
                "gauge",
                "Time until the local certificate is renewed.",
                seconds(now, at),
            );
            let at = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
            single(
                "leno_certificate_next_renewal_timestamp_seconds",
                "gauge",
                "The same as a point in time.",
                at,
            );
        }
        single(
            "leno_certificate_renewals_total",
            "counter",
            "Renewals of the local certificate.",
            read(&self.renewals),
        );
        single(
            "leno_certificate_renewal_failures_total",
            "counter",
            "Failed attempts to renew the local certificate.",
            read(&self.renewal_failures),
        );
        single(
            "leno_certificate_renewal_refused",
            "gauge",
            "1 while the control plane refuses to renew the local certificate: only a new join token helps.",
            read(&self.renewal_refused),
        );
        single(
            "leno_control_connected",
            "gauge",
            "1 while the control stream is open.",
            read(&self.is_connected),
        );
        single("leno_control_connects_total", "counter", "Control streams opened.", read(&self.connects));
        single("leno_config_epoch", "gauge", "Counts configurations put in force.", epoch as f64);
        single("leno_config_hosts", "gauge", "Hosts in the configuration in force.", hosts as f64);
        let series = self.series_len() as f64;
        single("leno_metric_series", "gauge", "Series of requests and connections in memory.", series);
        if let Some(dropped) = logging::dropped() {
            single(logging::DROPPED_METRIC, "counter", logging::DROPPED_HELP, dropped.get() as f64);
        }
        if let Some(log) = self.log() {
            let dropped = log.dropped() as f64;
            single(
                "leno_access_log_dropped_total",
                "counter",
                "Access log lines lost to a full queue.",
                dropped,
            );
        }
    }
}

/// Adds the handshakes that failed for the validity of the other side's certificate.
pub(crate) fn outside_validity(text: &mut String, outside: OutsideValidity) {
    let name = "leno_peer_certificates_outside_validity_total";
    let help = "Handshakes that failed because the other side's certificate was outside its validity.";
    head(text, name, "counter", help);
    for (state, count) in [("expired", outside.expired), ("not_yet_valid", outside.not_yet_valid)] {
        let _ = writeln!(text, "{name}{{state=\"{state}\"}} {count}");
    }
}

/// Adds what probes of the application found, where it is probed.
pub(crate) fn application(text: &mut String, health: &ApplicationHealth, counts: ProbeCounts) {
    let is_ready = match health {
        ApplicationHealth::Unknown | ApplicationHealth::NotProbed => return,
        ApplicationHealth::Ready => 1,
        ApplicationHealth::NotReady(_) => 0,
    };
    let name = "leno_application_ready";
    head(text, name, "gauge", "1 while the application is ready, by its probe.");
    let _ = writeln!(text, "{name} {is_ready}");
    let name = "leno_application_probes_total";
    head(text, name, "counter", "Probes of the application, by what they found.");
    for (result, count) in [("success", counts.successes), ("failure", counts.failures)] {
        let _ = writeln!(text, "{name}{{result=\"{result}\"}} {count}");
    }
}

type Sums = [(Arc<str>, Series)];
/// Name, help text, and where its cell lies.
type Family<Cells, Cell> = (&'static str, &'static str, fn(&Cells) -> &Cell);

fn http_families(text: &mut String, sums: &Sums) {
    let all = || sums.iter().filter_map(|(labels, series)| Some((labels, series.http.as_ref()?)));
    head(text, "istio_requests_total", "counter", "Requests.");
    for (labels, http) in all() {
        let _ = writeln!(text, "istio_requests_total{{{labels}}} {}", http.requests.load(Ordering::Relaxed));
    }
    let families: [Family<Http, SeriesHistogram>; 3] = [
        ("istio_request_duration_milliseconds", "Duration of requests.", |http| &http.duration_ms),
        ("istio_request_bytes", "Body bytes of requests.", |http| &http.request_bytes),
        ("istio_response_bytes", "Body bytes of responses.", |http| &http.response_bytes),
    ];
    for (name, help, histogram) in families {
        head(text, name, "histogram", help);
        for (labels, http) in all() {
            histogram_lines(text, name, labels, histogram(http));
        }
    }
}

fn tcp_families(text: &mut String, sums: &Sums) {
    let families: [Family<Tcp, AtomicU64>; 4] = [
        ("istio_tcp_sent_bytes_total", "Bytes sent to the caller.", |tcp| &tcp.sent_bytes),
        ("istio_tcp_received_bytes_total", "Bytes received from the caller.", |tcp| &tcp.received_bytes),
        ("istio_tcp_connections_opened_total", "Connections opened.", |tcp| &tcp.opened),
        ("istio_tcp_connections_closed_total", "Connections closed.", |tcp| &tcp.closed),
    ];
    for (name, help, cell) in families {
        head(text, name, "counter", help);
        for (labels, tcp) in sums.iter().filter_map(|(labels, series)| Some((labels, series.tcp.as_ref()?))) {
            let _ = writeln!(text, "{name}{{{labels}}} {}", cell(tcp).load(Ordering::Relaxed));
        }
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn histogram_lines(text: &mut String, name: &str, labels: &str, histogram: &SeriesHistogram) {
    let (counts, sum) = histogram.cumulative();
    for (bound, count) in BOUNDS.iter().zip(&counts) {
        let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {count}");
    }
    let total = counts.last().copied().unwrap_or_default();
    let _ = writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {total}");
    let _ = writeln!(text, "{name}_sum{{{labels}}} {sum}");
    let _ = writeln!(text, "{name}_count{{{labels}}} {total}");
}
