//! The life of an opaque connection that leaves an application or enters at the edge: to a service through the mesh, where
//! a rule for connections leads, or straight to where it was going when that is outside the mesh.

use crate::detect::{Detected, Sniffer};
use crate::failure::Failure;
use crate::flow::attempt_facts::AttemptFacts;
use crate::flow::downstream::Downstream;
use crate::flow::first_speaker::{FirstSpeaker, first_speaker};
use crate::flow::{fetch_entry, policy};
use crate::limits::UpstreamPermit;
use crate::observe::{Direction, L4Transport, OutsideCluster, Security, TcpRecord};
use crate::peer::Peer;
use crate::snapshot::{HostEntry, Snapshot};
use crate::upstream::attempts::Begun;
use crate::upstream::tunnel::OpenTunnel;
use crate::upstream::{AttemptLog, Target};
use bytes::BytesMut;
use codec::relay::{End, Moved, relay};
use codec::{ChunkIo, Prefixed};
use decide::authz::{Denial, DryRun, Facts, RemoteIp, dry_run};
use decide::l4_route::{ConnectionView, L4Table, choose_backend};
use model::l4_route::L4Rule;
use model::{Hostname, Reason};
use std::cell::OnceCell;
use std::future::pending;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Idle timeout of a relayed connection (Envoy's default).
pub(crate) const TCP_IDLE_MAX: Duration = Duration::from_secs(3600);

/// The facts of one opaque connection, as they become known.
pub(crate) struct TcpConnection {
    downstream: Rc<Downstream>,
    direction: Direction,
    /// What carries it.
    pub(crate) transport: L4Transport,
    /// How long it may carry nothing, where somebody says so.
    idle_timeout: Option<Duration>,
    started: SystemTime,
    clock: Instant,
    /// The destination by name, where there is no entry.
    pub(crate) host: Option<Hostname>,
    /// It goes to no service.
    outside: Option<OutsideCluster>,
    /// Who is at the other side.
    pub(crate) peer: Option<Rc<Peer>>,
    /// By which rule it goes, if by any.
    pub(crate) rule: OnceCell<Arc<L4Rule>>,
    /// What was tried to reach the other side.
    pub(crate) attempts: AttemptFacts,
    /// Which policies denied it.
    pub(crate) denial: Option<Box<Denial>>,
    /// What policies that are not enforced say of it.
    pub(crate) dry_run: Option<DryRun>,
}

impl TcpConnection {
    /// A connection accepted just now.
    pub(crate) fn begin(downstream: &Rc<Downstream>, direction: Direction) -> Self {
        let clock = &downstream.worker.shared.clock;
        Self {
            downstream: Rc::clone(downstream),
            direction,
            transport: L4Transport::Tcp,
            idle_timeout: downstream.terms().and_then(|terms| terms.settings.tcp_idle_timeout),
            started: clock.wall(),
            clock: clock.now(),
            host: None,
            outside: None,
            peer: if direction == Direction::Inbound { downstream.peer().cloned() } else { None },
            rule: OnceCell::new(),
            attempts: AttemptFacts::default(),
            denial: None,
            dry_run: None,
        }
    }

    /// Tells that it never came to be, or was refused.
    pub(crate) fn refused(&self, reason: Reason) {
        self.downstream.worker.recorder.tcp(&self.record(Some(reason), 0, 0));
    }

    /// The same, with the policies that denied it.
    pub(crate) fn denied(mut self, failure: Failure) {
        self.denial = failure.denial;
        self.refused(failure.reason);
    }

    /// Carries bytes both ways until the end, or until `cut` says why not any longer, and tells of it.
    pub(crate) async fn carry(
        self,
        down: impl ChunkIo,
        up: impl ChunkIo,
        cut: impl Future<Output = Failure>,
    ) {
        self.downstream.worker.recorder.tcp_opened(&self.record(None, 0, 0));
        let idle = self.idle_timeout.unwrap_or(TCP_IDLE_MAX);
        // As long as nobody knows better: what carries it goes away, and it with that.
        let mut carried =
            Carried { connection: self, moved: Moved::default(), reason: Some(Reason::DownstreamReset) };
        tokio::select! {
            end = relay(down, up, idle, &carried.moved) => {
                carried.reason = match end {
                    End::DownstreamClosed | End::UpstreamClosed | End::Idle => None,
                    End::DownstreamFailed => Some(Reason::DownstreamReset),
                    End::UpstreamFailed => Some(Reason::ResponseReset),
                };
            }
            failure = cut => {
                carried.reason = Some(failure.reason);
                carried.connection.denial = failure.denial;
            }
        }
    }

    /// What is said of the service counts as well as what is said of its callers.
    fn limit_idle(&mut self, target: &Target) {
        let said = target.pool().and_then(|pool| pool.tcp_idle_timeout);
        self.idle_timeout = match (self.idle_timeout, said) {
            (Some(own), Some(said)) => Some(own.min(said)),
            (own, said) => own.or(said),
        };
    }

    fn record(&self, reason: Option<Reason>, received: u64, sent: u64) -> TcpRecord<'_> {
        let service = self.attempts.service();
        TcpRecord {
            direction: self.direction,
            transport: self.transport,
            host: self.host.as_ref().or(service.map(|service| &service.host)),
            outside: self.outside,
            service,
            peer: self.peer.as_deref(),
            // The endpoint is at the peer's side, except where the peer is who calls.
            peer_cluster: match self.direction {
                Direction::EastWest => None,
                _ => self.attempts.endpoint().map(|endpoint| &*endpoint.cluster),
            },
            security: match (&self.peer, self.attempts.address()) {
                (Some(_), _) => Security::MutualTls,
                (None, Some(_)) => Security::None,
                (None, None) => Security::Unknown,
            },
            reason,
            limited: self.attempts.limited(),
            denial: self.denial.as_deref(),
            dry_run: self.dry_run.as_ref(),
            started: self.started,
            duration: self.downstream.worker.shared.clock.now().duration_since(self.clock),
            bytes_received: received,
            bytes_sent: sent,
            downstream: Some(self.downstream.address),
            upstream: self.attempts.address(),
            tls: self.downstream.edge_tls(),
            route: self.rule.get().map(|rule| &rule.origin.object),
            attempts: self.attempts.count(),
        }
    }
}

impl AttemptLog for TcpConnection {
    fn began(&self, attempt: &Begun<'_>) -> Result<(), Reason> {
        self.attempts.began(attempt);
        Ok(())
    }

    fn limited(&self, by: Reason) {
        self.attempts.set_limited(by);
    }
}

/// A connection that is being carried; logged when it ends, also when its stream's connection takes it along.
struct Carried {
    connection: TcpConnection,
    moved: Moved,
    reason: Option<Reason>,
}

impl Drop for Carried {
    fn drop(&mut self) {
        let (received, sent) = (self.moved.to_upstream.get(), self.moved.to_downstream.get());
        let connection = &self.connection;
        connection.downstream.worker.recorder.tcp(&connection.record(self.reason, received, sent));
    }
}

/// Opaque bytes to a service, or where its rules lead.
pub(crate) async fn serve(downstream: Rc<Downstream>, stream: impl ChunkIo, target: &Target) {
    let connection = TcpConnection::begin(&downstream, Direction::Outbound);
    match lead(&downstream, &connection, target).await {
        Ok(led) => send(&downstream, stream, connection, led.as_ref().unwrap_or(target), pending()).await,
        Err(reason) => connection.refused(reason),
    }
}

/// From outside, at a gateway's listener for opaque bytes.
pub(crate) async fn at_gateway(downstream: Rc<Downstream>, stream: impl ChunkIo, at: SocketAddr) {
    let mut connection = TcpConnection::begin(&downstream, Direction::Gateway);
    match connection.enter(at).await {
        Ok((target, permit)) => {
            let cut = async {
                tokio::select! {
                    failure = until_denied(&downstream, L4Transport::Tcp, at) => failure,
                    reason = downstream.until_refused() => reason.into(),
                }
            };
            send(&downstream, stream, connection, &target, cut).await;
            drop(permit);
        }
        Err(failure) => connection.denied(failure),
    }
}

impl TcpConnection {
    /// Where it goes that came in at this place of a gateway, if the gateway's policies let it in.
    ///
    /// # Errors
    /// Why it goes nowhere.
    pub(crate) async fn enter(&mut self, at: SocketAddr) -> Result<(Target, UpstreamPermit), Failure> {
        let downstream = Rc::clone(&self.downstream);
        let snapshot = downstream.worker.snapshot();
        let tls = downstream.edge_tls();
        let id = tls.map(|tls| &tls.listener);
        let gateway = snapshot.gateway.as_ref();
        let listener = gateway.and_then(|gateway| gateway.l4_listener(self.transport, at, id));
        let (table, policies) = listener.ok_or(Reason::NoRoute)?;
        let facts = facts(&downstream, at);
        self.dry_run = dry_run(policies, &facts);
        policy::check(policies, &facts)?;
        let source = Some(downstream.address.ip());
        let server_name = tls.and_then(|tls| tls.server_name.as_deref());
        let called = ConnectionView { port: at.port(), source, server_name, ..ConnectionView::default() };
        let target = by_rule(&downstream, self, table, &called).await?;
        let permit = downstream.share.take().ok_or(Reason::TooManyConnections)?;
        Ok((target, permit))
    }

    /// Tells that it stands.
    pub(crate) fn opened(&self) {
        self.downstream.worker.recorder.tcp_opened(&self.record(None, 0, 0));
    }

    /// Tells how it ended.
    pub(crate) fn ended(&self, reason: Option<Reason>, moved: &Moved) {
        let record = self.record(reason, moved.to_upstream.get(), moved.to_downstream.get());
        self.downstream.worker.recorder.tcp(&record);
    }
}

/// Waits until the policies there no longer let it in.
pub(crate) async fn until_denied(downstream: &Downstream, transport: L4Transport, at: SocketAddr) -> Failure {
    let id = downstream.edge_tls().map(|tls| &tls.listener);
    let may = |snapshot: &Snapshot| {
        downstream.stands(snapshot)?;
        let gateway = snapshot.gateway.as_ref();
        let listener = gateway.and_then(|gateway| gateway.l4_listener(transport, at, id));
        policy::check(listener.map_or(&[], |(_, policies)| policies), &facts(downstream, at))
    };
    policy::until_denied(&downstream.worker, may).await
}

/// From outside nobody proves who they are, but by a client certificate.
fn facts(downstream: &Downstream, at: SocketAddr) -> Facts<'_> {
    let peer_ip = Some(downstream.address.ip());
    let peer = downstream.principal();
    Facts { peer, peer_ip, remote_ip: RemoteIp::Peer, port: at.port(), http: None }
}

/// Where the rules of the service that is called lead; `None`: it has none, and is meant itself.
async fn lead(
    downstream: &Downstream,
    connection: &TcpConnection,
    target: &Target,
) -> Result<Option<Target>, Reason> {
    let Some(table) = target.entry.l4_rules_at(target.port) else {
        connection.attempts.set_service(&target.entry);
        return Ok(None);
    };
    let called = ConnectionView { port: target.port, ..ConnectionView::default() };
    let led = by_rule(downstream, connection, table, &called).await;
    // What the rule leads to counts as the service, as it does for requests.
    connection.attempts.set_service(led.as_ref().map_or(&target.entry, |led| &led.entry));
    led.map(Some)
}

/// Where a connection goes by these rules, which is noted.
async fn by_rule(
    downstream: &Downstream,
    connection: &TcpConnection,
    table: &L4Table,
    called: &ConnectionView<'_>,
) -> Result<Target, Reason> {
    let worker = &downstream.worker;
    let rule = table.find(called).ok_or(Reason::NoRoute)?;
    connection.rule.get_or_init(|| Arc::clone(rule));
    let (host, port) = choose_backend(rule, &mut *worker.dice.borrow_mut())?;
    let entry = fetch_entry(worker, &worker.snapshot(), host).await?;
    Target::new(&entry, port).ok_or(Reason::NoBackend)
}

/// Opens a tunnel and carries the bytes, until the end or until `cut` says why not any longer.
async fn send(
    downstream: &Downstream,
    mut stream: impl ChunkIo,
    mut connection: TcpConnection,
    target: &Target,
    cut: impl Future<Output = Failure>,
) {
    let mut ahead = BytesMut::new();
    let opened = tokio::select! {
        opened = downstream.worker.upstream.open(target, &connection) => opened,
        _ = codec::stream::fails(&mut stream, &mut ahead) => Err(Reason::DownstreamReset),
    };
    match opened {
        Ok(OpenTunnel { io, peer, active }) => {
            connection.limit_idle(target);
            connection.peer = peer;
            connection.carry(Prefixed::new(ahead.freeze(), stream), io, cut).await;
            drop(active);
        }
        Err(reason) => {
            connection.attempts.forget_endpoint();
            connection.refused(reason);
        }
    }
}

/// Opaque bytes to a service of which nobody says what it speaks. A client that turns out to speak HTTP before the server
/// has said anything is given back: its requests are for others to serve.
pub(crate) async fn serve_unless_http<I: ChunkIo>(
    downstream: &Rc<Downstream>,
    stream: I,
    target: &Target,
) -> Option<(Detected, Prefixed<I>)> {
    let mut connection = TcpConnection::begin(downstream, Direction::Outbound);
    let mut down = Sniffer::new(stream);
    let opening = async {
        let led = lead(downstream, &connection, target).await?;
        let upstream = &downstream.worker.upstream;
        let OpenTunnel { io, peer, active } =
            upstream.open(led.as_ref().unwrap_or(target), &connection).await?;
        Ok((io, (peer, active)))
    };
    match first_speaker(&mut down, opening, pin!(pending()), TCP_IDLE_MAX).await {
        FirstSpeaker::Http(detected) => return Some((detected, down.into_io())),
        FirstSpeaker::Opaque(up, (peer, active)) => {
            connection.peer = peer;
            connection.carry(down.into_io(), up, pending()).await;
            drop(active);
        }
        FirstSpeaker::Nobody(failure) => {
            connection.attempts.forget_endpoint();
            connection.refused(failure.reason);
        }
    }
    None
}

/// To one of these addresses outside the mesh, as it is: the first that answers. `entry` is what described them.
pub(crate) async fn pass_through(
    downstream: Rc<Downstream>,
    stream: impl ChunkIo,
    to: &[SocketAddr],
    entry: Option<&Arc<HostEntry>>,
) {
    let mut connection = TcpConnection::begin(&downstream, Direction::Outbound);
    match entry {
        Some(entry) => connection.attempts.set_service(entry),
        None => connection.outside = Some(OutsideCluster::Passthrough),
    }
    let mut last = Reason::NoEndpoint;
    for address in to {
        connection.attempts.began_at(*address);
        match downstream.worker.upstream.dial(*address).await {
            Ok(upstream) => return connection.carry(stream, upstream, pending()).await,
            Err(reason) => last = reason,
        }
    }
    connection.refused(last);
}

/// Tells of a connection to a service that may not be made.
pub(crate) fn refuse(downstream: &Rc<Downstream>, entry: &Arc<HostEntry>, reason: Reason) {
    let connection = TcpConnection::begin(downstream, Direction::Outbound);
    connection.attempts.set_service(entry);
    connection.refused(reason);
}

/// Tells of a connection to `to` that may not leave.
pub(crate) fn hold_back(downstream: &Rc<Downstream>, to: SocketAddr, reason: Reason) {
    let mut connection = TcpConnection::begin(downstream, Direction::Outbound);
    connection.outside = Some(OutsideCluster::BlackHole);
    connection.attempts.began_at(to);
    connection.refused(reason);
}
