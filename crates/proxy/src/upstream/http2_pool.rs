//! HTTP/2 connections of one worker: to workloads, to gateways, through gateways to workloads, and without
//! TLS to the local application or a plain backend. One per key, and further ones where the other end's limit of
//! streams is in use; whoever comes while one is being made waits for the same.
//!
//! A worker has one source identity, so the key is where it goes: the endpoint, and for a connection through
//! a gateway the service and one of a few lanes, because each lane may end at another workload.

use crate::failure::Failure;
use crate::upstream::CONNECT_TIMEOUT;
use crate::upstream::connect::{self, Connection};
use crate::worker::Worker;
use decide::hash::QuickMap;
use model::service::{Endpoint, Reach};
use model::{Hostname, Reason, SpiffeId};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// Most inner connections of one worker to one service through one gateway; fewer when the endpoint's weight
/// is smaller.
const LANES_MAX: u32 = 4;
/// Most connections of one worker for one key (and lane). More streams than they may have open wait for
/// [`CONNECT_TIMEOUT`], then [`Reason::UpstreamOverflow`].
pub(crate) const CONNECTIONS_PER_KEY_MAX: usize = 16;
/// A connection without streams for so long is closed.
const IDLE_MAX: Duration = Duration::from_secs(300);

/// Where a connection goes.
#[derive(Clone, Debug)]
pub(crate) enum Transport {
    /// A workload's proxy on this network.
    Direct {
        /// Its mesh port.
        address: SocketAddr,
        /// Who must answer.
        identities: Vec<SpiffeId>,
    },
    /// A workload of another network, through its gateway.
    Through {
        /// The gateway's mesh port.
        gateway: SocketAddr,
        /// Who must answer there.
        gateway_identity: SpiffeId,
        /// What is asked for.
        service: (Hostname, u16),
        /// Who must answer inside.
        identities: Vec<SpiffeId>,
    },
    /// The local application, HTTP/2 without TLS.
    Application {
        /// Where it listens.
        address: SocketAddr,
    },
}

/// All HTTP/2 connections of a worker.
#[derive(Default)]
pub(crate) struct Pool {
    slots: RefCell<QuickMap<Rc<str>, Vec<Slot>>>,
}

struct Slot {
    /// Service and port for a connection through a gateway.
    service: Option<(Hostname, u16)>,
    lane: u32,
    state: State,
}

type Outcome = Option<Result<Rc<Connection>, Failure>>;

enum State {
    Connecting(watch::Receiver<Outcome>),
    Ready { connection: Rc<Connection>, used: Instant },
}

/// A connection and whether it carried something before.
pub(crate) struct Leased {
    /// The connection.
    pub(crate) connection: Rc<Connection>,
    /// Whether it was there already.
    pub(crate) age: super::http1_pool::Age,
}

/// The way to an endpoint that is reached by the mesh transport; `None` for one that is not.
pub(crate) fn transport(endpoint: &Endpoint, host: &Hostname, port: u16) -> Option<Transport> {
    match endpoint.reach {
        Reach::Native => Some(Transport::Direct {
            address: SocketAddr::new(endpoint.address, model::address::PORT_MESH),
            identities: endpoint.identities.clone(),
        }),
        Reach::Gateway => Some(Transport::Through {
            gateway: SocketAddr::new(endpoint.address, endpoint.port),
            gateway_identity: endpoint.gateway_identity.clone()?,
            service: (host.clone(), port),
            identities: endpoint.identities.clone(),
        }),
        Reach::Hbone | Reach::Plain => None,
    }
}

impl Pool {
    /// The connection to `endpoint` for `service`, opened when there is none. A connection that shows an
    /// identity no longer expected is not used any more.
    ///
    /// # Errors
    /// Why it could not be opened; all who waited for it get the same.
    pub(crate) async fn lease(
        worker: &Rc<Worker>,
        endpoint: &Endpoint,
        host: &Hostname,
        port: u16,
    ) -> Result<Leased, Failure> {
        let is_through = endpoint.reach == Reach::Gateway;
        let lane = if is_through { worker.below(endpoint.weight.clamp(1, LANES_MAX)) } else { 0 };
        let service = is_through.then_some((host, port));
        let expected = Some(endpoint.identities.as_slice());
        let make_transport = || transport(endpoint, host, port).ok_or(Reason::ConnectFailed.into());
        Self::lease_slot(worker, &endpoint.uid, service, lane, expected, make_transport).await
    }

    /// The connection to an application that wants HTTP/2.
    ///
    /// # Errors
    /// As [`Pool::lease`].
    pub(crate) async fn lease_application(
        worker: &Rc<Worker>,
        address: SocketAddr,
    ) -> Result<Leased, Failure> {
        let key = format!("app:{address}");
        Self::lease_slot(worker, &key, None, 0, None, || Ok(Transport::Application { address })).await
    }

    /// The outer connection to a gateway.
    ///
    /// # Errors
    /// As [`Pool::lease`].
    pub(crate) async fn lease_gateway(
        worker: &Rc<Worker>,
        address: SocketAddr,
        identity: &SpiffeId,
    ) -> Result<Leased, Failure> {
        let key = format!("gateway:{address}");
        let identities = vec![identity.clone()];
        let make_transport = || Ok(Transport::Direct { address, identities: identities.clone() });
        Self::lease_slot(worker, &key, None, 0, Some(&identities), make_transport).await
    }

    async fn lease_slot(
        worker: &Rc<Worker>,
        key: &str,
        service: Option<(&Hostname, u16)>,
        lane: u32,
        expected: Option<&[SpiffeId]>,
        make_transport: impl Fn() -> Result<Transport, Failure>,
    ) -> Result<Leased, Failure> {
        use super::http1_pool::Age;
        let mut is_second = false;
        let mut until = None;
        loop {
            let (mut outcome, is_ours) = match worker.mesh.find(key, service, lane, expected) {
                Found::Ready(connection) => return Ok(Leased { connection, age: Age::Reused }),
                Found::Full(connections) => {
                    wait_for_room(&connections, *until.get_or_insert_with(deadline)).await?;
                    continue;
                }
                Found::Connecting(outcome) => (outcome, false),
                Found::Nothing => (start(worker, key, service, lane, make_transport()?), true),
            };
            let connected = outcome.wait_for(Option::is_some).await.map_err(|_| Reason::ConnectFailed)?;
            match &*connected {
                Some(Ok(connection)) if expected.is_none_or(|expected| connection.is_one_of(expected)) => {
                    if connection.has_room() {
                        return Ok(Leased { connection: Rc::clone(connection), age: Age::Fresh });
                    }
                    // Others who waited for it were quicker.
                    if *until.get_or_insert_with(deadline) <= Instant::now() {
                        return Err(Reason::UpstreamOverflow.into());
                    }
                }
                // Who began to connect may have expected others than we do. That is nothing against the
                // endpoint, so look for them ourselves, once.
                Some(Ok(_)) if is_ours || is_second => return Err(Reason::TlsFailed.into()),
                Some(Err(failure)) if is_ours || is_second || failure.reason != Reason::TlsFailed => {
                    return Err(failure.clone());
                }
                Some(_) => is_second = true,
                None => return Err(Reason::ConnectFailed.into()),
            }
        }
    }

    fn find(
        &self,
        key: &str,
        service: Option<(&Hostname, u16)>,
        lane: u32,
        expected: Option<&[SpiffeId]>,
    ) -> Found {
        let mut slots = self.slots.borrow_mut();
        let Some(of_key) = slots.get_mut(key) else { return Found::Nothing };
        let (mut full, mut connecting) = (Vec::new(), None);
        let mut at = 0;
        while at < of_key.len() {
            let slot = &mut of_key[at];
            if !slot.set_host(service, lane) {
                at += 1;
                continue;
            }
            match &mut slot.state {
                State::Connecting(outcome) => connecting = Some(outcome.clone()),
                State::Ready { connection, used } => {
                    let is_expected = expected.is_none_or(|expected| connection.is_one_of(expected));
                    if connection.is_spent() || !is_expected {
                        of_key.swap_remove(at);
                        continue;
                    }
                    if connection.has_room() {
                        *used = Instant::now();
                        return Found::Ready(Rc::clone(connection));
                    }
                    full.push(Rc::clone(connection));
                }
            }
            at += 1;
        }
        match connecting {
            Some(outcome) => Found::Connecting(outcome),
            None if full.len() >= CONNECTIONS_PER_KEY_MAX => Found::Full(full),
            None => Found::Nothing,
        }
    }

    /// Puts the outcome of a connect where the next request finds it.
    fn finish(&self, key: &str, service: Option<(&Hostname, u16)>, lane: u32, outcome: &Outcome) {
        let mut slots = self.slots.borrow_mut();
        let Some(of_key) = slots.get_mut(key) else { return };
        let is_it = |slot: &Slot| slot.set_host(service, lane) && matches!(slot.state, State::Connecting(_));
        let Some(at) = of_key.iter().position(is_it) else { return };
        match outcome {
            Some(Ok(connection)) => {
                of_key[at].state = State::Ready { connection: Rc::clone(connection), used: Instant::now() };
            }
            _ => drop(of_key.swap_remove(at)),
        }
    }

    /// Closes what is unused or broken. Called now and then by the worker.
    pub(crate) fn sweep(&self, now: Instant) {
        self.slots.borrow_mut().retain(|_, of_key| {
            of_key.retain(|slot| match &slot.state {
                State::Connecting(_) => true,
                State::Ready { connection, used } => {
                    let is_idle = connection.active() == 0 && now.duration_since(*used) >= IDLE_MAX;
                    !(connection.is_spent() || is_idle)
                }
            });
            !of_key.is_empty()
        });
    }

    /// Connections open or being opened.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.slots.borrow().values().map(Vec::len).sum()
    }

    /// Lets go of all; streams under way go on.
    pub(crate) fn clear(&self) {
        self.slots.borrow_mut().clear();
    }
}

enum Found {
    /// It has room for a stream.
    Ready(Rc<Connection>),
    /// One is being made.
    Connecting(watch::Receiver<Outcome>),
    /// As many as there may be, and none of them has room.
    Full(Vec<Rc<Connection>>),
    /// None that has room.
    Nothing,
}

fn deadline() -> Instant {
    Instant::now() + CONNECT_TIMEOUT
}

/// Waits until one of `connections` may have room.
async fn wait_for_room(connections: &[Rc<Connection>], until: Instant) -> Result<(), Failure> {
    let freed = connections.iter().map(|connection| Box::pin(connection.sender.freed()));
    match timeout_at(until, futures_util::future::select_all(freed)).await {
        Ok(_) => Ok(()),
        Err(_) => Err(Reason::UpstreamOverflow.into()),
    }
}

impl Slot {
    fn set_host(&self, service: Option<(&Hostname, u16)>, lane: u32) -> bool {
        self.lane == lane && self.service.as_ref().map(|(host, port)| (host, *port)) == service
    }
}

/// Opens in a task of its own, so that the first request may be cancelled without hurting the others.
fn start(
    worker: &Rc<Worker>,
    key: &str,
    service: Option<(&Hostname, u16)>,
    lane: u32,
    transport: Transport,
) -> watch::Receiver<Outcome> {
    let (told, outcome) = watch::channel(None);
    let service = service.map(|(host, port)| (host.clone(), port));
    let key: Rc<str> = key.into();
    let slot = Slot { service: service.clone(), lane, state: State::Connecting(outcome.clone()) };
    worker.mesh.slots.borrow_mut().entry(Rc::clone(&key)).or_default().push(slot);
    let opener = Opener { worker: Rc::clone(worker), key, service, lane, told };
    worker.background.spawn_local("mesh connect", async move {
        let connected = connect::open(&opener.worker, &transport).await;
        opener.finish(Some(connected));
    });
    outcome
}

/// Who makes a connection that others wait for.
struct Opener {
    worker: Rc<Worker>,
    key: Rc<str>,
    service: Option<(Hostname, u16)>,
    lane: u32,
    told: watch::Sender<Outcome>,
}

impl Opener {
    fn finish(&self, outcome: Outcome) {
        let service = self.service.as_ref().map(|(host, port)| (host, *port));
        self.worker.mesh.finish(&self.key, service, self.lane, &outcome);
        self.told.send_replace(outcome);
    }
}

impl Drop for Opener {
    /// Aborted, or panicked: its slot would keep everybody waiting for nobody.
    fn drop(&mut self) {
        if self.told.borrow().is_none() {
            self.finish(Some(Err(Reason::ConnectFailed.into())));
        }
    }
}
