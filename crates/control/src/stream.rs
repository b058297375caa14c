//! One control stream: who is at the other end, what it was sent and what it confirmed.

use crate::presence::Validity;
use crate::push::published::Published;
use model::{SpiffeId, Subscription};
use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::mpsc;
use translate::{ProxyKey, World};
use xds::proto::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use xds::server::{Catalog, Fault, ServerSession, SessionStatus};
use xds::wire::{Combined, Encoded};

/// Names a stream within this process.
pub type StreamId = u64;

/// Who is at the other end.
#[derive(Clone, Debug)]
pub enum StreamPeer {
    /// A registered proxy, proven by its certificate.
    Proxy {
        /// Of its registration.
        uid: Arc<str>,
        /// Of its certificate.
        identity: SpiffeId,
        /// Where it called from.
        remote: SocketAddr,
        /// Its group.
        key: ProxyKey,
        /// The certificate that it opened the stream with.
        shown: Validity,
        /// Version of its program, as it told.
        version: Arc<str>,
    },
    /// The gateway of this very process: it serves every `Gateway` there is.
    Local,
}

impl fmt::Display for StreamPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proxy { uid, .. } => f.write_str(uid),
            Self::Local => f.write_str("local"),
        }
    }
}

/// A stream as the world task sees it.
pub struct ControlStream {
    /// Who.
    pub peer: StreamPeer,
    session: ServerSession,
    tx: mpsc::Sender<DeltaDiscoveryResponse>,
    /// Responses sent, and how many of them were answered.
    sent: u64,
    answered: u64,
    nonce: String,
    has_nacked: bool,
    /// Responses up to this one are confirmed to run.
    confirmed: u64,
    /// Which revision of the API's objects travels in which response: one in flight, one gathered.
    awaited: Vec<(u64, u64)>,
    revision: u64,
}

/// Revisions that a stream may have under way: of the response in flight, and of what is gathered for the next one.
const AWAITED_MAX: usize = 2;

/// What a stream was just sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Resources in the message.
    pub resources: u64,
    /// Removals in it.
    pub removed: u64,
}

/// Where a stream stands with a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckState {
    /// It has confirmed it.
    Acked,
    /// It has refused something in it.
    Nacked,
    /// Not heard yet.
    Pending,
}

/// The other end does not take what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream does not take messages")]
pub struct QueueFull;

/// Why a stream must be ended after a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestFailure {
    /// The request is out of order.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// See [`QueueFull`].
    #[error(transparent)]
    QueueFull(#[from] QueueFull),
}

/// What all streams are served from.
#[derive(Clone, Copy)]
pub struct CatalogSource<'a> {
    /// Everything known.
    pub world: &'a World,
    /// What of it is in use.
    pub published: &'a Published,
    /// All gateways, for the gateway of this process.
    pub gateways: &'a [Subscription],
}

struct View<'a> {
    peer: &'a StreamPeer,
    source: CatalogSource<'a>,
}

impl Catalog for View<'_> {
    fn members(&self, subscription: &Subscription) -> Vec<Arc<Encoded>> {
        let own = match subscription {
            Subscription::Mesh | Subscription::Host(_) | Subscription::Address(_) => true,
            Subscription::Clusters => false,
            // What one group accepts is no other group's business.
            _ => self.implied().contains(subscription),
        };
        if own { self.source.published.members(subscription, self.source.world) } else { Vec::new() }
    }

    fn implied(&self) -> Vec<Subscription> {
        match self.peer {
            StreamPeer::Proxy { key, .. } => translate::visible(key, self.source.world),
            StreamPeer::Local => {
                let mut all = vec![Subscription::Mesh];
                all.extend_from_slice(self.source.gateways);
                all
            }
        }
    }
}

impl ControlStream {
    /// A new stream; responses go to `tx`.
    pub fn new(
        peer: StreamPeer,
        tx: mpsc::Sender<DeltaDiscoveryResponse>,
        wall: impl Fn() -> SystemTime + Send + 'static,
    ) -> Self {
        let session = ServerSession::new(wall);
        Self {
            peer,
            session,
            tx,
            sent: 0,
            answered: 0,
            nonce: String::new(),
            has_nacked: false,
            confirmed: 0,
            awaited: Vec::new(),
            revision: 0,
        }
    }

    /// Takes a request and sends what it asks for.
    pub fn on_request(
        &mut self,
        request: DeltaDiscoveryRequest,
        source: CatalogSource<'_>,
    ) -> Result<Sent, RequestFailure> {
        if !request.response_nonce.is_empty() && request.response_nonce == self.nonce {
            self.answered = self.sent;
            self.has_nacked = request.error_detail.is_some();
            // The session still stands as it did when it sent that response.
            let all = Some(self.session.status().sent);
            if !self.has_nacked && Combined::from_bytes(&request.applied) == all {
                self.confirmed = self.sent;
            }
        }
        let view = View { peer: &self.peer, source };
        let response = self.session.on_request(request, &view)?;
        let sent = self.send(response);
        self.settle_revision();
        Ok(sent?)
    }

    /// What carries `sequence` (see [`ControlStream::sequence`]) carries this revision of the API's objects too.
    pub fn expect_revision(&mut self, sequence: u64, revision: u64) {
        self.awaited.retain(|(other, _)| *other != sequence);
        self.awaited.push((sequence, revision));
        // A proxy that refuses each response confirms none; a later revision is all that counts then.
        self.awaited.drain(..self.awaited.len().saturating_sub(AWAITED_MAX));
        self.settle_revision();
    }

    fn settle_revision(&mut self) {
        let (confirmed, all) = (self.confirmed, self.session.status().synced);
        let reached = self.awaited.extract_if(.., |(sequence, _)| all || *sequence <= confirmed);
        self.revision = reached.map(|(_, revision)| revision).fold(self.revision, u64::max);
    }

    /// The revision of the API's objects up to which the proxy confirmed to run all that concerns it.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Sends what changed.
    pub fn on_change(
        &mut self,
        changed: &HashSet<Subscription>,
        source: CatalogSource<'_>,
    ) -> Result<Sent, QueueFull> {
        let view = View { peer: &self.peer, source };
        let response = self.session.on_change(changed, &view);
        self.send(response)
    }

    fn send(&mut self, response: Option<DeltaDiscoveryResponse>) -> Result<Sent, QueueFull> {
        let Some(response) = response else { return Ok(Sent::default()) };
        let sent = Sent {
            resources: response.resources.len() as u64,
            removed: response.removed_resources.len().saturating_sub(response.absent.len()) as u64,
        };
        self.sent += 1;
        self.nonce.clone_from(&response.nonce);
        // The session keeps at most one response in flight, so the queue has room unless the stream is dead.
        self.tx.try_send(response).map_err(|_| QueueFull)?;
        Ok(sent)
    }

    /// Taken before a change is sent: the sequence that stands for having confirmed it. Whether the change goes
    /// out at once or waits for the response in flight, it travels in the next one.
    pub fn sequence(&self) -> u64 {
        self.sent + 1
    }

    /// The sequence that stands for having confirmed all that was sent so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// How far the stream is with what had this sequence.
    pub fn ack_state(&self, sequence: u64) -> AckState {
        let idle = self.sent == self.answered;
        match (self.answered >= sequence || idle, self.has_nacked) {
            (false, _) => AckState::Pending,
            (true, false) => AckState::Acked,
            (true, true) => AckState::Nacked,
        }
    }

    /// What it is subscribed to.
    pub fn subscriptions(&self) -> impl Iterator<Item = &Subscription> {
        self.session.subscriptions()
    }

    /// How far the proxy is.
    pub fn status(&self) -> SessionStatus {
        self.session.status()
    }
}
