//! HTTP/1.1 connections of one worker, by where they go: the way to plain backends and to the local application.
//!
//! A connection is leased for one exchange and comes back only when both directions ended cleanly; the most
//! recently used one is leased first, so that the others may grow old and be closed.

use crate::backend_tls::TlsPayload;
use crate::upstream::connect::{Age, Connector};
use crate::upstream::{Place, PlaceKey};
use codec::http1::Http1Sender;
use codec::{Body, InterimSink, Io, SendError};
use decide::hash::QuickMap;
use http::{Request, Response};
use model::Reason;
use model::traffic::ConnectionPool;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Idle connections kept for one place; more are closed.
const IDLE_PER_PLACE_MAX: usize = 1024;
/// Idle timeout. Below the keep-alive timeout of common servers (nginx: 75 s), so that fewer
/// requests meet a connection that is being closed.
const IDLE_MAX: Duration = Duration::from_secs(55);

/// All idle connections of a worker.
pub(crate) struct Http1Pool {
    idle: RefCell<QuickMap<PlaceKey, Vec<Idle>>>,
    /// How many there are.
    idle_count: Cell<usize>,
    idle_max: usize,
    connector: Rc<Connector>,
}

struct Idle {
    sender: Http1Sender,
    since: Instant,
    life: Option<Box<ConnectionLife>>,
}

impl Idle {
    /// Whether it must not be used any more, by what is said of it. Where nothing is, `sweep` alone looks at the time.
    fn is_over(&self) -> bool {
        self.life.as_ref().is_some_and(|life| life.is_over() || self.since.elapsed() >= life.idle_max())
    }

    fn idle_max(&self) -> Duration {
        self.life.as_ref().map_or(IDLE_MAX, |life| life.idle_max())
    }
}

/// What is said of a connection, and how much of it is used up.
struct ConnectionLife {
    terms: Arc<ConnectionPool>,
    opened: Instant,
    requests: u32,
}

impl ConnectionLife {
    fn begin(to: Place<'_>) -> Option<Box<Self>> {
        let terms = Arc::clone(to.pool()?);
        Some(Box::new(Self { terms, opened: Instant::now(), requests: 0 }))
    }

    fn idle_max(&self) -> Duration {
        self.terms.http_idle_timeout.unwrap_or(IDLE_MAX)
    }

    fn is_over(&self) -> bool {
        let has_had = self.terms.max_requests_per_connection.is_some_and(|max| self.requests >= max.get());
        let duration = self.terms.max_connection_duration;
        has_had || duration.is_some_and(|duration| self.opened.elapsed() >= duration)
    }
}

/// A connection for one exchange.
pub(crate) struct Lease {
    pool: Rc<Http1Pool>,
    place: PlaceKey,
    sender: Http1Sender,
    life: Option<Box<ConnectionLife>>,
    /// Where it came from.
    pub(crate) age: Age,
}

impl Http1Pool {
    /// An empty pool; `idle_max` connections are kept in all.
    pub(crate) fn new(connector: Rc<Connector>, idle_max: usize) -> Rc<Self> {
        Rc::new(Self { idle: RefCell::default(), idle_count: Cell::new(0), idle_max, connector })
    }

    /// An idle connection to an application, else a new one.
    ///
    /// # Errors
    /// [`Reason::ConnectFailed`], [`Reason::ConnectTimeout`].
    pub(crate) async fn lease(self: &Rc<Self>, to: Place<'_>) -> Result<Lease, Reason> {
        let place = to.key();
        match self.find_idle(place) {
            Some(Idle { sender, life, .. }) => {
                Ok(Lease { pool: Rc::clone(self), place, sender, life, age: Age::Reused })
            }
            None => Box::pin(self.open(to)).await,
        }
    }

    /// A new connection to an application, whatever is idle. Rare and large: it is no part of each request's future.
    ///
    /// # Errors
    /// As [`Http1Pool::lease`].
    pub(crate) async fn open(self: &Rc<Self>, to: Place<'_>) -> Result<Lease, Reason> {
        let stream =
            self.connector.dial_either(to.address, to.other(), to.pool().map(|pool| &**pool)).await?;
        let sender = match to.tls() {
            None => self.start(stream).await?,
            Some(tls) => self.start(self.connector.begin_tls(stream, tls, TlsPayload::Http1).await?).await?,
        };
        let life = ConnectionLife::begin(to);
        Ok(Lease { pool: Rc::clone(self), place: to.key(), sender, life, age: Age::Fresh })
    }

    async fn start(&self, stream: impl Io) -> Result<Http1Sender, Reason> {
        let (sender, connection) = codec::http1::connect(stream).await.map_err(|_| Reason::ConnectFailed)?;
        self.connector.tasks().spawn_local("http1 upstream", connection);
        Ok(sender)
    }

    fn find_idle(&self, place: PlaceKey) -> Option<Idle> {
        let mut idle = self.idle.borrow_mut();
        let connections = idle.get_mut(&place)?;
        for at in (0..connections.len()).rev() {
            if connections[at].sender.is_closed() || connections[at].is_over() {
                connections.remove(at);
                self.idle_count.update(|count| count - 1);
            } else if connections[at].sender.is_ready() {
                self.idle_count.update(|count| count - 1);
                return Some(connections.remove(at));
            }
            // Else it is still finishing its last exchange.
        }
        None
    }

    /// Closes what has been idle too long. Called now and then by the worker.
    pub(crate) fn sweep(&self, now: Instant) {
        let mut count = 0;
        self.idle.borrow_mut().retain(|_, connections| {
            connections
                .retain(|idle| !idle.sender.is_closed() && now.duration_since(idle.since) < idle.idle_max());
            count += connections.len();
            !connections.is_empty()
        });
        self.idle_count.set(count);
    }

    /// Closes what is idle to `place`: a connection that was as old had died.
    pub(crate) fn forget(&self, place: Place<'_>) {
        let gone = self.idle.borrow_mut().remove(&place.key()).map_or(0, |gone| gone.len());
        self.idle_count.update(|count| count - gone);
    }

    /// Closes all that is idle.
    pub(crate) fn clear(&self) {
        self.idle.borrow_mut().clear();
        self.idle_count.set(0);
    }
}

impl Lease {
    /// Sends the one request. What comes before its response goes to `interims`.
    ///
    /// # Errors
    /// See [`SendError`]; afterwards the connection must not be given back.
    pub(crate) fn send<'a>(
        &'a mut self,
        request: Request<Body>,
        interims: &'a dyn InterimSink,
    ) -> impl Future<Output = Result<Response<Body>, SendError>> + use<'a> {
        self.sender.send_with_interims(request, interims)
    }

    /// Puts the connection back. Call only when the response was read to its end.
    pub(crate) fn give_back(mut self) {
        if let Some(life) = &mut self.life {
            life.requests = life.requests.saturating_add(1);
            if life.is_over() {
                return;
            }
        }
        if self.sender.is_closed() {
            return;
        }
        let mut idle = self.pool.idle.borrow_mut();
        let connections = idle.entry(self.place).or_default();
        if connections.len() < IDLE_PER_PLACE_MAX && self.pool.idle_count.get() < self.pool.idle_max {
            self.pool.idle_count.update(|count| count + 1);
            connections.push(Idle { sender: self.sender, since: Instant::now(), life: self.life });
        }
    }
}
