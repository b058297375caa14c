//! HTTP/2 connections of one worker: to workloads, to gateways, through gateways to workloads, and without
//! TLS to the local application or a plain backend. One per key, and further ones where the other end's limit of
//! streams is in use; whoever comes while one is being made waits for the same.

use crate::upstream::connect::{
    Age, CONNECT_TIMEOUT, Connector, Http2Connection, Meeting, MeshPath, Through,
};
use crate::upstream::reauthenticate::SpentConnections;
use crate::upstream::{Place, PlaceKey};
use decide::hash::QuickMap;
use model::service::{Endpoint, Reach};
use model::{Hostname, Reason, SpiffeId};
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// Most inner connections of one worker to one service through one gateway; fewer when the endpoint's weight
/// is smaller.
const LANES_MAX: u32 = 4;
/// Most connections of one worker for one key. More streams than they may have open wait for
/// [`CONNECT_TIMEOUT`], then [`Reason::UpstreamOverflow`].
pub(crate) const CONNECTIONS_PER_KEY_MAX: usize = 16;
/// Idle timeout of a connection without streams.
const IDLE_MAX: Duration = Duration::from_secs(300);

/// What a connection is kept under. A worker has one identity of its own, so where it goes is enough. One that is
/// only looked up borrows its names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum PoolKey<'a> {
    /// The proxy of a workload on this network.
    Workload(Cow<'a, str>),
    /// A gateway's mesh port.
    Gateway(SocketAddr),
    /// Through a gateway to a service's port, by the uid of its endpoint there: that says cluster, gateway and host. Each
    /// of a few lanes may end at another workload.
    Through { uid: Cow<'a, str>, port: u16, lane: u32 },
    /// An application that wants HTTP/2.
    Plain(PlaceKey),
}

impl PoolKey<'_> {
    fn into_owned(self) -> PoolKey<'static> {
        match self {
            Self::Workload(uid) => PoolKey::Workload(Cow::Owned(uid.into_owned())),
            Self::Gateway(address) => PoolKey::Gateway(address),
            Self::Through { uid, port, lane } => {
                PoolKey::Through { uid: Cow::Owned(uid.into_owned()), port, lane }
            }
            Self::Plain(address) => PoolKey::Plain(address),
        }
    }
}

/// All HTTP/2 connections of a worker.
pub(crate) struct Http2Pool {
    slots: RefCell<QuickMap<PoolKey<'static>, Vec<Slot>>>,
    /// Those that are given out no more.
    spent: SpentConnections,
    connector: Rc<Connector>,
}

type Outcome = Option<Result<Rc<Http2Connection>, Reason>>;

enum Slot {
    Connecting(watch::Receiver<Outcome>),
    Ready { connection: Rc<Http2Connection>, used: Cell<Instant> },
}

/// A connection and whether it carried something before.
pub(crate) struct Leased {
    /// The connection.
    pub(crate) connection: Rc<Http2Connection>,
    /// Whether it was there already.
    pub(crate) age: Age,
}

/// How many connections one worker may have to a service through the gateway that this endpoint is, so that they
/// end at several workloads.
pub(crate) fn lanes(endpoint: &Endpoint) -> u32 {
    match endpoint.reach {
        Reach::Gateway => endpoint.weight.clamp(1, LANES_MAX),
        Reach::Native | Reach::Hbone | Reach::Plain => 1,
    }
}

impl Http2Pool {
    /// An empty pool.
    pub(crate) fn new(connector: Rc<Connector>) -> Rc<Self> {
        Rc::new(Self { slots: RefCell::default(), spent: SpentConnections::default(), connector })
    }

    /// The connection to `endpoint` for `host:port`, opened when there is none; `lane` is below [`lanes`]. A
    /// connection that shows an identity no longer expected is not used any more.
    ///
    /// # Errors
    /// Why it could not be opened; all who waited for it get the same.
    pub(crate) async fn lease(
        self: &Rc<Self>,
        endpoint: &Endpoint,
        host: &Hostname,
        port: u16,
        lane: u32,
    ) -> Result<Leased, Reason> {
        let expected = Some(&*endpoint.identities);
        match endpoint.reach {
            Reach::Native => {
                let key = PoolKey::Workload(Cow::Borrowed(&endpoint.uid));
                if let Some(leased) = self.find_ready(&key, expected) {
                    return Ok(leased);
                }
                let address = SocketAddr::new(endpoint.address, model::address::PORT_MESH);
                Box::pin(self.open_mesh(key, address, &endpoint.identities)).await
            }
            Reach::Gateway => {
                let gateway = SocketAddr::new(endpoint.address, endpoint.port);
                let key = PoolKey::Through { uid: Cow::Borrowed(&endpoint.uid), port, lane };
                if let Some(leased) = self.find_ready(&key, expected) {
                    return Ok(leased);
                }
                let identity = endpoint.gateway_identity.as_ref().ok_or(Reason::ConnectFailed)?;
                let open = || {
                    let (pool, expected) = (Rc::clone(self), endpoint.identities.clone());
                    let (host, identity) = (host.clone(), identity.clone());
                    let through = Through { gateway, identity, host, port };
                    async move { pool.open_through(through, None, &expected).await }
                };
                Box::pin(self.wait_or_open(key, expected, open)).await
            }
            Reach::Hbone | Reach::Plain => Err(Reason::ConnectFailed),
        }
    }

    /// The connection to an application that wants HTTP/2.
    ///
    /// # Errors
    /// As [`Http2Pool::lease`].
    pub(crate) async fn lease_plain(self: &Rc<Self>, to: Place<'_>) -> Result<Leased, Reason> {
        let key = PoolKey::Plain(to.key());
        if let Some(leased) = self.find_ready(&key, None) {
            return Ok(leased);
        }
        let open = || {
            let (connector, tls, pool) = (Rc::clone(&self.connector), to.tls().cloned(), to.pool().cloned());
            let (address, other) = (to.address, to.other());
            async move { connector.open_plain(address, other, tls.as_ref(), pool.as_deref()).await }
        };
        Box::pin(self.wait_or_open(key, None, open)).await
    }

    /// The outer connection to a gateway.
    ///
    /// # Errors
    /// As [`Http2Pool::lease`].
    pub(crate) async fn lease_gateway(
        self: &Rc<Self>,
        address: SocketAddr,
        identity: &SpiffeId,
    ) -> Result<Leased, Reason> {
        let identities = std::slice::from_ref(identity);
        match self.find_ready(&PoolKey::Gateway(address), Some(identities)) {
            Some(leased) => Ok(leased),
            None => self.open_mesh(PoolKey::Gateway(address), address, identities).await,
        }
    }

    async fn open_mesh(
        self: &Rc<Self>,
        key: PoolKey<'_>,
        address: SocketAddr,
        expected: &[SpiffeId],
    ) -> Result<Leased, Reason> {
        let open = || {
            let (connector, expected) = (Rc::clone(&self.connector), expected.to_vec());
            async move { connector.open_mesh(address, &expected).await }
        };
        self.wait_or_open(key, Some(expected), open).await
    }

    async fn open_through(
        self: &Rc<Self>,
        through: Through,
        uid: Option<&str>,
        expected: &[SpiffeId],
    ) -> Result<Rc<Http2Connection>, Reason> {
        let outer = self.lease_gateway(through.gateway, &through.identity).await?;
        self.connector.open_through(&outer.connection, through, uid, expected).await
    }

    /// Waits for a connection that is being made or for room on those that there are; else has one made by `open`.
    async fn wait_or_open<F>(
        self: &Rc<Self>,
        key: PoolKey<'_>,
        expected: Option<&[SpiffeId]>,
        open: impl Fn() -> F,
    ) -> Result<Leased, Reason>
    where
        F: Future<Output = Result<Rc<Http2Connection>, Reason>> + 'static,
    {
        let key = key.into_owned();
        let mut is_second = false;
        let mut until = None;
        loop {
            let (mut outcome, is_ours) = match self.find(&key, expected) {
                Availability::Ready(connection) => return Ok(Leased { connection, age: Age::Reused }),
                Availability::Full(connections) => {
                    wait_for_room(&connections, *until.get_or_insert_with(deadline)).await?;
                    continue;
                }
                Availability::Connecting(outcome) => (outcome, false),
                Availability::Nothing => (self.start(&key, open()), true),
            };
            let connected = outcome.wait_for(Option::is_some).await.map_err(|_| Reason::ConnectFailed)?;
            match &*connected {
                Some(Ok(connection)) if connection.is_one_of(expected) => {
                    if connection.has_room() {
                        return Ok(Leased { connection: Rc::clone(connection), age: Age::Fresh });
                    }
                    // Others who waited for it were quicker.
                    if *until.get_or_insert_with(deadline) <= Instant::now() {
                        return Err(Reason::UpstreamOverflow);
                    }
                }
                // Who began to connect may have expected others than we do. That is nothing against the
                // endpoint, so look for them ourselves, once.
                Some(Ok(_)) if is_ours || is_second => return Err(Reason::TlsFailed),
                Some(Err(reason)) if is_ours || is_second || *reason != Reason::TlsFailed => {
                    return Err(*reason);
                }
                Some(_) => is_second = true,
                None => return Err(Reason::ConnectFailed),
            }
        }
    }

    /// One that is there and has room, as most times there is.
    fn find_ready(&self, key: &PoolKey<'_>, expected: Option<&[SpiffeId]>) -> Option<Leased> {
        let slots = self.slots.borrow();
        slots_of(&slots, key)?.iter().find_map(|slot| match slot {
            Slot::Ready { connection, used } if is_usable(connection, expected) && connection.has_room() => {
                used.set(Instant::now());
                Some(Leased { connection: Rc::clone(connection), age: Age::Reused })
            }
            _ => None,
        })
    }

    /// What there is, after what cannot be used any more is gone.
    fn find(&self, key: &PoolKey<'static>, expected: Option<&[SpiffeId]>) -> Availability {
        let mut slots = self.slots.borrow_mut();
        let Some(of_key) = slots.get_mut(key) else { return Availability::Nothing };
        of_key.retain(|slot| match slot {
            Slot::Connecting(_) => true,
            Slot::Ready { connection, .. } => {
                self.spent.keep(connection);
                is_usable(connection, expected)
            }
        });
        let (mut full, mut connecting) = (Vec::new(), None);
        for slot in of_key {
            match slot {
                Slot::Connecting(outcome) => connecting = Some(outcome.clone()),
                Slot::Ready { connection, used } if connection.has_room() => {
                    used.set(Instant::now());
                    return Availability::Ready(Rc::clone(connection));
                }
                Slot::Ready { connection, .. } => full.push(Rc::clone(connection)),
            }
        }
        match connecting {
            Some(outcome) => Availability::Connecting(outcome),
            None if full.len() >= CONNECTIONS_PER_KEY_MAX => Availability::Full(full),
            None => Availability::Nothing,
        }
    }

    /// Opens in a task of its own, so that the first request may be cancelled without hurting the others.
    fn start(
        self: &Rc<Self>,
        key: &PoolKey<'static>,
        connecting: impl Future<Output = Result<Rc<Http2Connection>, Reason>> + 'static,
    ) -> watch::Receiver<Outcome> {
        let (result_tx, outcome) = watch::channel(None);
        let slot = Slot::Connecting(outcome.clone());
        self.slots.borrow_mut().entry(key.clone()).or_default().push(slot);
        let opener = Opener { pool: Rc::clone(self), key: key.clone(), result_tx };
        self.connector.tasks().spawn_local("mesh connect", async move {
            let connected = connecting.await;
            opener.finish(Some(connected));
        });
        outcome
    }

    /// Puts the outcome of a connect where the next request finds it.
    fn finish(&self, key: &PoolKey<'static>, outcome: &Outcome) {
        let mut slots = self.slots.borrow_mut();
        let Some(of_key) = slots.get_mut(key) else { return };
        let is_connecting = |slot: &Slot| matches!(slot, Slot::Connecting(_));
        let Some(at) = of_key.iter().position(is_connecting) else { return };
        match outcome {
            Some(Ok(connection)) => {
                let used = Cell::new(Instant::now());
                of_key[at] = Slot::Ready { connection: Rc::clone(connection), used };
            }
            _ => drop(of_key.swap_remove(at)),
        }
    }

    /// Closes what is unused or broken, and has what outlives its certificates proved anew. Called now and then by the
    /// worker.
    pub(crate) fn sweep(self: &Rc<Self>, now: Instant) {
        self.slots.borrow_mut().retain(|_, of_key| {
            of_key.retain(|slot| match slot {
                Slot::Connecting(_) => true,
                Slot::Ready { connection, used } => {
                    self.spent.keep(connection);
                    let idle_max = connection.idle_max.unwrap_or(IDLE_MAX);
                    let is_idle = connection.active() == 0 && now.duration_since(used.get()) >= idle_max;
                    !(connection.is_spent() || is_idle)
                }
            });
            !of_key.is_empty()
        });
        if self.spent.sweep() {
            let pool = Rc::clone(self);
            self.connector.tasks().spawn_local("reauthenticate", async move {
                let own = || pool.connector.own_expires();
                pool.spent.reauthenticate(own, |meeting| pool.meet_anew(meeting)).await;
            });
        }
    }

    /// Opens a connection to a peer for its handshake alone.
    async fn meet_anew(self: &Rc<Self>, Meeting { peer, uid, path }: Meeting) {
        let expected = std::slice::from_ref(peer.id());
        let met = match path {
            MeshPath::Direct(address) => self.connector.open_mesh(address, expected).await,
            MeshPath::Through(through) => self.open_through(through, Some(&uid), expected).await,
        };
        match met {
            // Until its first frame it may not have accepted our certificate.
            Ok(connection) => drop(timeout_at(deadline(), connection.sender.settled()).await),
            Err(reason) => {
                let (callee, reason) = (peer.id(), reason.row().code);
                tracing::info!(%callee, %uid, reason, "a long connection could not be proved anew yet");
            }
        }
    }

    /// Connections open or being opened.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.slots.borrow().values().map(Vec::len).sum()
    }

    /// Lets go of all; streams under way go on.
    pub(crate) fn clear(&self) {
        self.slots.borrow_mut().clear();
        self.spent.clear();
    }
}

/// The lifetime of a map's keys may shrink while it is only read, so that a borrowed key is enough to look.
fn slots_of<'m, 'k>(slots: &'m QuickMap<PoolKey<'k>, Vec<Slot>>, key: &PoolKey<'k>) -> Option<&'m Vec<Slot>> {
    slots.get(key)
}

fn is_usable(connection: &Http2Connection, expected: Option<&[SpiffeId]>) -> bool {
    !connection.is_spent() && connection.is_one_of(expected)
}

enum Availability {
    /// It has room for a stream.
    Ready(Rc<Http2Connection>),
    /// One is being made.
    Connecting(watch::Receiver<Outcome>),
    /// As many as there may be, and none of them has room.
    Full(Vec<Rc<Http2Connection>>),
    /// None that has room.
    Nothing,
}

fn deadline() -> Instant {
    Instant::now() + CONNECT_TIMEOUT
}

/// Waits until one of `connections` may have room.
async fn wait_for_room(connections: &[Rc<Http2Connection>], until: Instant) -> Result<(), Reason> {
    let freed = connections.iter().map(|connection| Box::pin(connection.sender.freed()));
    match timeout_at(until, futures_util::future::select_all(freed)).await {
        Ok(_) => Ok(()),
        Err(_) => Err(Reason::UpstreamOverflow),
    }
}

/// Who makes a connection that others wait for.
struct Opener {
    pool: Rc<Http2Pool>,
    key: PoolKey<'static>,
    result_tx: watch::Sender<Outcome>,
}

impl Opener {
    fn finish(&self, outcome: Outcome) {
        self.pool.finish(&self.key, &outcome);
        self.result_tx.send_replace(outcome);
    }
}

impl Drop for Opener {
    /// Aborted, or panicked: its slot would keep everybody waiting for nobody.
    fn drop(&mut self) {
        if self.result_tx.borrow().is_none() {
            self.finish(Some(Err(Reason::ConnectFailed)));
        }
    }
}
