//! `connectionPool` where it is in force: of the host of a `DestinationRule`, of one of its subsets, and of our
//! `TrafficPolicy`. What limits load is told.

use super::connection_pool::Http2KeepAliveSpec;
use crate::decode::Ignored;
use crate::duration;
use crate::validation::ValidationReport;
use model::traffic::{ConnectionPool, TcpKeepaliveProbes};
use serde::Deserialize;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Longest that any of it may be.
const TIME_MAX: Duration = Duration::from_secs(24 * 3600);
/// For a connection to be made; so long at least, and so long at most.
const CONNECT_TIMES: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(300);
/// Seconds that the kernel takes for times of keepalive.
const KEEPALIVE_TIMES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(32_767);
/// Questions that the kernel takes.
const PROBES_MAX: u32 = 127;

/// `connectionPool`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackendPoolSpec {
    /// For every connection.
    pub tcp: Option<BackendTcpPoolSpec>,
    /// For HTTP.
    pub http: Option<BackendHttpPoolSpec>,
}

/// `connectionPool.tcp`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackendTcpPoolSpec {
    /// Told.
    pub max_connections: Option<Ignored>,
    /// From 1 ms to 300 s; absent: 2 s.
    pub connect_timeout: Option<String>,
    /// Absent: 3 probes after 10 s, 3 s between them.
    pub tcp_keepalive: Option<BackendKeepaliveSpec>,
    /// Up to 24 h, of connections for HTTP; absent: no limit.
    pub max_connection_duration: Option<String>,
    /// Up to 24 h, of opaque connections; absent: 1 h.
    pub idle_timeout: Option<String>,
}

/// `connectionPool.tcp.tcpKeepalive`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackendKeepaliveSpec {
    /// 1 to 127.
    pub probes: Option<u32>,
    /// From 1 s to 32767 s.
    pub time: Option<String>,
    /// Likewise.
    pub interval: Option<String>,
}

/// `connectionPool.http`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackendHttpPoolSpec {
    /// Told.
    #[serde(rename = "http1MaxPendingRequests")]
    pub http1_max_pending_requests: Option<Ignored>,
    /// Told.
    #[serde(rename = "http2MaxRequests")]
    pub http2_max_requests: Option<Ignored>,
    /// Of HTTP/1.1; 0 or absent: no limit.
    pub max_requests_per_connection: Option<u32>,
    /// Told.
    pub max_retries: Option<Ignored>,
    /// Up to 24 h; absent: 55 s (HTTP/1.1), 300 s (HTTP/2).
    pub idle_timeout: Option<String>,
    /// Told.
    #[serde(rename = "h2UpgradePolicy")]
    pub h2_upgrade_policy: Option<Ignored>,
    /// Told.
    pub use_client_protocol: Option<Ignored>,
    /// Told.
    pub max_concurrent_streams: Option<Ignored>,
    /// Told.
    #[serde(rename = "http2KeepAlive")]
    pub http2_keep_alive: Option<Http2KeepAliveSpec>,
}

/// Checks it at this path of the document.
pub(crate) fn check(pool: &BackendPoolSpec, at: &str, report: &mut ValidationReport<'_>) {
    if let Some(tcp) = &pool.tcp {
        let connect = tcp.connect_timeout.as_deref();
        within(connect, &format!("{at}.tcp.connectTimeout"), &CONNECT_TIMES, "from 1ms to 300s", report);
        limited(tcp.max_connection_duration.as_deref(), &format!("{at}.tcp.maxConnectionDuration"), report);
        limited(tcp.idle_timeout.as_deref(), &format!("{at}.tcp.idleTimeout"), report);
        if let Some(keepalive) = &tcp.tcp_keepalive {
            let at = format!("{at}.tcp.tcpKeepalive");
            if keepalive.probes.is_some_and(|probes| !(1..=PROBES_MAX).contains(&probes)) {
                report.bad(&format!("{at}.probes"), "is out of range", "write a number from 1 to 127");
            }
            for (name, text) in [("time", &keepalive.time), ("interval", &keepalive.interval)] {
                let at = format!("{at}.{name}");
                within(text.as_deref(), &at, &KEEPALIVE_TIMES, "from 1s to 32767s", report);
            }
        }
    }
    if let Some(http) = &pool.http {
        limited(http.idle_timeout.as_deref(), &format!("{at}.http.idleTimeout"), report);
    }
}

fn within(
    text: Option<&str>,
    at: &str,
    range: &RangeInclusive<Duration>,
    words: &str,
    report: &mut ValidationReport<'_>,
) {
    let Some(text) = text else { return };
    if duration::parse_go(text).is_none_or(|time| !range.contains(&time)) {
        report.bad(at, &format!("cannot be `{text}`"), format!("write a duration {words}"));
    }
}

/// Zero is for ever in Istio.
fn limited(text: Option<&str>, at: &str, report: &mut ValidationReport<'_>) {
    let Some(text) = text else { return };
    match duration::parse_go(text) {
        None => {
            report.bad(at, &format!("cannot be `{text}`"), "write a duration from 1ms to 24h, as 90s");
        }
        Some(time) if time.is_zero() || time > TIME_MAX => {
            let cause = format!("is `{text}`, and what is longest holds, 24 h: everything has a limit");
            report.no_effect(at, &cause, "write `24h`");
        }
        Some(_) => {}
    }
}

fn time(text: Option<&str>) -> Option<Duration> {
    duration::parse_go(text?)
}

/// Zero is for ever, which is a day here.
fn limit(text: Option<&str>) -> Option<Duration> {
    let time = time(text)?;
    Some(if time.is_zero() { TIME_MAX } else { time.min(TIME_MAX) })
}

impl BackendPoolSpec {
    /// What is meant; `None`: nothing that is in force.
    pub fn model(&self) -> Option<ConnectionPool> {
        let (tcp, http) = (self.tcp.as_ref(), self.http.as_ref());
        let keepalive = tcp.and_then(|tcp| tcp.tcp_keepalive.as_ref());
        let pool = ConnectionPool {
            connect_timeout: time(tcp.and_then(|tcp| tcp.connect_timeout.as_deref())),
            tcp_keepalive: keepalive.map(|keepalive| TcpKeepaliveProbes {
                probes: keepalive.probes,
                time: time(keepalive.time.as_deref()),
                interval: time(keepalive.interval.as_deref()),
            }),
            tcp_idle_timeout: limit(tcp.and_then(|tcp| tcp.idle_timeout.as_deref())),
            http_idle_timeout: limit(http.and_then(|http| http.idle_timeout.as_deref())),
            max_requests_per_connection: http
                .and_then(|http| NonZeroU32::new(http.max_requests_per_connection?)),
            max_connection_duration: limit(tcp.and_then(|tcp| tcp.max_connection_duration.as_deref())),
        };
        (pool != ConnectionPool::default()).then_some(pool)
    }
}
