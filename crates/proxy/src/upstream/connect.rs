//! Making connections: TCP alone, HTTP/2 to an application, HTTP/2 in TLS with the expected identity to a proxy, and
//! across networks TLS once more inside a tunnel through the gateway. It keeps none of them: see the
//! pools.

use crate::accept::{Mark, PeerKind, dial};
use crate::failure;
use crate::mesh_tls::{Connected, MeshTls};
use crate::peer::Peer;
use codec::http2::Http2Sender;
use codec::{ClientOptions, Io, KeepaliveOptions, SendError, SendErrorKind};
use daemon::Tasks;
use http::HeaderMap;
use model::{Hostname, Reason, SpiffeId};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

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
    /// When the first certificate ends that it stands on. `None`: no TLS.
    expires: Option<Instant>,
    /// From then on it takes no new streams: a certificate on it is about to expire. `None`: no TLS.
    retires: Option<Instant>,
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
    tasks: Tasks,
}

impl Connector {
    /// Proves itself by `tls`; sockets are marked as `mark` says.
    pub(crate) fn new(tls: Rc<MeshTls>, mark: Mark) -> Self {
        Self { tls, mark, tasks: Tasks::new() }
    }

    /// What drives connections.
    pub(crate) fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// TCP to `reader`.
    ///
    /// # Errors
    /// [`Reason::ConnectFailed`], [`Reason::ConnectTimeout`].
    pub(crate) async fn dial(&self, address: SocketAddr, reader: PeerKind) -> Result<TcpStream, Reason> {
        dial(address, reader, self.mark, CONNECT_TIMEOUT).await.map_err(|error| connect_reason(&error))
    }

    /// HTTP/2 without TLS, to an application.
    ///
    /// # Errors
    /// As [`Connector::dial`].
    pub(crate) async fn open_plain(&self, address: SocketAddr) -> Result<Rc<Http2Connection>, Reason> {
        let tcp = self.dial(address, PeerKind::Anyone).await?;
        let connection = self.start(tcp, &ClientOptions::default(), None).await?;
        // An application that is busy elsewhere may be late with its SETTINGS; then we guess.
        let _ = timeout(SETTINGS_WAIT_MAX, connection.sender.settled()).await;
        Ok(connection)
    }

    /// The mesh transport, to the proxy at `address`, which must be one of `expected`.
    ///
    /// # Errors
    /// As [`Connector::dial`]; [`Reason::TlsFailed`]. Nothing of any request was sent then.
    pub(crate) async fn open_mesh(
        &self,
        address: SocketAddr,
        expected: &[SpiffeId],
    ) -> Result<Rc<Http2Connection>, Reason> {
        let tcp = self.dial(address, PeerKind::Proxy).await?;
        let connected = self.tls.connect(tcp, expected).await?;
        self.start_mesh(connected).await
    }

    /// The mesh transport once more, to a workload behind `host:port` through the gateway at the other end of
    /// `outer`.
    ///
    /// # Errors
    /// As [`Connector::open_mesh`]; [`Reason::GatewayRefused`], [`Reason::DeniedUpstream`].
    pub(crate) async fn open_through(
        &self,
        outer: &Http2Connection,
        host: &Hostname,
        port: u16,
        expected: &[SpiffeId],
    ) -> Result<Rc<Http2Connection>, Reason> {
        let authority = format!("{host}:{port}");
        let opening = outer.sender.tunnel(&authority, HeaderMap::new());
        let tunnel = match timeout(GATEWAY_TIMEOUT, opening).await {
            Ok(Ok(tunnel)) => tunnel,
            Ok(Err(error)) => return Err(tunnel_reason(&error)),
            Err(_) => return Err(Reason::ConnectTimeout),
        };
        let mut inner = self.tls.connect(tunnel, expected).await?;
        // The gateway cuts the outer connection some time after that, and this one with it.
        inner.expires = outer.expires.map_or(inner.expires, |outer| outer.min(inner.expires));
        self.start_mesh(inner).await
    }

    async fn start_mesh(&self, with: Connected<impl Io>) -> Result<Rc<Http2Connection>, Reason> {
        // Only proxies are asked: many an application takes a PING that
        // it did not expect for an attack (gRPC).
        let options = ClientOptions {
            keepalive: Some(KEEPALIVE),
            initial_max_streams: STREAMS_MAX as usize,
            ..ClientOptions::default()
        };
        self.start(with.tls, &options, Some((with.peer, with.expires))).await
    }

    async fn start(
        &self,
        io: impl Io,
        options: &ClientOptions,
        proved: Option<(Rc<Peer>, Instant)>,
    ) -> Result<Rc<Http2Connection>, Reason> {
        let connected = codec::http2::connect(io, options).await;
        let (sender, connection) = connected.map_err(|_| Reason::ConnectFailed)?;
        self.tasks.spawn_local("http2 upstream", connection);
        let now = Instant::now();
        let (peer, expires) = proved.unzip();
        let retires = expires.map(|expires| {
            let left = expires.saturating_duration_since(now);
            now + left - (left / 10).min(RETIRE_AHEAD_MAX)
        });
        Ok(Rc::new(Http2Connection { sender, peer, expires, retires }))
    }
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
