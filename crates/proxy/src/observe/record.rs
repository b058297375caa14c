//! The facts of one exchange, as `flow` hands them over. Borrowed: nothing is copied unless it is new.

use crate::edge_tls::facts::EdgeTls;
use crate::peer::Peer;
use decide::authz::{Denial, DryRun};
use model::service::Service;
use model::{Hostname, ObjectRef, Reason};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

/// Which side of a call this proxy is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Beside the callee; Istio's `reporter="destination"`.
    Inbound,
    /// Beside the caller; Istio's `reporter="source"`.
    Outbound,
    /// At the edge, for a caller from outside; Istio's `reporter="source"`.
    Gateway,
    /// Between networks: the peer is the source, and who the destination is cannot be seen. `reporter="source"`.
    EastWest,
}

/// Istio's `request_protocol` for requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestProtocol {
    /// Any HTTP but gRPC.
    Http,
    /// `content-type: application/grpc…`.
    Grpc,
}

/// Istio's `connection_security_policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Security {
    /// The wire between the proxies is mutual TLS.
    MutualTls,
    /// Plaintext.
    None,
    /// Not known: nothing was connected.
    Unknown,
}

/// One HTTP request, when it has ended.
#[derive(Clone, Debug)]
pub struct RequestRecord<'a> {
    /// Which side.
    pub direction: Direction,
    /// The destination by name, as far as known. Inbound: the first of the port's names, or the one asked for.
    pub host: Option<&'a Hostname>,
    /// The same with all that is known of it (outbound and gateway); gives the service labels.
    pub service: Option<&'a Service>,
    /// Identity of the other side: the caller (inbound), who answered (outbound, gateway).
    pub peer: Option<&'a Peer>,
    /// Cluster of the endpoint (outbound, gateway). Where there is none, the peer's counts.
    pub peer_cluster: Option<&'a str>,
    /// The wire between the proxies.
    pub security: Security,
    /// HTTP or gRPC.
    pub protocol: RequestProtocol,
    /// Version that the downstream spoke.
    pub version: http::Version,
    /// Method as received.
    pub method: &'a str,
    /// Path and query in canonical form; as received when they have none.
    pub path: &'a str,
    /// `:authority` or `Host`, likewise.
    pub authority: &'a str,
    /// Status sent downstream; 0: none was.
    pub status: u16,
    /// `grpc-status`, when seen.
    pub grpc_status: Option<u16>,
    /// Why it ended so; `None`: the upstream answered and all of it was delivered.
    pub reason: Option<Reason>,
    /// What kept it from a further attempt.
    pub limited: Option<Reason>,
    /// A fault filter made it wait.
    pub is_delayed: bool,
    /// How many copies of it were made.
    pub mirrors: u32,
    /// Which policies denied it.
    pub denial: Option<&'a Denial>,
    /// What policies that are not enforced say of it.
    pub dry_run: Option<&'a DryRun>,
    /// When its head had arrived.
    pub started: SystemTime,
    /// From then to the end of the response.
    pub duration: Duration,
    /// Body bytes from downstream.
    pub bytes_received: u64,
    /// Body bytes to downstream.
    pub bytes_sent: u64,
    /// Who called, by address; where proxies in front are trusted for it, with port 0.
    pub downstream: Option<SocketAddr>,
    /// Which endpoint answered, or was tried last.
    pub upstream: Option<SocketAddr>,
    /// Route object, logged as `namespace/name`.
    pub route: Option<&'a ObjectRef>,
    /// `x-request-id`; empty: none.
    pub request_id: &'a str,
    /// What TLS with a caller from outside has shown; `None`: there was none.
    pub(crate) tls: Option<&'a EdgeTls>,
    /// Attempts made upstream, from 0.
    pub attempts: u32,
}

/// What became of a connection to an address that nobody described, in the words that Istio has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutsideCluster {
    /// It was passed through.
    Passthrough,
    /// It was refused.
    BlackHole,
}

impl OutsideCluster {
    /// As it stands in metrics and in the access log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passthrough => "PassthroughCluster",
            Self::BlackHole => "BlackHoleCluster",
        }
    }
}

/// What carries opaque bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum L4Transport {
    /// A connection.
    #[default]
    Tcp,
    /// A session of datagrams.
    Udp,
}

/// One opaque connection, or session of datagrams, when it has ended.
#[derive(Clone, Debug)]
pub struct TcpRecord<'a> {
    /// Which side.
    pub direction: Direction,
    /// What carries it.
    pub transport: L4Transport,
    /// The destination by name, as far as known.
    pub host: Option<&'a Hostname>,
    /// It went to no service.
    pub outside: Option<OutsideCluster>,
    /// The same with all that is known of it.
    pub service: Option<&'a Service>,
    /// Identity of the other side.
    pub peer: Option<&'a Peer>,
    /// As for requests.
    pub peer_cluster: Option<&'a str>,
    /// The wire between the proxies.
    pub security: Security,
    /// Why it ended so; `None`: both sides closed.
    pub reason: Option<Reason>,
    /// What kept it from a further attempt.
    pub limited: Option<Reason>,
    /// Which policies denied it.
    pub denial: Option<&'a Denial>,
    /// What policies that are not enforced say of it.
    pub dry_run: Option<&'a DryRun>,
    /// When it was accepted.
    pub started: SystemTime,
    /// From then to its end.
    pub duration: Duration,
    /// Bytes from downstream (Istio: `istio_tcp_received_bytes_total`).
    pub bytes_received: u64,
    /// Bytes to downstream (Istio: `istio_tcp_sent_bytes_total`).
    pub bytes_sent: u64,
    /// Who called, by address.
    pub downstream: Option<SocketAddr>,
    /// Which endpoint was connected, or tried last.
    pub upstream: Option<SocketAddr>,
    /// As for requests.
    pub(crate) tls: Option<&'a EdgeTls>,
    /// Route object, logged as `namespace/name`.
    pub route: Option<&'a ObjectRef>,
    /// Attempts made upstream, from 0.
    pub attempts: u32,
}
