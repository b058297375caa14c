//! `spec.probe`, in the words of Istio's `ReadinessProbe`: what it may hold and what is wrong with it.

use crate::syntax;
use crate::validation::ValidationReport;
use model::header::{Untouched, untouched};
use serde::Deserialize;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// Longest of all times, in seconds: a day.
const SECONDS_MAX: u32 = 86_400;
/// Most answers in a row.
const THRESHOLD_MAX: u32 = 1000;
/// Headers of one request.
const HEADERS_MAX: usize = 32;
/// Words of one command, and bytes of one of them.
const COMMAND_WORDS_MAX: usize = 64;
const WORD_BYTES_MAX: usize = 4096;
/// Bytes of a path, a header's value, or the name of a gRPC service.
const TEXT_BYTES_MAX: usize = 2048;

/// `spec.probe`. In all numbers 0 means the default, as in Istio.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProbeSpec {
    /// Absent: 0.
    pub initial_delay_seconds: Option<u32>,
    /// Absent: 1.
    pub timeout_seconds: Option<u32>,
    /// Absent: 10.
    pub period_seconds: Option<u32>,
    /// Absent: 1.
    pub success_threshold: Option<u32>,
    /// Absent: 3.
    pub failure_threshold: Option<u32>,
    /// One of four.
    pub http_get: Option<HttpGetAction>,
    /// One of four.
    pub tcp_socket: Option<TcpSocketAction>,
    /// One of four.
    pub exec: Option<ExecAction>,
    /// One of four.
    pub grpc: Option<GrpcAction>,
}

/// `httpGet`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpGetAction {
    /// Absent: `/`.
    #[serde(default)]
    pub path: Option<String>,
    /// 1 to 65535.
    pub port: u16,
    /// A loopback address or `localhost`; absent: the workload's own address.
    #[serde(default)]
    pub host: Option<String>,
    /// `HTTP` or `HTTPS`, in whatever case; absent: `HTTP`.
    #[serde(default)]
    pub scheme: Option<String>,
    /// Sent along.
    #[serde(default)]
    pub http_headers: Vec<ProbeHttpHeader>,
}

impl HttpGetAction {
    /// Whether it goes over TLS.
    pub fn is_https(&self) -> bool {
        self.scheme.as_deref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
    }
}

/// One of `httpHeaders`. Its value may be a password: it is not for `Debug`.
#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProbeHttpHeader {
    /// Its name.
    pub name: String,
    /// Its value.
    #[serde(default)]
    pub value: String,
}

impl fmt::Debug for ProbeHttpHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProbeHttpHeader").field("name", &self.name).finish_non_exhaustive()
    }
}

/// `tcpSocket`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TcpSocketAction {
    /// 1 to 65535.
    pub port: u16,
    /// As in [`HttpGetAction`].
    #[serde(default)]
    pub host: Option<String>,
}

/// `exec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExecAction {
    /// A program and its arguments; no shell.
    pub command: Vec<String>,
}

/// `grpc`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcAction {
    /// 1 to 65535.
    pub port: u16,
    /// Absent: the server as a whole.
    #[serde(default)]
    pub service: Option<String>,
}

/// The address that a `host` means; `None`: none that a probe may ask.
pub fn loopback(host: &str) -> Option<IpAddr> {
    match host {
        "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
        host => host.parse().ok().filter(IpAddr::is_loopback),
    }
}

impl ProbeSpec {
    pub(super) fn check(&self, report: &mut ValidationReport<'_>) {
        self.check_action(report);
        for (name, seconds) in [
            ("initialDelaySeconds", self.initial_delay_seconds),
            ("timeoutSeconds", self.timeout_seconds),
            ("periodSeconds", self.period_seconds),
        ] {
            if seconds.is_some_and(|seconds| seconds > SECONDS_MAX) {
                report.bad(&format!("spec.probe.{name}"), "is more than a day", "write at most 86400");
            }
        }
        for (name, count) in
            [("successThreshold", self.success_threshold), ("failureThreshold", self.failure_threshold)]
        {
            if count.is_some_and(|count| count > THRESHOLD_MAX) {
                report.bad(&format!("spec.probe.{name}"), "is more than 1000", "write at most 1000");
            }
        }
        if let Some(get) = &self.http_get {
            get.check(report);
        }
        if let Some(tcp) = &self.tcp_socket {
            report.port("spec.probe.tcpSocket.port", tcp.port);
            check_host("spec.probe.tcpSocket.host", tcp.host.as_deref(), report);
        }
        if let Some(exec) = &self.exec {
            exec.check(report);
        }
        if let Some(grpc) = &self.grpc {
            report.port("spec.probe.grpc.port", grpc.port);
            check_text("spec.probe.grpc.service", grpc.service.as_deref().unwrap_or_default(), report);
        }
    }

    /// Exactly one of the four.
    fn check_action(&self, report: &mut ValidationReport<'_>) {
        let actions = [
            ("httpGet", self.http_get.is_some()),
            ("tcpSocket", self.tcp_socket.is_some()),
            ("exec", self.exec.is_some()),
            ("grpc", self.grpc.is_some()),
        ];
        let written: Vec<&str> =
            actions.iter().filter(|(_, is_there)| *is_there).map(|(name, _)| *name).collect();
        match written[..] {
            [] => report.bad(
                "spec.probe",
                "says nothing to probe",
                "add one of `httpGet`, `tcpSocket`, `exec` and `grpc`",
            ),
            [_] => {}
            [first, ref others @ ..] => {
                let cause = format!("has {} beside `{first}`, and takes one", others.join(", "));
                report.bad("spec.probe", &cause, "keep one of them");
            }
        }
    }
}

impl HttpGetAction {
    fn check(&self, report: &mut ValidationReport<'_>) {
        report.port("spec.probe.httpGet.port", self.port);
        check_host("spec.probe.httpGet.host", self.host.as_deref(), report);
        let path = self.path.as_deref().unwrap_or_default();
        let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if !is_plain || path.len() > TEXT_BYTES_MAX || path.starts_with("//") || path.contains("://") {
            let fix = "write a path and perhaps a query, as in /healthz, of at most 2048 characters of a URL";
            report.bad("spec.probe.httpGet.path", "is no path", fix);
        }
        let is_known =
            |scheme: &str| ["http", "https"].iter().any(|known| known.eq_ignore_ascii_case(scheme));
        if let Some(scheme) = self.scheme.as_deref().filter(|scheme| !is_known(scheme)) {
            let cause = format!("cannot be `{scheme}`");
            report.bad("spec.probe.httpGet.scheme", &cause, "write HTTP or HTTPS");
        }
        report.at_most("spec.probe.httpGet.httpHeaders", self.http_headers.len(), HEADERS_MAX);
        for (index, header) in self.http_headers.iter().enumerate() {
            let at = |field: &str| format!("spec.probe.httpGet.httpHeaders[{index}].{field}");
            if !syntax::is_token(&header.name) {
                report.bad(&at("name"), &format!("cannot be `{}`", header.name), "write a header name");
            } else if untouched(&header.name).is_some_and(|why| why != Untouched::Host) {
                report.bad(
                    &at("name"),
                    &format!("cannot be `{}`, which is for proxies", header.name),
                    "remove it",
                );
            }
            check_text(&at("value"), &header.value, report);
        }
    }
}

impl ExecAction {
    fn check(&self, report: &mut ValidationReport<'_>) {
        let path = "spec.probe.exec.command";
        report.at_most(path, self.command.len(), COMMAND_WORDS_MAX);
        if self.command.first().is_none_or(String::is_empty) {
            report.bad(
                path,
                "names no program",
                "write a program and its arguments, each an item of the list",
            );
        }
        let is_bad = |word: &String| word.contains('\0') || word.len() > WORD_BYTES_MAX;
        if let Some(index) = self.command.iter().position(is_bad) {
            let cause = "has a NUL or more than 4096 bytes";
            report.bad(&format!("{path}[{index}]"), cause, "shorten it, or put it into a script");
        }
    }
}

/// A probe asks the workload alone, so that nobody learns by one what a host can reach.
fn check_host(path: &str, host: Option<&str>, report: &mut ValidationReport<'_>) {
    if let Some(host) = host.filter(|host| loopback(host).is_none()) {
        let fix = "remove it: the workload's own address is probed. A name that the application wants to hear goes into \
                   `httpHeaders` as `Host`";
        report.bad(path, &format!("cannot be `{host}`: only `localhost` and loopback addresses can"), fix);
    }
}

/// The text itself is not repeated: it may be a secret.
fn check_text(path: &str, text: &str, report: &mut ValidationReport<'_>) {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ' || byte == b'\t');
    if !is_plain || text.len() > TEXT_BYTES_MAX {
        report.bad(
            path,
            "has other characters than printable ASCII, or more than 2048",
            "shorten or encode it",
        );
    }
}

#[cfg(test)]
mod tests;
