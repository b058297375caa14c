//! The proxy's own name server, to which a workload's port 53 is captured.
//!
//! Names of the mesh are answered from the configuration, asking the control plane on first use: absent is
//! NXDOMAIN where the mesh owns the zone, a missing family NODATA, a broken stream SERVFAIL. All else goes to the
//! name server that was asked ([`forward`]). Search domains and `ndots` are the client's business. Never cached
//! here. Read [`sockets`] for how queries come in.

mod addresses;
mod answer;
mod asked;
mod cache;
mod captured;
mod exchange;
mod forward;
mod headless;
mod resolver;
mod route;
mod sockets;
#[cfg(test)]
mod tests;

pub(crate) use cache::NameCache;
pub(crate) use captured::Captured;
pub use forward::Forwarder;
pub(crate) use route::{IsReached, has_route};
pub use sockets::{Sockets, bind, serve};

use crate::lookup::{Found, Lookup, Unavailable};
use crate::snapshot::{HostEntry, Snapshot, SnapshotStore};
use answer::{MeshAddresses, Question, Verdict};
use model::Hostname;
use model::names::Zone;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Queries over UDP that wait for a name server outside. More get SERVFAIL at once; names of the mesh do not
/// count here and never wait for these.
const FORWARDED_UDP_MAX: usize = 512;
/// The same over TCP, where each also holds a connection.
const FORWARDED_TCP_MAX: usize = 128;
/// Descriptors at most: who waits for servers outside, and connections of clients.
pub(crate) const DESCRIPTORS_MAX: usize =
    FORWARDED_UDP_MAX + FORWARDED_TCP_MAX + forward::FURTHER_SOCKETS_MAX + sockets::CONNECTIONS_MAX;
/// Queries that wait for the control plane. More get SERVFAIL at once.
const LOOKED_UP_MAX: usize = 512;

/// How a query came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// One datagram each way.
    Udp,
    /// Length-prefixed.
    Tcp,
}

/// Answers queries.
pub struct Dns {
    store: Arc<SnapshotStore>,
    lookup: Lookup,
    forward: Forwarder,
    captured: Arc<Captured>,
    is_reached: IsReached,
    forwarded_udp: Semaphore,
    forwarded_tcp: Semaphore,
    looked_up: Semaphore,
}

/// What is known of a query at once.
enum Now {
    /// This is the answer; `None`: nothing is sent (it was no query at all).
    Answered(Option<Vec<u8>>),
    /// Somebody else has to be asked.
    Wait(Verdict),
}

impl Dns {
    /// Answers from `store` and `lookup`, and from `forward` for what is not the mesh's. Only addresses that are captured are
    /// told, those of IPv6 where `is_reached` says that a connection could be opened.
    pub(crate) fn new(
        store: Arc<SnapshotStore>,
        lookup: Lookup,
        forward: Forwarder,
        captured: Arc<Captured>,
        is_reached: IsReached,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            lookup,
            forward,
            captured,
            is_reached,
            forwarded_udp: Semaphore::new(FORWARDED_UDP_MAX),
            forwarded_tcp: Semaphore::new(FORWARDED_TCP_MAX),
            looked_up: Semaphore::new(LOOKED_UP_MAX),
        })
    }

    /// Answers a query if nobody needs to be asked.
    fn answer_now(&self, query: &[u8], transport: Transport) -> Now {
        let snapshot = self.store.snapshot();
        match answer::classify(query, &snapshot) {
            Verdict::Drop => Now::Answered(None),
            Verdict::Reply(reply) => Now::Answered(Some(reply)),
            Verdict::Mesh(question, zone) => match snapshot.host(question.host.as_str()) {
                Some(entry) => {
                    self.lookup.touch(entry);
                    Now::Answered(question.found(self.addresses(&snapshot, entry, &question), transport))
                }
                None => Now::Wait(Verdict::Mesh(question, zone)),
            },
            other => Now::Wait(other),
        }
    }

    /// Asks whoever knows. `asked` is the server that the client sent the query to, if that is known.
    async fn answer_later(
        &self,
        verdict: Verdict,
        query: &[u8],
        transport: Transport,
        asked: Option<SocketAddr>,
    ) -> Option<Vec<u8>> {
        match verdict {
            Verdict::Drop => None,
            Verdict::Reply(reply) => Some(reply),
            // An update or a notification: only for the server that it was sent to.
            Verdict::Foreign(refusal) if asked.is_none() => Some(refusal),
            Verdict::Foreign(refusal) => {
                Some(self.ask_outside(query, transport, asked).await.unwrap_or(refusal))
            }
            Verdict::Forward(question) => self.answer_outside(&question, query, transport, asked).await,
            Verdict::Mesh(question, zone) => match (self.find(&question).await, zone) {
                (Ok(Some(addresses)), _) => question.found(addresses, transport),
                (Ok(None), Zone::Owned) => match self.is_apex(&question) {
                    true => question.found(MeshAddresses::NONE, transport),
                    false => question.nxdomain(),
                },
                (Err(unavailable), Zone::Owned) => {
                    tracing::debug!(host = %question.host, %unavailable, "a name could not be looked up");
                    question.servfail()
                }
                (Ok(None) | Err(_), Zone::Shared | Zone::Outside) => {
                    self.answer_outside(&question, query, transport, asked).await
                }
            },
        }
    }

    fn addresses(&self, snapshot: &Snapshot, entry: &HostEntry, question: &Question) -> MeshAddresses {
        if let Some(headless) = entry.service.headless {
            return MeshAddresses::of_workloads(headless::addresses(&entry.endpoints, headless));
        }
        // Addresses that somebody gave it are told as they are: it has no mesh-only one.
        let external = entry.service.external.as_deref();
        if let Some(external) = external.filter(|external| !external.addresses.is_empty()) {
            return MeshAddresses::of_service(external.told_addresses().collect());
        }
        let v4 = entry.service.address;
        let v6 = v4.filter(|_| question.wants_ipv6()).map(|v4| snapshot.settings.ipv6_prefix.address(v4));
        let v4 = v4.map(IpAddr::V4);
        let v6 = v6.filter(|v6| (self.is_reached)(*v6)).map(IpAddr::V6);
        let told = v4.into_iter().chain(v6).filter(|address| self.captured.takes(*address));
        MeshAddresses::of_service(told.collect())
    }

    fn is_apex(&self, question: &Question) -> bool {
        self.store.snapshot().names.is_apex(question.host.as_str())
    }

    /// The addresses of a host of the mesh, or of one workload of a headless service; `None`: it is neither.
    async fn find(&self, question: &Question) -> Result<Option<MeshAddresses>, Unavailable> {
        let _permit = self.looked_up.try_acquire().map_err(|_| Unavailable::TooMany)?;
        let found = self.lookup.host(&question.host).await?;
        if let Some((snapshot, entry)) = entry(&found, &question.host) {
            return Ok(Some(self.addresses(snapshot, entry, question)));
        }
        let Some((workload, service)) = headless::workload_of(&question.host) else { return Ok(None) };
        let found = self.lookup.host(&service).await?;
        let entry = entry(&found, &service).map(|(_, entry)| entry);
        let addresses =
            entry.and_then(|entry| headless::address(&entry.endpoints, entry.service.headless?, workload));
        Ok(addresses.map(|address| MeshAddresses::of_workloads(vec![address])))
    }

    async fn answer_outside(
        &self,
        question: &Question,
        query: &[u8],
        transport: Transport,
        asked: Option<SocketAddr>,
    ) -> Option<Vec<u8>> {
        let Some(reply) = self.ask_outside(query, transport, asked).await else { return question.servfail() };
        // Others do not know that names of the mesh lie below it (RFC 8020).
        if answer::is_nxdomain(&reply) && self.store.snapshot().names.has_below(question.host.as_str()) {
            return question.found(MeshAddresses::NONE, transport);
        }
        Some(reply)
    }

    async fn ask_outside(
        &self,
        query: &[u8],
        transport: Transport,
        asked: Option<SocketAddr>,
    ) -> Option<Vec<u8>> {
        let Some(_permit) = self.forward_permit(transport) else {
            tracing::debug!("too many queries wait for name servers outside");
            return None;
        };
        self.forward.ask(query, transport, asked).await
    }

    /// One of the queries that may wait for a name server outside.
    fn forward_permit(&self, transport: Transport) -> Option<SemaphorePermit<'_>> {
        let permits = match transport {
            Transport::Udp => &self.forwarded_udp,
            Transport::Tcp => &self.forwarded_tcp,
        };
        permits.try_acquire().ok()
    }
}

fn entry<'f>(found: &'f Found, host: &Hostname) -> Option<(&'f Snapshot, &'f HostEntry)> {
    match found {
        Found::Present(snapshot) => Some((snapshot, snapshot.host(host.as_str())?)),
        Found::Absent => None,
    }
}
