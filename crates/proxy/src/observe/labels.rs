//! Istio's standard labels (istio.io, "Istio Standard Metrics") out of what a record knows.
//!
//! The other side is named by what its certificate says: workload group, identity and cluster need no further
//! lookup; `app` and `version` would. A certificate that was issued to no registration (a plane's) has only the
//! service account for a name. What is not known is `unknown`, as in Istio.

use super::record::{
    Direction, L4Transport, OutsideCluster, RequestProtocol, RequestRecord, Security, TcpRecord,
};
use model::service::Service;
use model::workload_host::is_workload_host;
use model::{Hostname, Reason, SpiffeId};
use std::fmt::Write;
use std::hash::Hash;

const UNKNOWN: &str = "unknown";

/// What this proxy says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Own {
    /// Own identity; `None` in `leno gateway`.
    pub id: Option<SpiffeId>,
    /// Own workload group; may be empty.
    pub workload: String,
    /// Own cluster; may be empty.
    pub cluster: String,
    /// Label `app` of the local workload group; may be empty.
    pub app: String,
    /// Label `version` of the local workload group; may be empty.
    pub version: String,
}

/// The part of a record that selects a series. Borrowed for a lookup, owned in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SeriesKey<'a> {
    pub(super) direction: Direction,
    pub(super) host: Option<&'a str>,
    pub(super) service: Option<(&'a str, &'a str)>,
    pub(super) peer: Option<&'a SpiffeId>,
    pub(super) workload: Option<&'a str>,
    pub(super) peer_cluster: Option<&'a str>,
    pub(super) security: Security,
    pub(super) flag: &'static str,
    /// Of an opaque connection: what carries it.
    pub(super) transport: L4Transport,
    /// `None`: an opaque connection.
    pub(super) http: Option<HttpKey>,
}

/// The part that only requests have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct HttpKey {
    pub(super) protocol: RequestProtocol,
    pub(super) status: u16,
    pub(super) grpc_status: Option<u16>,
}

impl<'a> SeriesKey<'a> {
    pub(super) fn of_request(record: &RequestRecord<'a>) -> Self {
        Self {
            direction: record.direction,
            host: service_host(record.host),
            service: record.service.map(name_and_namespace),
            peer: record.peer.map(|peer| &peer.id),
            workload: record.peer.and_then(|peer| peer.workload.as_deref()),
            peer_cluster: record.peer_cluster.or_else(|| record.peer?.cluster.as_deref()),
            security: record.security,
            flag: request_flags(record),
            transport: L4Transport::Tcp,
            http: Some(HttpKey {
                protocol: record.protocol,
                status: record.status,
                grpc_status: record.grpc_status,
            }),
        }
    }

    pub(super) fn of_tcp(record: &TcpRecord<'a>) -> Self {
        Self {
            direction: record.direction,
            host: record.outside.map(OutsideCluster::as_str).or_else(|| service_host(record.host)),
            service: record.service.map(name_and_namespace),
            peer: record.peer.map(|peer| &peer.id),
            workload: record.peer.and_then(|peer| peer.workload.as_deref()),
            peer_cluster: record.peer_cluster.or_else(|| record.peer?.cluster.as_deref()),
            security: record.security,
            flag: flags(record.reason, record.limited),
            transport: record.transport,
            http: None,
        }
    }

    pub(super) fn keep(self) -> OwnedKey {
        OwnedKey {
            direction: self.direction,
            host: self.host.map(Into::into),
            service: self.service.map(|(name, namespace)| (name.into(), namespace.into())),
            peer: self.peer.cloned(),
            workload: self.workload.map(Into::into),
            peer_cluster: self.peer_cluster.map(Into::into),
            security: self.security,
            flag: self.flag,
            transport: self.transport,
            http: self.http,
        }
    }
}

/// A [`SeriesKey`] that lives in the cache.
pub(super) struct OwnedKey {
    direction: Direction,
    host: Option<Box<str>>,
    service: Option<(Box<str>, Box<str>)>,
    peer: Option<SpiffeId>,
    workload: Option<Box<str>>,
    peer_cluster: Option<Box<str>>,
    security: Security,
    flag: &'static str,
    transport: L4Transport,
    http: Option<HttpKey>,
}

impl OwnedKey {
    pub(super) fn borrow(&self) -> SeriesKey<'_> {
        SeriesKey {
            direction: self.direction,
            host: self.host.as_deref(),
            service: self.service.as_ref().map(|(name, namespace)| (&**name, &**namespace)),
            peer: self.peer.as_ref(),
            workload: self.workload.as_deref(),
            peer_cluster: self.peer_cluster.as_deref(),
            security: self.security,
            flag: self.flag,
            transport: self.transport,
            http: self.http,
        }
    }
}

/// Envoy's response flags; `-` when there are none. As there, what kept a failure from being repeated is a flag
/// beside the failure's own.
pub(super) fn flags(reason: Option<Reason>, limited: Option<Reason>) -> &'static str {
    let flag = flag(reason);
    match (flag, limited.map(|limited| limited.row().flag)) {
        (_, None) => flag,
        ("-", Some(limited)) => limited,
        ("UF", Some("URX")) => "UF,URX",
        ("UF", Some("UO")) => "UF,UO",
        ("UC", Some("URX")) => "UC,URX",
        ("UC", Some("UO")) => "UC,UO",
        ("UT", Some("URX")) => "UT,URX",
        ("UT", Some("UO")) => "UT,UO",
        ("UPE", Some("URX")) => "UPE,URX",
        ("UPE", Some("UO")) => "UPE,UO",
        // Nothing else is repeated.
        (_, Some(_)) => flag,
    }
}

/// The same of a request, which a fault filter may have delayed.
pub(super) fn request_flags(record: &RequestRecord<'_>) -> &'static str {
    let flags = flags(record.reason, record.limited);
    if !record.is_delayed {
        return flags;
    }
    // In Envoy's order.
    match flags {
        "-" => "DI",
        "FI" => "DI,FI",
        "UH" => "UH,DI",
        "UT" => "UT,DI",
        "UF" => "UF,DI",
        "UC" => "UC,DI",
        "UO" => "UO,DI",
        "NR" => "NR,DI",
        "NC" => "DI,NC",
        "DC" => "DI,DC",
        "UPE" => "DI,UPE",
        "DPE" => "DI,DPE",
        "UF,URX" => "UF,DI,URX",
        "UC,URX" => "UC,DI,URX",
        "UT,URX" => "UT,DI,URX",
        "UF,UO" => "UF,UO,DI",
        "UC,UO" => "UC,UO,DI",
        "UT,UO" => "UT,UO,DI",
        other => other,
    }
}

fn flag(reason: Option<Reason>) -> &'static str {
    match reason.map(|reason| reason.row().flag) {
        None | Some("" | "NONE") => "-",
        Some(flag) => flag,
    }
}

fn name_and_namespace(service: &Service) -> (&str, &str) {
    (&service.name, &service.namespace)
}

/// The labels of a series as Prometheus text, without braces.
pub(super) fn render(key: &SeriesKey<'_>, own: &Own) -> String {
    let mut text = String::with_capacity(512);
    let mut put = |name: &str, value: &str| put_label(&mut text, name, value);
    put("reporter", if key.direction == Direction::Inbound { "destination" } else { "source" });
    let own_party = Party {
        id: own.id.as_ref(),
        workload: Some(own.workload.as_str()).filter(|workload| !workload.is_empty()),
        cluster: &own.cluster,
        app: &own.app,
        version: &own.version,
    };
    let peer = Party {
        id: key.peer,
        workload: key.workload,
        cluster: key.peer_cluster.unwrap_or(""),
        ..Party::default()
    };
    let (source, destination) = match key.direction {
        Direction::Inbound => (peer, own_party),
        Direction::Outbound | Direction::Gateway => (own_party, peer),
        // Whom it reaches shows only within the tunnel.
        Direction::EastWest => (peer, Party { cluster: &own.cluster, ..Party::default() }),
    };
    put_party(&mut put, &SOURCE, &source);
    put_party(&mut put, &DESTINATION, &destination);
    let (name, namespace) = service_labels(key, own);
    put("destination_service", key.host.unwrap_or(UNKNOWN));
    put("destination_service_name", name);
    put("destination_service_namespace", namespace);
    match key.http {
        Some(http) => {
            put("request_protocol", if http.protocol == RequestProtocol::Grpc { "grpc" } else { "http" });
            put("response_code", itoa(http.status).as_str());
            let grpc = http.grpc_status.map(itoa).unwrap_or_default();
            put("grpc_response_status", &grpc);
        }
        None => put("request_protocol", if key.transport == L4Transport::Udp { "udp" } else { "tcp" }),
    }
    put("response_flags", key.flag);
    put(
        "connection_security_policy",
        match key.security {
            Security::MutualTls => "mutual_tls",
            Security::None => "none",
            Security::Unknown => UNKNOWN,
        },
    );
    text
}

/// The labels of the series that takes what exceeds the limit.
pub(super) const OVERFLOW: &str = "reporter=\"overflow\"";

#[derive(Default)]
struct Party<'a> {
    id: Option<&'a SpiffeId>,
    workload: Option<&'a str>,
    cluster: &'a str,
    app: &'a str,
    version: &'a str,
}

/// Label names of one side: workload, namespace, principal, app, version, service, revision, cluster.
type PartyNames = [&'static str; 8];

const SOURCE: PartyNames = [
    "source_workload",
    "source_workload_namespace",
    "source_principal",
    "source_app",
    "source_version",
    "source_canonical_service",
    "source_canonical_revision",
    "source_cluster",
];
const DESTINATION: PartyNames = [
    "destination_workload",
    "destination_workload_namespace",
    "destination_principal",
    "destination_app",
    "destination_version",
    "destination_canonical_service",
    "destination_canonical_revision",
    "destination_cluster",
];

fn put_party(put: &mut impl FnMut(&str, &str), names: &PartyNames, party: &Party<'_>) {
    let account = party.id.map(|id| &*id.service_account);
    let workload = party.workload.or(account).unwrap_or(UNKNOWN);
    put(names[0], workload);
    put(names[1], party.id.map_or(UNKNOWN, |id| &id.namespace));
    put(names[2], &party.id.map_or_else(|| UNKNOWN.to_owned(), SpiffeId::to_string));
    put(names[3], known(party.app));
    put(names[4], known(party.version));
    put(names[5], if party.app.is_empty() { workload } else { party.app });
    put(names[6], if party.version.is_empty() { "latest" } else { party.version });
    put(names[7], known(party.cluster));
}

fn known(text: &str) -> &str {
    if text.is_empty() { UNKNOWN } else { text }
}

/// The host of a service. A workload that was called by its address is told by its group: workloads come and go, and each
/// would have series of its own.
fn service_host(host: Option<&Hostname>) -> Option<&str> {
    host.filter(|host| !is_workload_host(host)).map(Hostname::as_str)
}

/// Name and namespace of the destination service: from the object, else from the host name.
fn service_labels<'a>(key: &SeriesKey<'a>, own: &'a Own) -> (&'a str, &'a str) {
    if let Some(service) = key.service {
        return service;
    }
    let Some(host) = key.host else { return (UNKNOWN, UNKNOWN) };
    let mut labels = host.splitn(3, '.');
    if let (Some(name), Some(namespace), Some(rest)) = (labels.next(), labels.next(), labels.next())
        && rest.starts_with("svc.")
    {
        return (name, namespace);
    }
    // A global name: its object is the callee's own when this proxy is the callee.
    let name = host.split('.').next().unwrap_or(host);
    match (&own.id, key.direction) {
        (Some(id), Direction::Inbound) => (name, &id.namespace),
        _ => (host, UNKNOWN),
    }
}

/// Appends `name="value"`, escaped as the text format demands.
pub(super) fn put_label(text: &mut String, name: &str, value: &str) {
    if !text.is_empty() {
        text.push(',');
    }
    text.push_str(name);
    text.push_str("=\"");
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
    text.push('"');
}

fn itoa(number: u16) -> String {
    let mut text = String::new();
    let _ = write!(text, "{number}");
    text
}
