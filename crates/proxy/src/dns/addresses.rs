//! The addresses of a name, as name servers outside tell them: one query for each family, over TCP where the answer does
//! not fit into a datagram. Nothing is remembered: `names` does that.

use super::forward::Forwarder;
use super::{IsReached, Transport};
use decide::resolution::{NameAnswer, TTL_MIN};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use model::Hostname;
use std::net::IpAddr;
use std::time::Duration;

/// Largest datagram that we take, told in EDNS (the value of the 2020 DNS flag day).
const UDP_PAYLOAD_BYTES: u16 = 1232;

impl Forwarder {
    /// The addresses of both families, those of IPv6 first and only where `is_reached` says that they are of use.
    pub(crate) async fn find_addresses(&self, host: &Hostname, is_reached: IsReached) -> NameAnswer {
        if let Ok(ip) = host.as_str().parse::<IpAddr>() {
            return NameAnswer::Addresses(vec![ip], decide::resolution::TTL_MAX);
        }
        let (v6, v4) = tokio::join!(self.find(host, RecordType::AAAA), self.find(host, RecordType::A));
        let is_of_use = |ip: &IpAddr| match ip {
            IpAddr::V4(_) => true,
            IpAddr::V6(v6) => is_reached(*v6),
        };
        match (v6, v4) {
            (NameAnswer::Addresses(v6, long), NameAnswer::Addresses(v4, short)) => {
                NameAnswer::Addresses(v6.into_iter().filter(is_of_use).chain(v4).collect(), long.min(short))
            }
            (NameAnswer::Addresses(found, ttl), other) | (other, NameAnswer::Addresses(found, ttl)) => {
                let found: Vec<IpAddr> = found.into_iter().filter(is_of_use).collect();
                match (found.is_empty(), other) {
                    (true, NameAnswer::Failed) => NameAnswer::Failed,
                    (true, _) => NameAnswer::Absent(ttl),
                    (false, _) => NameAnswer::Addresses(found, ttl),
                }
            }
            (NameAnswer::Absent(one), NameAnswer::Absent(other)) => NameAnswer::Absent(one.min(other)),
            _ => NameAnswer::Failed,
        }
    }

    async fn find(&self, host: &Hostname, family: RecordType) -> NameAnswer {
        let Some(query) = query(host, family) else { return NameAnswer::Failed };
        let Some(mut reply) = self.ask(&query, Transport::Udp, None).await else { return NameAnswer::Failed };
        if is_truncated(&reply) {
            match self.ask(&query, Transport::Tcp, None).await {
                Some(whole) => reply = whole,
                None => return NameAnswer::Failed,
            }
        }
        answer(&reply)
    }
}

fn query(host: &Hostname, family: RecordType) -> Option<Vec<u8>> {
    let mut query = Message::new(0, MessageType::Query, OpCode::Query);
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(Name::from_ascii(format!("{host}.")).ok()?, family));
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_PAYLOAD_BYTES);
    query.set_edns(edns);
    query.to_vec().ok()
}

fn is_truncated(reply: &[u8]) -> bool {
    reply.get(2).is_some_and(|flags| flags & 0x02 != 0)
}

fn answer(reply: &[u8]) -> NameAnswer {
    let Ok(reply) = Message::from_vec(reply) else { return NameAnswer::Failed };
    let is_known = matches!(reply.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain);
    if !is_known {
        return NameAnswer::Failed;
    }
    let found = reply.answers.iter().filter_map(|record| match &record.data {
        RData::A(a) => Some(IpAddr::V4(a.0)),
        RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
        _ => None,
    });
    let found: Vec<IpAddr> = found.collect();
    let seconds = |s: u32| Duration::from_secs(s.into());
    if found.is_empty() {
        // RFC 2308 section 5.
        let soa = reply.authorities.iter().find_map(|record| match &record.data {
            RData::SOA(soa) => Some(seconds(record.ttl.min(soa.minimum))),
            _ => None,
        });
        return NameAnswer::Absent(soa.unwrap_or(TTL_MIN));
    }
    // An alias holds for as long as the shortest of all.
    let ttl = reply.answers.iter().map(|record| record.ttl).min().unwrap_or_default();
    NameAnswer::Addresses(found, seconds(ttl))
}
