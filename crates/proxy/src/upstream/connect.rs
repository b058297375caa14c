//! Making one HTTP/2 connection: TCP alone to an application, TCP and TLS with the expected identity to a
//! proxy, and across networks TLS once more inside a tunnel through the gateway (design, D4).

use crate::accept::{Reader, dial};
use crate::failure::{self, Failure};
use crate::peer::Peer;
use crate::secure::{self, Connected};
use crate::upstream::http2_pool::{Pool, Transport};
use crate::upstream::{CONNECT_TIMEOUT, http1_pool};

use crate::worker::Worker;
use codec::http2::Sender;
use codec::{ClientOptions, Io, KeepaliveOptions, SendError, SendErrorKind, Tunnel};
use http::HeaderMap;
use model::{Hostname, Reason, SpiffeId};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

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
pub(crate) struct Connection {
    /// Opens streams.
    pub(crate) sender: Sender,
    /// Who answered the handshake; `None`: no TLS.
    pub(crate) peer: Option<Rc<Peer>>,
    /// When the first certificate ends that it stands on. `None`: no TLS.
    expires: Option<Instant>,
    /// From then on it takes no new streams: a certificate on it is about to expire. `None`: no TLS.
    retires: Option<Instant>,
}

impl Connection {
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

    /// Whether its peer is one of these.
    pub(crate) fn is_one_of(&self, expected: &[SpiffeId]) -> bool {
        self.peer.as_ref().is_some_and(|peer| expected.contains(&peer.id))
    }
}

/// Opens a connection along `way`.
///
/// # Errors
/// [`Reason::ConnectFailed`], [`Reason::ConnectTimeout`], [`Reason::TlsFailed`], [`Reason::GatewayRefused`],
/// [`Reason::DeniedUpstream`].
/// Nothing of any request was sent in any of these cases.
pub(crate) async fn open(worker: &Rc<Worker>, transport: &Transport) -> Result<Rc<Connection>, Failure> {
    match transport {
        Transport::Direct { address, identities } => {
            let tcp = dial_reason(worker, *address, Reader::Proxy).await?;
            start_secure(worker, secure::connect(worker, tcp, identities).await?).await
        }
        Transport::Through { gateway, gateway_identity, service, identities } => {
            let (tunnel, outer) = through(worker, *gateway, gateway_identity, service).await?;
            let mut inner = secure::connect(worker, tunnel, identities).await?;
            // The gateway cuts the outer connection some time after that, and this one with it.
            inner.expires = outer.map_or(inner.expires, |outer| outer.min(inner.expires));
            start_secure(worker, inner).await
        }
        Transport::Application { address } => {
            let tcp = dial_reason(worker, *address, Reader::Anyone).await?;
            start(worker, tcp, None).await
        }
    }
}

async fn dial_reason(
    worker: &Worker,
    address: SocketAddr,
    reader: Reader,
) -> Result<tokio::net::TcpStream, Failure> {
    let dialed = dial(address, reader, worker.mark(), CONNECT_TIMEOUT).await;
    dialed.map_err(|error| http1_pool::connect_reason(&error).into())
}

/// A tunnel through a gateway, and when the connection that carries it ends.
type Carried = (Tunnel, Option<Instant>);

/// A tunnel through a gateway to any workload behind `service`. Boxed: it needs the outer connection, whose
/// making comes here again.
fn through<'a>(
    worker: &'a Rc<Worker>,
    gateway: SocketAddr,
    identity: &'a SpiffeId,
    service: &'a (Hostname, u16),
) -> Pin<Box<dyn Future<Output = Result<Carried, Failure>> + 'a>> {
    Box::pin(async move {
        let outer = Pool::lease_gateway(worker, gateway, identity).await?;
        let authority = format!("{}:{}", service.0, service.1);
        let opening = outer.connection.sender.tunnel(&authority, HeaderMap::new());
        match tokio::time::timeout(GATEWAY_TIMEOUT, opening).await {
            Ok(Ok(tunnel)) => Ok((tunnel, outer.connection.expires)),
            Ok(Err(error)) => Err(tunnel_reason(&error).into()),
            Err(_) => Err(Reason::ConnectTimeout.into()),
        }
    })
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

async fn start_secure(worker: &Rc<Worker>, with: Connected<impl Io>) -> Result<Rc<Connection>, Failure> {
    start(worker, with.tls, Some((with.peer, with.expires))).await
}

async fn start(
    worker: &Rc<Worker>,
    io: impl Io,
    proved: Option<(Rc<Peer>, Instant)>,
) -> Result<Rc<Connection>, Failure> {
    // Another proxy has looked at what it passes on. Only proxies are asked: many an application takes a PING that it
    // did not expect for an attack (gRPC).
    let options = match &proved {
        Some(_) => ClientOptions {
            follows_fields: false,
            keepalive: Some(KEEPALIVE),
            initial_max_streams: STREAMS_MAX as usize,
            ..ClientOptions::default()
        },
        None => ClientOptions::default(),
    };
    let (sender, connection) =
        codec::http2::connect(io, &options).await.map_err(|_| Reason::ConnectFailed)?;
    worker.background.spawn_local("http2 upstream", connection);
    if proved.is_none() {
        // An application that is busy elsewhere may be late with them; then we guess.
        let _ = tokio::time::timeout(SETTINGS_WAIT_MAX, sender.settled()).await;
    }
    let now = Instant::now();
    let (peer, expires) = proved.unzip();
    let retires = expires.map(|expires| {
        let left = expires.saturating_duration_since(now);
        now + left - (left / 10).min(RETIRE_AHEAD_MAX)
    });
    Ok(Rc::new(Connection { sender, peer, expires, retires }))
}
