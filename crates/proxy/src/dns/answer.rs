//! From a query's bytes to what is done with it, and from a finding to an answer's bytes. No I/O.

use super::Transport;
use crate::snapshot::Snapshot;
use hickory_proto::op::{Edns, Message, MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, SOA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use model::Hostname;
use model::names::Zone;
use std::net::IpAddr;

/// How long a mesh-only address may be cached. They are stable, but a service may go.
const TTL_S: u32 = 30;
/// How long addresses of workloads may be cached: they come and go (as CoreDNS has it).
const WORKLOAD_TTL_S: u32 = 5;
/// How long an absence may be cached: the service may be created in a moment.
const ABSENT_TTL_S: u32 = 2;
/// Largest datagram that we take, told in EDNS (the value of the 2020 DNS flag day).
const UDP_PAYLOAD_BYTES: u16 = 1232;
/// Largest datagram that every client takes (RFC 1035, section 4.2.1).
const UDP_BYTES_MIN: u16 = 512;
/// A record with an address, its name a pointer to the question's.
const A_BYTES: usize = 16;
const AAAA_BYTES: usize = 28;
/// A message is at least its header.
const HEADER_BYTES: usize = 12;

/// What is done with a query.
pub(super) enum Verdict {
    /// Nothing: it is too short, or itself an answer.
    Drop,
    /// This is the answer.
    Reply(Vec<u8>),
    /// Somebody else knows.
    Forward(Box<Question>),
    /// The mesh knows, in a zone of this kind.
    Mesh(Box<Question>, Zone),
    /// No question (an update, a notification): for the server that it was sent to, else refused like this.
    Foreign(Vec<u8>),
}

/// A well-formed query with one question.
pub(super) struct Question {
    /// The name asked for, when it is a host name; otherwise unused.
    pub(super) host: Hostname,
    query: Message,
}

/// What a host of the mesh resolves to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MeshAddresses {
    /// Of both families.
    all: Vec<IpAddr>,
    are_workloads: bool,
}

impl MeshAddresses {
    /// It exists, and has none.
    pub(super) const NONE: Self = Self { all: Vec::new(), are_workloads: false };

    /// Addresses that stand for the service.
    pub(super) fn of_service(all: Vec<IpAddr>) -> Self {
        Self { all, are_workloads: false }
    }

    /// Addresses of its workloads themselves.
    pub(super) fn of_workloads(all: Vec<IpAddr>) -> Self {
        Self { all, are_workloads: true }
    }
}

/// Looks at a query.
pub(super) fn classify(bytes: &[u8], snapshot: &Snapshot) -> Verdict {
    let (Some(id), Some(flags)) = (bytes.first_chunk::<2>(), bytes.get(2)) else { return Verdict::Drop };
    if bytes.len() < HEADER_BYTES || flags & 0x80 != 0 {
        return Verdict::Drop;
    }
    let id = u16::from_be_bytes(*id);
    let Ok(query) = Message::from_vec(bytes) else { return error(id, OpCode::Query, ResponseCode::FormErr) };
    if query.metadata.op_code != OpCode::Query {
        return match error(id, query.metadata.op_code, ResponseCode::NotImp) {
            Verdict::Reply(refusal) => Verdict::Foreign(refusal),
            other => other,
        };
    }
    let [question] = query.queries.as_slice() else { return error(id, OpCode::Query, ResponseCode::FormErr) };
    let text = question.name().to_ascii().to_ascii_lowercase();
    let text = text.strip_suffix('.').unwrap_or(&text);
    let zone = snapshot.names.zone(text);
    let is_mesh_class = matches!(question.query_class(), DNSClass::IN | DNSClass::ANY);
    let parsed = Hostname::parse(text);
    let is_host_name = parsed.is_some();
    let Some(host) = parsed.or_else(|| Hostname::parse("invalid")) else { return Verdict::Drop };
    let question = Box::new(Question { host, query });
    let reply = |bytes: Option<Vec<u8>>| bytes.map_or(Verdict::Drop, Verdict::Reply);
    // Which names are the mesh's is not known yet; guessing would leak them, or deny them for long.
    if !snapshot.is_configured() {
        return reply(question.servfail());
    }
    match zone {
        Zone::Outside => Verdict::Forward(question),
        Zone::Owned if !is_mesh_class || question.is_transfer() => reply(question.refused()),
        Zone::Shared if !is_mesh_class || question.is_transfer() => Verdict::Forward(question),
        _ if snapshot.names.is_non_terminal(text) => {
            reply(question.found(MeshAddresses::NONE, Transport::Udp))
        }
        // Not a host name (`*.mesh.internal`), but below a suffix all the same: not for others to see.
        Zone::Owned if !is_host_name => reply(question.nxdomain()),
        Zone::Shared if !is_host_name => Verdict::Forward(question),
        Zone::Owned | Zone::Shared => Verdict::Mesh(question, zone),
    }
}

/// Whether a reply says that the name does not exist.
pub(super) fn is_nxdomain(reply: &[u8]) -> bool {
    reply.get(3).is_some_and(|flags| flags & 0x0f == 3)
}

impl Question {
    /// Whether a whole zone is asked for.
    pub(super) fn is_transfer(&self) -> bool {
        self.query
            .queries
            .iter()
            .any(|query| matches!(query.query_type(), RecordType::AXFR | RecordType::IXFR))
    }

    /// Whether an address of IPv6 would be part of the answer.
    pub(super) fn wants_ipv6(&self) -> bool {
        self.query
            .queries
            .iter()
            .any(|query| matches!(query.query_type(), RecordType::AAAA | RecordType::ANY))
    }

    /// The host exists: its addresses of the family that was asked for, else NODATA. Those that have no room in an answer
    /// over `transport` are left out, and it says so (RFC 2181, section 9).
    pub(super) fn found(&self, mut addresses: MeshAddresses, transport: Transport) -> Option<Vec<u8>> {
        let mut reply = self.reply(ResponseCode::NoError);
        let question = self.query.queries.first()?;
        let is_wanted = |data: &RData| [data.record_type(), RecordType::ANY].contains(&question.query_type());
        let mut room = self.bytes_max(transport).saturating_sub(reply.to_vec().ok()?.len());
        let ttl_s = if addresses.are_workloads { WORKLOAD_TTL_S } else { TTL_S };
        if addresses.are_workloads {
            // Who takes the first one is spread over all: ids are random.
            let first = usize::from(self.query.metadata.id) % addresses.all.len().max(1);
            addresses.all.rotate_left(first);
        }
        for data in addresses.all.into_iter().map(rdata).filter(is_wanted) {
            let bytes = if matches!(data, RData::A(_)) { A_BYTES } else { AAAA_BYTES };
            let Some(left) = room.checked_sub(bytes) else {
                reply.metadata.truncation = true;
                break;
            };
            room = left;
            // The name as the client spelled it: some check the case (RFC 9619 and draft-vixie-dnsext-dns0x20).
            reply.add_answer(Record::from_rdata(question.name().clone(), ttl_s, data));
        }
        if reply.answers.is_empty() {
            self.add_authority(&mut reply);
        }
        reply.to_vec().ok()
    }

    /// Largest answer that the client takes.
    fn bytes_max(&self, transport: Transport) -> usize {
        match transport {
            Transport::Tcp => u16::MAX.into(),
            Transport::Udp => {
                let announced = self.query.edns.as_ref().map_or(0, |edns| edns.max_payload());
                announced.clamp(UDP_BYTES_MIN, UDP_PAYLOAD_BYTES).into()
            }
        }
    }

    /// There is no such host.
    pub(super) fn nxdomain(&self) -> Option<Vec<u8>> {
        let mut reply = self.reply(ResponseCode::NXDomain);
        self.add_authority(&mut reply);
        reply.to_vec().ok()
    }

    /// It cannot be known now.
    pub(super) fn servfail(&self) -> Option<Vec<u8>> {
        self.reply(ResponseCode::ServFail).to_vec().ok()
    }

    fn refused(&self) -> Option<Vec<u8>> {
        self.reply(ResponseCode::Refused).to_vec().ok()
    }

    fn reply(&self, code: ResponseCode) -> Message {
        let asked = &self.query.metadata;
        let mut reply = Message::new(asked.id, MessageType::Response, asked.op_code);
        reply.metadata = Metadata::response_from_request(asked);
        reply.metadata.response_code = code;
        // Both set: glibc takes an empty answer with neither for a lame server and goes to the next one.
        reply.metadata.authoritative = true;
        reply.metadata.recursion_available = true;
        reply.add_queries(self.query.queries.iter().cloned());
        if self.query.edns.is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(UDP_PAYLOAD_BYTES);
            reply.set_edns(edns);
        }
        reply
    }

    /// Negative answers carry how long they hold (RFC 2308).
    fn add_authority(&self, reply: &mut Message) {
        let Some(question) = self.query.queries.first() else { return };
        let zone = question.name().base_name();
        let soa = SOA::new(Name::root(), Name::root(), 1, 3600, 600, 86_400, ABSENT_TTL_S);
        reply.add_authority(Record::from_rdata(zone, ABSENT_TTL_S, RData::SOA(soa)));
    }
}

fn rdata(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(v4) => RData::A(A(v4)),
        IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
    }
}

fn error(id: u16, op_code: OpCode, code: ResponseCode) -> Verdict {
    Message::error_msg(id, op_code, code).to_vec().map_or(Verdict::Drop, Verdict::Reply)
}
