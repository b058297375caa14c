//! A connection that came in, and all that is known of it before anything on it is read. One for all stories: what
//! they do differently with it is theirs.

use crate::edge_tls::facts::EdgeTls;
use crate::flow::arrival::InboundTarget;
use crate::limits::{UpstreamShare, Whose};
use crate::observe::Direction;
use crate::peer::Peer;
use crate::proven::PeerValidity;
use crate::request::{CallerTerms, Edge, take_client_cert};
use crate::snapshot::Snapshot;
use crate::worker::Worker;
use bytes::Bytes;
use codec::{Budget, ServeError, ServerOptions};
use daemon::Drain;
use decide::client_cert::{Forwarding, joined};
use decide::forwarded::{EntryPoint, Scheme};
use decide::listener::PeerCluster;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::{HeaderMap, HeaderValue};
use model::mtls::{MtlsMode, TransportSecurity};
use model::observed::MUTUAL_TLS_PORTS_MAX;
use model::trust::TrustBundle;
use model::{Hostname, MeshSettings, Reason, SpiffeId};
use std::cell::RefCell;
use std::future::pending;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// How often the end of a client certificate is looked at, at least.
const EXPIRY_LOOK_EVERY: Duration = Duration::from_secs(60);

/// Who is at the other end of a connection that came in, and by which way.
pub(crate) struct Downstream {
    /// The worker that serves it.
    pub(crate) worker: Rc<Worker>,
    /// Where it comes from; across networks: the gateway's address.
    pub(crate) address: SocketAddr,
    /// What its TLS has shown; `None`: plaintext.
    pub(crate) tls: Option<TlsFacts>,
    /// Where it came in.
    pub(crate) side: DownstreamSide,
    /// What it may have of the upstream connections.
    pub(crate) share: Rc<UpstreamShare>,
    drain: Drain,
    began: Instant,
    /// Ports of the application that it was counted for.
    counted: RefCell<Vec<u16>>,
}

/// What a handshake has shown.
#[derive(Clone)]
pub(crate) struct TlsFacts {
    /// Who proved an identity; `None`: nobody was asked to.
    pub(crate) peer: Option<Rc<Peer>>,
    /// How long it is let in; `None`: likewise.
    pub(crate) validity: Option<PeerValidity>,
    /// With a caller from outside: all of it.
    pub(crate) edge: Option<Rc<EdgeTls>>,
    /// What applications are told of a peer of the mesh (`x-forwarded-client-cert`); `None`: nothing.
    pub(crate) client_cert: Option<HeaderValue>,
}

impl TlsFacts {
    /// With a caller from outside.
    pub(crate) fn edge(facts: Rc<EdgeTls>) -> Self {
        Self { peer: None, validity: None, edge: Some(facts), client_cert: None }
    }
}

/// Where a connection came in.
pub(crate) enum DownstreamSide {
    /// From the local application, to this service.
    Application {
        /// Its host.
        host: Hostname,
        /// Service port.
        port: u16,
        /// Of a service without endpoints, which is wherever it is called: the address that was.
        called: Option<SocketAddr>,
    },
    /// From the local application, to somewhere outside the mesh.
    Passthrough,
    /// From outside, at a gateway's listener port.
    Edge {
        /// The place that the configuration names, which an inherited socket may only stand for.
        at: SocketAddr,
        /// The caller's address as text, made once.
        forwarded_for: HeaderValue,
        /// What is said of who calls there; `None`: nothing.
        terms: Option<Box<CallerTerms>>,
    },
    /// From another proxy, at the mesh port.
    Mesh {
        /// Who vouches for it.
        cluster: PeerCluster,
    },
    /// From another proxy, inside a tunnel to this port of the application.
    Tunnel {
        /// Who vouches for it.
        cluster: PeerCluster,
        /// The port.
        target: InboundTarget,
    },
    /// Past the mesh, at this port of the application.
    Plaintext {
        /// The port.
        target: InboundTarget,
        /// The caller's address as text, made once.
        forwarded_for: HeaderValue,
    },
}

impl DownstreamSide {
    /// At a gateway's listener, from `address`.
    pub(crate) fn edge(at: SocketAddr, address: SocketAddr) -> Self {
        Self::Edge { at, forwarded_for: forwarded_for(address), terms: None }
    }

    /// The same, with what is said of who calls there.
    pub(crate) fn edge_by(self, said: Option<Box<CallerTerms>>) -> Self {
        match self {
            Self::Edge { at, forwarded_for, .. } => Self::Edge { at, forwarded_for, terms: said },
            other => other,
        }
    }

    /// Past the mesh, from `address`.
    pub(crate) fn plaintext(target: InboundTarget, address: SocketAddr) -> Self {
        Self::Plaintext { target, forwarded_for: forwarded_for(address) }
    }
}

fn forwarded_for(address: SocketAddr) -> HeaderValue {
    let text = HeaderValue::try_from(address.ip().to_canonical().to_string());
    text.unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

impl Downstream {
    /// A connection from `address`, served until `drain`.
    pub(crate) fn new(
        worker: &Rc<Worker>,
        address: SocketAddr,
        side: DownstreamSide,
        tls: Option<TlsFacts>,
        drain: Drain,
    ) -> Rc<Self> {
        let share = worker.limits.share(match side {
            DownstreamSide::Application { .. } | DownstreamSide::Passthrough => Whose::Own,
            DownstreamSide::Edge { .. } | DownstreamSide::Plaintext { .. } => Whose::Edge(address.ip()),
            DownstreamSide::Mesh { .. } | DownstreamSide::Tunnel { .. } => Whose::Proxy(address.ip()),
        });
        let worker = Rc::clone(worker);
        let began = Instant::now();
        Rc::new(Self { worker, address, tls, side, share, drain, began, counted: RefCell::default() })
    }

    /// What a tunnel on it carries to `target`.
    pub(crate) fn inside(&self, target: InboundTarget) -> Rc<Self> {
        let side = DownstreamSide::Tunnel { cluster: self.peer_cluster(), target };
        Rc::new(Self {
            worker: Rc::clone(&self.worker),
            address: self.address,
            tls: self.tls.clone(),
            side,
            share: Rc::clone(&self.share),
            drain: self.drain.clone(),
            began: self.began,
            counted: RefCell::default(),
        })
    }

    /// What on it is for this listener of a gateway: by mutual TLS of the mesh, so by somebody with an identity.
    pub(crate) fn at_listener(&self, at: SocketAddr) -> Rc<Self> {
        Rc::new(Self {
            worker: Rc::clone(&self.worker),
            address: self.address,
            tls: self.tls.clone(),
            side: DownstreamSide::edge(at, self.address),
            share: Rc::clone(&self.share),
            drain: self.drain.clone(),
            began: self.began,
            counted: RefCell::default(),
        })
    }

    /// Counts it as a connection in mutual TLS to this port, once, where that is of interest.
    pub(crate) fn count_first(&self, target: &InboundTarget) {
        if target.local.mode == MtlsMode::Strict {
            return;
        }
        let mut counted = self.counted.borrow_mut();
        if !counted.contains(&target.local.port) && counted.len() < MUTUAL_TLS_PORTS_MAX {
            counted.push(target.local.port);
            self.worker.recorder.inbound.mutual_tls(target.local.port);
        }
    }

    /// The same for a tunnel, which is a connection of its own.
    pub(crate) fn count_tunnel(&self, target: &InboundTarget) {
        if target.local.mode != MtlsMode::Strict {
            self.worker.recorder.inbound.mutual_tls(target.local.port);
        }
    }

    /// As metrics and the access log have it.
    pub(crate) fn direction(&self) -> Direction {
        match self.side {
            DownstreamSide::Application { .. } | DownstreamSide::Passthrough => Direction::Outbound,
            // Whoever calls a gateway through the mesh is named, as at any other callee.
            DownstreamSide::Edge { .. } if self.peer().is_some() => Direction::Inbound,
            DownstreamSide::Edge { .. } => Direction::Gateway,
            DownstreamSide::Mesh { .. }
            | DownstreamSide::Tunnel { .. }
            | DownstreamSide::Plaintext { .. } => Direction::Inbound,
        }
    }

    /// By which its requests came, where nobody who is believed says otherwise.
    pub(crate) fn scheme(&self) -> Scheme {
        if self.tls.is_some() { Scheme::Https } else { Scheme::Http }
    }

    /// Who proved to be at the other end.
    pub(crate) fn peer(&self) -> Option<&Rc<Peer>> {
        self.tls.as_ref()?.peer.as_ref()
    }

    /// What TLS with a caller from outside has shown.
    pub(crate) fn edge_tls(&self) -> Option<&EdgeTls> {
        self.tls.as_ref()?.edge.as_deref()
    }

    /// Whom policies take the caller for: who proved to be at the other end, in the mesh or by a client certificate that an
    /// authority of the gateway's listener vouches for. Of the mesh's own trust domains such an authority vouches for nobody.
    pub(crate) fn principal(&self) -> Option<&SpiffeId> {
        let by_client = || {
            let principal = self.edge_tls()?.client.as_ref()?.principal.as_ref()?;
            let snapshot = self.worker.snapshot();
            let is_ours = |bundle: &TrustBundle| bundle.trust_domain == principal.trust_domain;
            (!snapshot.trust.iter().any(is_ours)).then_some(principal)
        };
        self.peer().map(|peer| &peer.id).or_else(by_client)
    }

    /// Who vouches for the peer. Of whoever proved nothing, nobody in this cluster does.
    pub(crate) fn peer_cluster(&self) -> PeerCluster {
        match self.side {
            DownstreamSide::Mesh { cluster } | DownstreamSide::Tunnel { cluster, .. } => cluster,
            DownstreamSide::Application { .. }
            | DownstreamSide::Passthrough
            | DownstreamSide::Edge { .. }
            | DownstreamSide::Plaintext { .. } => PeerCluster::Remote,
        }
    }

    /// By which way it came.
    pub(crate) fn transport(&self) -> TransportSecurity {
        if self.tls.is_some() { TransportSecurity::MutualTls } else { TransportSecurity::Plaintext }
    }

    /// What is done to the headers of its requests; `None`: they come from inside.
    pub(crate) fn edge(&self) -> Option<Edge<'_>> {
        let (at, forwarded_for, terms) = match &self.side {
            DownstreamSide::Edge { forwarded_for, terms, .. } => {
                (EntryPoint::Gateway, forwarded_for, terms.as_deref())
            }
            DownstreamSide::Plaintext { forwarded_for, .. } => (EntryPoint::Workload, forwarded_for, None),
            _ => return None,
        };
        Some(Edge { at, peer: self.address.ip(), forwarded_for, scheme: self.scheme(), terms })
    }

    /// What is said of who calls the listener that it came in at.
    pub(crate) fn terms(&self) -> Option<&CallerTerms> {
        match &self.side {
            DownstreamSide::Edge { terms, .. } => terms.as_deref(),
            _ => None,
        }
    }

    /// Sees to it that a request has an `x-request-id`, unless something else is said of its listener.
    pub(crate) fn name_request(&self, headers: &mut HeaderMap) {
        let worker = &self.worker;
        match self.terms().and_then(|terms| terms.settings.request_id) {
            None => worker.request_ids.ensure(headers, || worker.random()),
            Some(action) => worker.request_ids.apply(action, headers, || worker.random()),
        }
    }

    /// What the application is told of a caller of the mesh. Another proxy's word stands before ours; in a tunnel it would
    /// be the word of an application.
    pub(crate) fn forwarded_client_cert(&self, headers: &mut HeaderMap) -> Option<HeaderValue> {
        let own = self.tls.as_ref()?.client_cert.as_ref()?;
        match self.side {
            DownstreamSide::Mesh { .. } => match take_client_cert(headers) {
                None => Some(own.clone()),
                Some(came) => {
                    let both = Forwarding { keeps: true, adds: true };
                    let value = joined(both, Some(came.as_bytes()), Some(own.as_bytes()))?;
                    HeaderValue::from_maybe_shared(Bytes::from(value)).ok()
                }
            },
            DownstreamSide::Tunnel { .. } => Some(own.clone()),
            _ => None,
        }
    }

    /// Waits until it is to be said goodbye to: what it came in by stops, or its certificate expires.
    pub(crate) async fn drain_requested(&self) {
        let Some(tls) = &self.tls else {
            return match self.terms() {
                None => self.drain.started().await,
                Some(_) => tokio::select! {
                    () = self.drain.started() => {}
                    () = self.outlived() => {}
                },
            };
        };
        tokio::select! {
            () = self.drain.started() => {}
            () = self.outlived() => {}
            () = async {
                match &tls.validity {
                    Some(validity) => sleep_until(validity.expires()).await,
                    None => drop(self.until_outdated().await),
                }
            } => {}
        }
    }

    /// Whether what it came in by is still what is asked for there.
    ///
    /// # Errors
    /// [`Reason::TlsOutdated`]
    pub(crate) fn stands(&self, snapshot: &Snapshot) -> Result<(), Reason> {
        let (DownstreamSide::Edge { at, .. }, Some(gateway)) = (&self.side, &snapshot.gateway) else {
            return Ok(());
        };
        let stands = match self.edge_tls() {
            Some(tls) => {
                let shared = &self.worker.shared;
                tls.stands(gateway, *at, shared.store.certificates(), shared.clock.wall())
            }
            None => !gateway.speaks_tls(*at),
        };
        if stands { Ok(()) } else { Err(Reason::TlsOutdated) }
    }

    /// Waits until it no longer stands, of a connection in TLS from outside.
    async fn until_outdated(&self) -> Reason {
        // In a set of its own it is polled when it was woken, and not with each request on the connection.
        let mut alone = FuturesUnordered::from_iter([self.watch_standing()]);
        match alone.next().await {
            Some(reason) => reason,
            None => pending().await,
        }
    }

    async fn watch_standing(&self) -> Reason {
        let shared = &self.worker.shared;
        let Some(tls) = self.edge_tls() else { return pending().await };
        let mut asked = shared.store.certificates().asked();
        loop {
            asked.borrow_and_update();
            if let Err(reason) = self.stands(&self.worker.snapshot()) {
                return reason;
            }
            let until = tls.client.as_ref().map(|client| client.not_after);
            let left = until.map(|until| until.duration_since(shared.clock.wall()).unwrap_or_default());
            // Looked at again, because the clock of the wall may be set.
            let left = left.map(|left| left.saturating_add(Duration::from_millis(1)).min(EXPIRY_LOOK_EVERY));
            tokio::select! {
                changed = asked.changed() => {
                    if changed.is_err() {
                        return pending().await;
                    }
                }
                () = async {
                    match left {
                        Some(left) => sleep(left).await,
                        None => pending().await,
                    }
                } => {}
            }
        }
    }

    /// Waits until nothing of it may go on, and tells why. When its certificate expires, it takes no new streams; those
    /// that are open (tunnels, long responses) go on for as long as the peer proves itself anew, and an hour more, but
    /// no longer than it is trusted. Then they are cut, and the connection counts as refused. From outside: when its
    /// listener asks for something else than it has shown, or its certificate expires.
    pub(crate) async fn until_refused(&self) -> Reason {
        match &self.tls {
            Some(TlsFacts { validity: Some(validity), .. }) => self.worker.tls.until_refused(validity).await,
            Some(TlsFacts { edge: Some(_), .. }) => self.until_outdated().await,
            _ => pending().await,
        }
    }

    /// Options with the time-outs that the mesh sets for connections of callers.
    pub(crate) fn waits(&self) -> ServerOptions {
        let snapshot = self.worker.snapshot();
        let http = &snapshot.settings.http;
        let options = ServerOptions {
            idle_timeout: http.idle_timeout,
            stall_timeout: http.stream_idle_timeout,
            write_timeout: http.stream_idle_timeout,
            takes_upgrades: true,
            ..ServerOptions::default()
        };
        match self.terms() {
            None => options,
            Some(terms) => terms.waits(options),
        }
    }

    /// How long a request may be under way without a byte passing.
    pub(crate) fn stream_idle_timeout(&self, settings: &MeshSettings) -> Duration {
        let said = self.terms().and_then(|terms| terms.settings.stream_idle_timeout);
        said.unwrap_or(settings.http.stream_idle_timeout)
    }

    /// Waits until it has lasted as long as is said.
    async fn outlived(&self) {
        match self.terms().and_then(|terms| terms.settings.max_connection_duration) {
            // Polled when it was woken alone, as above.
            Some(time) => drop(FuturesUnordered::from_iter([sleep_until(self.began + time)]).next().await),
            None => pending().await,
        }
    }

    /// What it may make us hold; when that runs out for the first time, it is told.
    pub(crate) fn budget(&self, bytes: usize) -> Rc<Budget> {
        let (worker, address) = (Rc::clone(&self.worker), self.address);
        Budget::new(bytes, move || worker.recorder.refused(address, Reason::BudgetExhausted))
    }

    /// Tells why it is not served.
    pub(crate) fn refused(&self, reason: Reason) {
        self.worker.recorder.refused(self.address, reason);
    }

    /// Tells why it ended other than by plan, where that is about the caller.
    pub(crate) fn report(&self, error: &ServeError) {
        let reason = match error {
            ServeError::HeaderTimeout => Reason::HeaderTimeout,
            ServeError::Malformed(_) | ServeError::Protocol(_) => Reason::BadRequest,
            ServeError::HeadTooLarge => Reason::HeadersTooLarge,
            ServeError::Flood(_) => Reason::BudgetExhausted,
            // The exchange that it interrupted has its own log line.
            ServeError::Aborted(_) | ServeError::Service(_) | ServeError::Io(_) => {
                tracing::debug!(%error, address = %self.address, "connection ended");
                return;
            }
        };
        self.worker.recorder.cut(self.address, reason, error);
    }
}
