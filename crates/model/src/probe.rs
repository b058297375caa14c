//! How a proxy finds out whether its application is ready, and what it found: `WorkloadGroup.probe`, and the verdict on
//! it. The judgement is `decide::probe`.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Longest text on why an application is not ready, in characters.
pub const CAUSE_CHARS_MAX: usize = 256;

/// What is asked of an application, how often, and how many answers count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadinessProbe {
    /// What is asked.
    pub action: ProbeAction,
    /// The proxy asks nothing for so long after its start.
    pub initial_delay: Duration,
    /// An answer that takes longer is a failure.
    pub timeout: Duration,
    /// Between the beginnings of two probes.
    pub period: Duration,
    /// So many successes in a row make it ready, from 1.
    pub success_threshold: u32,
    /// So many failures in a row make it not ready, from 1.
    pub failure_threshold: u32,
}

/// What is asked of an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeAction {
    /// A status from 200 to 399 is a success.
    HttpGet(HttpGetProbe),
    /// A connection is.
    TcpSocket(TcpSocketProbe),
    /// The status 0 of a program, given with its arguments; no shell.
    Exec(Vec<Arc<str>>),
    /// `SERVING`, by the health protocol of gRPC.
    Grpc(GrpcProbe),
}

/// A request of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpGetProbe {
    /// Path and query.
    pub path: Arc<str>,
    /// 1 to 65535.
    pub port: u16,
    /// TLS or not.
    pub scheme: ProbeScheme,
    /// A loopback address; `None`: the workload's own.
    pub host: Option<IpAddr>,
    /// Sent along; `Host` is the authority.
    pub headers: Vec<ProbeHeader>,
}

/// Whether a request of a probe goes over TLS. Nobody's certificate is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeScheme {
    /// Plaintext.
    Http,
    /// TLS.
    Https,
}

/// A header of a probe's request. Its value may be a password: it is not for `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct ProbeHeader {
    /// As it was written.
    pub name: Arc<str>,
    /// As it was written.
    pub value: Arc<str>,
}

impl fmt::Debug for ProbeHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProbeHeader").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A connection of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpSocketProbe {
    /// 1 to 65535.
    pub port: u16,
    /// A loopback address; `None`: the workload's own.
    pub host: Option<IpAddr>,
}

/// A health check of gRPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcProbe {
    /// 1 to 65535.
    pub port: u16,
    /// The service that is asked for; empty: the server as a whole.
    pub service: Arc<str>,
}

/// What a proxy knows of its application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ApplicationHealth {
    /// The proxy has no configuration yet.
    #[default]
    Unknown,
    /// Nobody wants it probed: it counts as ready.
    NotProbed,
    /// It is ready.
    Ready,
    /// It is not, and why.
    NotReady(Arc<str>),
}
