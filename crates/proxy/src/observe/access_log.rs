//! The access log: one line of JSON for each request or connection, with Envoy's field names.
//!
//! Workers format and hand over; a thread writes (`daemon::lines`): traffic never waits for a disk. Every value is escaped by the JSON writer; long ones are cut.

use super::labels::{flags, request_flags};
use super::record::{Direction, L4Transport, OutsideCluster, RequestRecord, TcpRecord};
use crate::edge_tls::client_certificate::ClientValidity;
use crate::edge_tls::facts::EdgeTls;
use daemon::lines::{self, Finished, Lines, Sink};
use decide::authz::{Decision, Denial, DryRun};
use model::time::Rfc3339Ms;
use model::{ObjectRef, Policy, Reason, SpiffeId};
use serde::{Serialize, Serializer};
use std::fmt::{self, Display};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

/// How long a line may wait for others to be written with.
const GATHER: Duration = Duration::from_millis(10);
/// Longest path that is logged, in bytes; the rest is cut.
const PATH_BYTES_MAX: usize = 2048;
/// Longest other value that comes from a peer, in bytes; the rest is cut.
const VALUE_BYTES_MAX: usize = 256;
/// Policies that are not enforced but named in a line; more are counted only.
const SHADOW_POLICIES_MAX: usize = 16;

/// Envoy's word (`rbac_access_denied_matched_policy[none]`) for a denial because no ALLOW policy matched.
const NONE: &str = "none";

/// The workers' end of the log.
pub struct AccessLog(Lines);

impl AccessLog {
    /// Opens `path` for appending (`-`: standard output) and starts the writer thread. A new file is for its
    /// owner alone; one that is there keeps its permissions, which a log rotation may have chosen.
    pub fn open(path: &Path) -> io::Result<Self> {
        if path.as_os_str() == "-" {
            Self::start(lines::output(io::stdout().as_fd())?)
        } else {
            Self::start(lines::append(path)?)
        }
    }

    /// Starts the writer thread on any sink.
    pub fn start(sink: impl Sink + 'static) -> io::Result<Self> {
        Ok(Self(Lines::start("access-log", sink, GATHER)?))
    }

    /// Lines lost to a full queue or a failing disk.
    pub fn dropped(&self) -> u64 {
        self.0.dropped().get()
    }

    /// Writes what is queued and ends the thread; a disk that is stuck is not waited for. Lines that come
    /// later are dropped.
    pub fn finish(&self) {
        if self.0.finish() == Finished::Stuck {
            tracing::warn!("the access log's last lines are lost: its disk does not answer");
        }
    }

    /// Formats a line in `buffer` and hands it over.
    pub(super) fn request(&self, record: &RequestRecord<'_>, own: Option<&SpiffeId>, buffer: &mut Vec<u8>) {
        let (source, destination) = principals(record.direction, own, record.peer.map(|peer| &peer.id));
        self.send(
            &Line {
                start_time: Shown(Rfc3339Ms(record.started)),
                direction: direction(record.direction),
                method: Some(cut(record.method, VALUE_BYTES_MAX)),
                path: Some(cut(record.path, PATH_BYTES_MAX)),
                protocol: Some(version(record.version)),
                authority: Some(cut(record.authority, VALUE_BYTES_MAX)),
                response_code: record.status,
                response_flags: request_flags(record),
                response_code_details: details(record),
                grpc_status: record.grpc_status,
                duration: record.duration.as_millis() as u64,
                bytes_received: record.bytes_received,
                bytes_sent: record.bytes_sent,
                downstream_remote_address: record.downstream.map(Shown),
                upstream_host: record.upstream.map(Shown),
                upstream_cluster: record.host.map(model::Hostname::as_str),
                route_name: record.route.map(|route| Shown(Named(route))),
                request_id: some(cut(record.request_id, VALUE_BYTES_MAX)),
                source_principal: source,
                destination_principal: destination,
                policy: record.denial.map(denying_policy),
                policy_rule: record.denial.and_then(denying_rule),
                allow_policies: record.denial.map(allow_policies).unwrap_or_default(),
                shadow_policies: record.dry_run.map(shadow_policies).unwrap_or_default(),
                shadow_allow_policies: record.dry_run.map(shadow_allow_policies).unwrap_or_default(),
                shadow_engine_result: record.dry_run.and_then(shadow_result),
                requested_server_name: record.tls.and_then(server_name),
                downstream_tls_version: record.tls.and_then(|tls| tls.version),
                downstream_tls_cipher: record.tls.and_then(|tls| tls.cipher),
                downstream_peer_subject: record.tls.and_then(client_subject),
                attempts: record.attempts,
                mirrors: record.mirrors,
            },
            buffer,
        );
    }

    /// As [`Self::request`].
    pub(super) fn tcp(&self, record: &TcpRecord<'_>, own: Option<&SpiffeId>, buffer: &mut Vec<u8>) {
        let (source, destination) = principals(record.direction, own, record.peer.map(|peer| &peer.id));
        self.send(
            &Line {
                start_time: Shown(Rfc3339Ms(record.started)),
                direction: direction(record.direction),
                method: None,
                path: None,
                protocol: (record.transport == L4Transport::Udp).then_some("UDP"),
                authority: None,
                response_code: 0,
                response_flags: flags(record.reason, record.limited),
                response_code_details: record.reason.map_or("", |reason: Reason| reason.row().code),
                grpc_status: None,
                duration: record.duration.as_millis() as u64,
                bytes_received: record.bytes_received,
                bytes_sent: record.bytes_sent,
                downstream_remote_address: record.downstream.map(Shown),
                upstream_host: record.upstream.map(Shown),
                upstream_cluster: (record.outside.map(OutsideCluster::as_str))
                    .or_else(|| record.host.map(model::Hostname::as_str)),
                route_name: record.route.map(|route| Shown(Named(route))),
                request_id: None,
                source_principal: source,
                destination_principal: destination,
                policy: record.denial.map(denying_policy),
                policy_rule: record.denial.and_then(denying_rule),
                allow_policies: record.denial.map(allow_policies).unwrap_or_default(),
                shadow_policies: record.dry_run.map(shadow_policies).unwrap_or_default(),
                shadow_allow_policies: record.dry_run.map(shadow_allow_policies).unwrap_or_default(),
                shadow_engine_result: record.dry_run.and_then(shadow_result),
                requested_server_name: record.tls.and_then(server_name),
                downstream_tls_version: record.tls.and_then(|tls| tls.version),
                downstream_tls_cipher: record.tls.and_then(|tls| tls.cipher),
                downstream_peer_subject: record.tls.and_then(client_subject),
                attempts: record.attempts,
                mirrors: 0,
            },
            buffer,
        );
    }

    fn send(&self, line: &Line<'_>, buffer: &mut Vec<u8>) {
        buffer.clear();
        // Writing plain values into memory cannot fail; a line that did would be counted as dropped.
        let is_written = serde_json::to_writer(&mut *buffer, line).is_ok();
        buffer.push(b'\n');
        match is_written {
            true => self.0.write(buffer),
            false => self.0.dropped().inc(),
        }
    }
}

/// One line. Field names are those of Envoy's default format and of Istio's JSON log.
#[derive(Serialize)]
struct Line<'a> {
    start_time: Shown<Rfc3339Ms>,
    direction: &'static str,
    method: Option<&'a str>,
    path: Option<&'a str>,
    protocol: Option<&'static str>,
    authority: Option<&'a str>,
    response_code: u16,
    response_flags: &'static str,
    response_code_details: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    grpc_status: Option<u16>,
    duration: u64,
    bytes_received: u64,
    bytes_sent: u64,
    downstream_remote_address: Option<Shown<SocketAddr>>,
    upstream_host: Option<Shown<SocketAddr>>,
    upstream_cluster: Option<&'a str>,
    route_name: Option<Shown<Named<'a>>>,
    request_id: Option<&'a str>,
    source_principal: Option<Shown<&'a SpiffeId>>,
    destination_principal: Option<Shown<&'a SpiffeId>>,
    /// `NAMESPACE/NAME` of the policy that denied it; [`NONE`]: none of `allow_policies` matched.
    policy: Option<String>,
    /// Index of the rule of `policy`, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_rule: Option<usize>,
    /// The ALLOW policies that apply here, where none matched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allow_policies: Vec<String>,
    /// AUDIT and dry-run policies that matched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    shadow_policies: Vec<String>,
    /// If dry runs were enforced: the ALLOW policies that would apply here, where none matches.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    shadow_allow_policies: Vec<String>,
    /// What would be if dry runs were enforced; the words are those of Envoy's RBAC filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    shadow_engine_result: Option<&'static str>,
    /// Of TLS with a caller from outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    requested_server_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    downstream_tls_version: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    downstream_tls_cipher: Option<&'static str>,
    /// Of a client certificate that is valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    downstream_peer_subject: Option<&'a str>,
    attempts: u32,
    /// Copies of the request that were made.
    #[serde(skip_serializing_if = "is_zero")]
    mirrors: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

fn server_name(tls: &EdgeTls) -> Option<&str> {
    tls.server_name.as_deref().map(|name| cut(name, VALUE_BYTES_MAX))
}

fn client_subject(tls: &EdgeTls) -> Option<&str> {
    let client = tls.client.as_ref().filter(|client| client.validity == ClientValidity::Valid)?;
    Some(cut(&client.names.subject, VALUE_BYTES_MAX))
}

/// Written as it is shown, without a string of its own.
struct Shown<T>(T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// An object as `NAMESPACE/NAME`.
struct Named<'a>(&'a ObjectRef);

impl Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0.namespace, self.0.name)
    }
}

fn principals<'a>(
    direction: Direction,
    own: Option<&'a SpiffeId>,
    peer: Option<&'a SpiffeId>,
) -> (Option<Shown<&'a SpiffeId>>, Option<Shown<&'a SpiffeId>>) {
    let (source, destination) = match direction {
        Direction::Inbound => (peer, own),
        Direction::Outbound | Direction::Gateway => (own, peer),
        Direction::EastWest => (peer, None),
    };
    (source.map(Shown), destination.map(Shown))
}

fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
        Direction::Gateway => "gateway",
        Direction::EastWest => "east-west",
    }
}

/// `namespace/name`.
pub(super) fn policy_name(policy: &Policy) -> String {
    format!("{}/{}", policy.origin.object.namespace, policy.origin.object.name)
}

/// What access log and counter call it: `NAMESPACE/NAME` or [`NONE`].
pub(super) fn denying_policy(denial: &Denial) -> String {
    match denial {
        Denial::Matched { policy, .. } => policy_name(policy),
        Denial::NoneMatched { .. } => NONE.to_owned(),
    }
}

fn denying_rule(denial: &Denial) -> Option<usize> {
    match denial {
        Denial::Matched { rule, .. } => Some(*rule),
        Denial::NoneMatched { .. } => None,
    }
}

fn allow_policies(denial: &Denial) -> Vec<String> {
    match denial {
        Denial::Matched { .. } => Vec::new(),
        Denial::NoneMatched { allow } => allow.iter().map(|policy| policy_name(policy)).collect(),
    }
}

/// Why the response is what it is, in Envoy's words where it has one.
fn details(record: &RequestRecord<'_>) -> &'static str {
    // Of an answer that would have been asked for once more: what kept it from that.
    match record.reason.or(record.limited) {
        Some(reason) => reason.row().code,
        // A redirect: nobody was asked.
        None if record.attempts == 0 => "direct_response",
        None => "via_upstream",
    }
}

fn shadow_policies(dry_run: &DryRun) -> Vec<String> {
    let shown = dry_run.matched.iter().take(SHADOW_POLICIES_MAX);
    shown.map(|(policy, _)| policy_name(policy)).collect()
}

fn shadow_allow_policies(dry_run: &DryRun) -> Vec<String> {
    match &dry_run.verdict {
        Some(Decision::Deny(denial)) => allow_policies(denial),
        _ => Vec::new(),
    }
}

fn shadow_result(dry_run: &DryRun) -> Option<&'static str> {
    dry_run.verdict.as_ref().map(|verdict| match verdict {
        Decision::Allow => "allowed",
        Decision::Ambiguous => "ambiguous",
        Decision::Deny(_) => "denied",
    })
}

fn version(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_10 => "HTTP/1.0",
        http::Version::HTTP_2 => "HTTP/2",
        http::Version::HTTP_3 => "HTTP/3",
        _ => "HTTP/1.1",
    }
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// At most `max` bytes of `text`, cut between characters.
fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text)
}
