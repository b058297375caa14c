//! Making connections: TCP alone, TLS and HTTP/2 to an application, HTTP/2 in TLS with the expected identity to a proxy, and
//! across networks TLS once more inside a tunnel through the gateway. It keeps none of them: see the
//! pools.

use super::application::{ApplicationAddress, FoundApplications};
use crate::accept::{Mark, PeerKind, connect_datagrams, dial, keep_alive};
use crate::backend_tls::{BackendTlsClient, TlsPayload};
use crate::failure;
use crate::mesh_tls::{Connected, HANDSHAKE_TIMEOUT, MeshTls};
use crate::peer::Peer;
use crate::proven::{PeerValidity, ProvenPeer};
use crate::request::HEADER_WORKLOAD;
use codec::http2::Http2Sender;
use codec::{ClientOptions, Io, KeepaliveOptions, SendError, SendErrorKind};
use daemon::Tasks;
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue};
use model::traffic::ConnectionPool;
use model::{Hostname, Reason, SpiffeId};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// For a TCP connection to be made. Longer: the endpoint is ejected and another is tried.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// For a gateway to answer a CONNECT; it tries some of its workloads meanwhile.
const GATEWAY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a new connection to an application waits for its SETTINGS, so as not to ask for more streams than it
/// allows. Longer: it is taken to allow 100.
const SETTINGS_WAIT_MAX: Duration = Duration::from_millis(500);

/// When a proxy that says nothing is asked whether it is there, and given up: after 5 to 7 s, with requests or
/// tunnels waiting. An application that says nothing does not matter here: its proxy answers.
const KEEPALIVE: KeepaliveOptions =
    KeepaliveOptions { silence: Duration::from_secs(2), timeout: Duration::from_secs(3) };

/// So long before one of its two certificates expires, or in the last tenth of what is left when that is less,
/// a connection takes no new streams: the callee would not either.
const RETIRE_AHEAD_MAX: Duration = Duration::from_secs(10);

/// Streams that one caller's connection may have open: each tunnelled connection is one, and a caller has one
/// connection for each of its workers. More: `REFUSED_STREAM`.
pub(crate) const STREAMS_MAX: u32 = 4096;

/// An open HTTP/2 connection.
pub(crate) struct Http2Connection {
    /// Opens streams.
    pub(crate) sender: Http2Sender,
    /// Who answered the handshake; `None`: no TLS.
    pub(crate) peer: Option<Rc<Peer>>,
    /// How its peer is met anew. `None`: no TLS, or nothing that it proves later counts for this connection.
    pub(crate) meeting: Option<Meeting>,
    /// When the first certificate ends that it stands on. `None`: no TLS.
    expires: Option<Instant>,
    /// From then on it takes no new streams: a certificate on it is about to expire, or it has lasted as long as is said.
    retires: Option<Instant>,
    /// How long it is kept without streams, where somebody says so.
    pub(crate) idle_max: Option<Duration>,
}

/// The peer of a connection, and how it was reached.
#[derive(Clone)]
pub(crate) struct Meeting {
    /// Who it is.
    pub(crate) peer: Arc<ProvenPeer>,
    /// Its registration.
    pub(crate) uid: Arc<str>,
    /// How it was reached.
    pub(crate) path: MeshPath,
}

impl Meeting {
    fn new(peer: &Arc<ProvenPeer>, path: MeshPath) -> Option<Self> {
        Some(Self { peer: Arc::clone(peer), uid: Arc::clone(peer.uid()?), path })
    }
}

/// How a proxy is reached.
#[derive(Clone)]
pub(crate) enum MeshPath {
    /// On this network.
    Direct(SocketAddr),
    /// In another one.
    Through(Through),
}

/// A way through a gateway, to a workload behind `host:port`.
#[derive(Clone)]
pub(crate) struct Through {
    /// The gateway's mesh port.
    pub(crate) gateway: SocketAddr,
    /// Who it must be.
    pub(crate) identity: SpiffeId,
    /// Of a service that it exports.
    pub(crate) host: Hostname,
    /// The service's.
    pub(crate) port: u16,
}

impl Http2Connection {
    /// Whether no new stream can be opened.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether no new stream should be opened.
    pub(crate) fn is_spent(&self) -> bool {
        self.is_closed() || self.retires.is_some_and(|at| at <= Instant::now())
    }

    /// Streams open now.
    pub(crate) fn active(&self) -> usize {
        self.sender.active_streams()
    }

    /// Whether the other end would take another stream now.
    pub(crate) fn has_room(&self) -> bool {
        self.sender.has_room()
    }

    /// Whether its peer is one of these. `None`: nobody in particular is expected.
    pub(crate) fn is_one_of(&self, expected: Option<&[SpiffeId]>) -> bool {
        expected.is_none_or(|expected| self.peer.as_ref().is_some_and(|peer| expected.contains(&peer.id)))
    }
}

/// Whether a connection has carried an exchange before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    /// Opened for this exchange.
    Fresh,
    /// From the pool: it may have been closed by the other side without our knowing yet.
    Reused,
}

/// Makes connections; what drives them runs in its tasks.
pub(crate) struct Connector {
    tls: Rc<MeshTls>,
    mark: Mark,
    applications: FoundApplications,
    tasks: Tasks,
}

impl Connector {
    /// Proves itself by `tls`; sockets are marked as `mark` says.
    pub(crate) fn new(tls: Rc<MeshTls>, mark: Mark) -> Self {
        Self { tls, mark, applications: FoundApplications::default(), tasks: Tasks::new() }
    }

    /// What drives connections.
    pub(crate) fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// TCP to another proxy.
    ///
    /// # Errors
    /// [`Reason::ConnectFailed`], [`Reason::ConnectTimeout`].
    pub(crate) async fn dial_proxy(&self, address: SocketAddr) -> Result<TcpStream, Reason> {
        let dialed = dial(address, PeerKind::Proxy, self.mark, CONNECT_TIMEOUT).await;
        dialed.map_err(|error| connect_reason(&error))
    }

    /// TCP to an application.
    ///
    /// # Errors
    /// As [`Connector::dial_proxy`].
    pub(crate) async fn dial_application(&self, to: ApplicationAddress) -> Result<TcpStream, Reason> {
        self.dial_within(to, CONNECT_TIMEOUT).await
    }

    async fn dial_within(&self, to: ApplicationAddress, timeout: Duration) -> Result<TcpStream, Reason> {
        let dialed = self.applications.dial(to, self.mark, timeout).await;
        dialed.map_err(|error| connect_reason(&error))
    }

    /// TCP to an application; where it has an address of the other family too, to whichever answers first (RFC 8305).
    ///
    /// # Errors
    /// As [`Connector::dial_proxy`].
    pub(crate) async fn dial_either(
        &self,
        to: ApplicationAddress,
        other: Option<IpAddr>,
        pool: Option<&ConnectionPool>,
    ) -> Result<TcpStream, Reason> {
        let timeout = pool.and_then(|pool| pool.connect_timeout).unwrap_or(CONNECT_TIMEOUT);
        let tcp = match other {
            None => self.dial_within(to, timeout).await?,
            Some(other) => {
                let both = [to.called, SocketAddr::new(other, to.called.port())];
                let connect = |address| dial(address, PeerKind::Anyone, self.mark, timeout);
                let dialed = Box::pin(codec::dial::connect_first(&both, connect)).await;
                dialed.map_err(|error| connect_reason(&error))?
            }
        };
        if let Some(probes) = pool.and_then(|pool| pool.tcp_keepalive) {
            keep_alive(&tcp, probes);
        }
        Ok(tcp)
    }

    /// A socket that exchanges datagrams with an application.
    ///
    /// # Errors
    /// [`Reason::ConnectFailed`].
    pub(crate) async fn datagrams(&self, to: SocketAddr) -> Result<UdpSocket, Reason> {
        let socket = connect_datagrams(to, self.mark).await;
        socket.map_err(|error| connect_reason(&error))
    }

    /// TLS to an application, on a connection that was just made.
    ///
    /// # Errors
    /// [`Reason::BackendTlsUnusable`], [`Reason::TlsFailed`], [`Reason::ConnectTimeout`].
    pub(crate) async fn begin_tls(
        &self,
        tcp: TcpStream,
        tls: &BackendTlsClient,
        inside: TlsPayload,
    ) -> Result<TlsStream<TcpStream>, Reason> {
        let (name, config) = tls.handshake(inside).ok_or(Reason::BackendTlsUnusable)?;
        match timeout(HANDSHAKE_TIMEOUT, TlsConnector::from(config).connect(name, tcp)).await {
            Ok(shaken) => shaken.map_err(|error| {
                tracing::debug!(%error, ?tls, "TLS with a backend");
                Reason::TlsFailed
            }),
            Err(_) => Err(Reason::ConnectTimeout),
        }
    }

    /// HTTP/2 to an application, without TLS of the mesh.
    ///
    /// # Errors
    /// As [`Connector::dial_proxy`] and [`Connector::begin_tls`].
    pub(crate) async fn open_plain(
        &self,
        to: ApplicationAddress,
        other: Option<IpAddr>,
        tls: Option<&Arc<BackendTlsClient>>,
        pool: Option<&ConnectionPool>,
    ) -> Result<Rc<Http2Connection>, Reason> {
        let tcp = self.dial_either(to, other, pool).await?;
        let sender = match tls {
            None => self.drive(start(tcp, &ClientOptions::default()).await?),
            Some(tls) => {
                let options = ClientOptions { scheme: Scheme::HTTPS, ..ClientOptions::default() };
                self.drive(start(self.begin_tls(tcp, tls, TlsPayload::Http2).await?, &options).await?)
            }
        };
        let duration = pool.and_then(|pool| pool.max_connection_duration);
        let connection = Http2Connection {
            sender,
            peer: None,
            meeting: None,
            expires: None,
            retires: duration.map(|duration| Instant::now() + duration),
            idle_max: pool.and_then(|pool| pool.http_idle_timeout),
        };
        // An application that is busy elsewhere may be late with its SETTINGS; then we guess.
        let _ = timeout(SETTINGS_WAIT_MAX, connection.sender.settled()).await;
        Ok(Rc::new(connection))
    }

    fn drive(&self, (sender, driving): (Http2Sender, impl Future<Output = ()> + 'static)) -> Http2Sender {
        self.tasks.spawn_local("http2 upstream", driving);
        sender
    }

    /// The mesh transport, to the proxy at `address`, which must be one of `expected`.
    ///
    /// # Errors
    /// As [`Connector::dial_proxy`]; [`Reason::TlsFailed`]. Nothing of any request was sent then.
    pub(crate) async fn open_mesh(
        &self,
        address: SocketAddr,
        expected: &[SpiffeId],
    ) -> Result<Rc<Http2Connection>, Reason> {
        let tcp = self.dial_proxy(address).await?;
        let connected = self.tls.connect(tcp, expected).await?;
        let expires = connected.expires();
        self.start_mesh(connected, MeshPath::Direct(address), expires).await
    }

    /// The mesh transport once more, through the gateway at the other end of `outer`: to the workload with that uid,
    /// or to one that the gateway chooses.
    ///
    /// # Errors
    /// As [`Connector::open_mesh`]; [`Reason::GatewayRefused`], [`Reason::DeniedUpstream`].
    pub(crate) async fn open_through(
        &self,
        outer: &Http2Connection,
        through: Through,
        uid: Option<&str>,
        expected: &[SpiffeId],
    ) -> Result<Rc<Http2Connection>, Reason> {
        let authority = format!("{}:{}", through.host, through.port);
        let mut headers = HeaderMap::new();
        if let Some(uid) = uid {
            let uid = HeaderValue::from_str(uid).map_err(|_| Reason::ConnectFailed)?;
            headers.insert(HEADER_WORKLOAD, uid);
        }
        let opening = outer.sender.tunnel(&authority, headers);
        let tunnel = match timeout(GATEWAY_TIMEOUT, opening).await {
            Ok(Ok(tunnel)) => tunnel,
            Ok(Err(error)) => return Err(tunnel_reason(&error)),
            Err(_) => return Err(Reason::ConnectTimeout),
        };
        let inner = self.tls.connect(tunnel, expected).await?;
        // It retires with the outer connection, whose gateway takes nothing new from then on.
        let expires = outer.expires.map_or(inner.expires(), |outer| outer.min(inner.expires()));
        self.start_mesh(inner, MeshPath::Through(through), expires).await
    }

    /// When the certificate ends that it would show now.
    pub(crate) fn own_expires(&self) -> Instant {
        self.tls.own_expires()
    }

    async fn start_mesh(
        &self,
        with: Connected<impl Io>,
        path: MeshPath,
        expires: Instant,
    ) -> Result<Rc<Http2Connection>, Reason> {
        // Only proxies are asked: many an application takes a PING that
        // it did not expect for an attack (gRPC).
        let options = ClientOptions {
            keepalive: Some(KEEPALIVE),
            initial_max_streams: STREAMS_MAX as usize,
            ..ClientOptions::default()
        };
        let Connected { tls, peer, validity, own_expires } = with;
        let (sender, driving) = start(tls, &options).await?;
        let meeting = Meeting::new(validity.peer(), path);
        let watching = watch(sender.clone(), Rc::clone(&self.tls), validity, own_expires);
        self.tasks.spawn_local("http2 upstream", async move {
            tokio::select! {
                biased;
                () = watching => {}
                () = driving => {}
            }
        });
        let now = Instant::now();
        let left = expires.saturating_duration_since(now);
        let retires = now + left - (left / 10).min(RETIRE_AHEAD_MAX);
        let (peer, expires, retires) = (Some(peer), Some(expires), Some(retires));
        Ok(Rc::new(Http2Connection { sender, peer, meeting, expires, retires, idle_max: None }))
    }
}

/// HTTP/2 on `io`, and what drives it.
async fn start<I: Io>(
    io: I,
    options: &ClientOptions,
) -> Result<(Http2Sender, impl Future<Output = ()> + use<I>), Reason> {
    codec::http2::connect(io, options).await.map_err(|_| Reason::ConnectFailed)
}

/// Ends when nothing on the connection may go on: its callee has not proved itself anew for too long, or is not trusted
/// any longer.
async fn watch(sender: Http2Sender, tls: Rc<MeshTls>, validity: PeerValidity, own_expires: Instant) {
    // In TLS 1.3 a caller is done with the handshake before its certificate was looked at; the first frame tells.
    let is_settled = timeout(HANDSHAKE_TIMEOUT, sender.settled()).await.is_ok();
    if is_settled && !sender.is_closed() {
        validity.was_shown(own_expires);
    }
    drop(sender);
    let reason = tls.until_refused(&validity).await.row().code;
    tracing::warn!(callee = %validity.peer().id(), reason, "cut: the callee would not be believed again");
}

/// What a failed `connect` means.
pub(crate) fn connect_reason(error: &io::Error) -> Reason {
    match error.kind() {
        io::ErrorKind::TimedOut => Reason::ConnectTimeout,
        _ => Reason::ConnectFailed,
    }
}

/// Why a gateway gave no tunnel; whatever it was, no request was sent yet.
fn tunnel_reason(error: &SendError) -> Reason {
    match error.kind {
        SendErrorKind::Status(_) if is_denied(error) => Reason::DeniedUpstream,
        SendErrorKind::Status(_) | SendErrorKind::Refused => Reason::GatewayRefused,
        SendErrorKind::Full => Reason::UpstreamOverflow,
        _ if error.transport().is_some_and(identity::is_refused) => Reason::TlsFailed,
        _ => Reason::ConnectFailed,
    }
}

/// Whether a policy of the gateway said no: then no other gateway may be asked.
fn is_denied(error: &SendError) -> bool {
    error.headers.as_deref().and_then(failure::told) == Some(Reason::DeniedUpstream)
}
