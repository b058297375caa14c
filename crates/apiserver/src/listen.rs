//! Where the API listens, and who makes the connections: `caller` says what is known of them before any request.
//!
//! On a Unix socket the kernel tells the user. On TCP nobody is let in who has not been asked who he is, but on a
//! loopback address where that was given up on purpose.

use crate::access::ApiRole;
use crate::caller::{ApiCaller, ApiConnection, Introduction};
use crate::door::Door;
use crate::files::ApiFileError;
use crate::local_roles::{LocalRoles, UnknownName, group};
use crate::options::ApiOptions;
use crate::reread::Reread;
use crate::stream::ApiStream;
use crate::tls::{self, OwnCertificate};
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use daemon::local::{LocalListenError, LocalListener, SocketAccess};
use daemon::repeated::Repeated;
use daemon::users::LocalUser;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use identity::CertificateDer;
use identity::rustls::ServerConfig;
use identity::rustls::server::ResolvesServerCert;
use model::BindAddress;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;

/// Connections of one listener at a time; more wait until one ends.
const CONNECTIONS_MAX: usize = 256;
/// How long it may take to learn who made a connection; then it is closed.
const INTRODUCTION_TIMEOUT: Duration = Duration::from_secs(10);
/// Rest after a failed accept (out of descriptors), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

static NOT_ACCEPTED: Repeated = Repeated::new();
static NOT_INTRODUCED: Repeated = Repeated::new();

/// Why the API does not listen.
#[derive(Debug, Error)]
pub enum ApiListenError {
    /// On a Unix socket.
    #[error("--api")]
    Local(#[from] LocalListenError),
    /// At an address.
    #[error("listen on {address} (--api)")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// An option names nobody.
    #[error(transparent)]
    Unknown(#[from] UnknownName),
    /// Anybody could call.
    #[error(
        "--api={0}: over TCP anybody could call and make join tokens; say who may with --api-token-file or \
         --api-client-ca-file, or listen on a Unix socket (--api=unix:PATH)"
    )]
    Unauthenticated(SocketAddr),
    /// A file of an option.
    #[error("read what the options of the API name")]
    File(#[from] ApiFileError),
    /// Options that would do nothing.
    #[error("{0}: no --api is an address where TLS is spoken; leave it out")]
    NoTls(&'static str),
    /// An option that would do nothing.
    #[error("--api-insecure-loopback: no --api is an address on loopback; leave it out")]
    NoLoopback,
}

/// All places where one API listens.
pub struct ApiListeners {
    pub(crate) all: Vec<ApiListener>,
    pub(crate) door: Door,
    own: OwnCertificate,
}

impl ApiListeners {
    /// Listens on all `addresses`.
    ///
    /// # Errors
    /// See [`ApiListenError`]; nothing is left open then.
    pub async fn open(addresses: &[BindAddress], options: &ApiOptions) -> Result<Self, ApiListenError> {
        if options.api_insecure_loopback && !addresses.iter().any(BindAddress::is_loopback) {
            return Err(ApiListenError::NoLoopback);
        }
        let roles = Arc::new(LocalRoles::read(options)?);
        let access = match &options.api_group {
            Some(name) => SocketAccess::Group(group("--api-group", name)?),
            None => SocketAccess::Owner,
        };
        let is_open = |at: &BindAddress| options.api_insecure_loopback && at.is_loopback();
        let is_tls = |at: &BindAddress| matches!(at, BindAddress::Tcp(_)) && !is_open(at);
        check(options, addresses.iter().any(is_tls))?;
        let own = OwnCertificate::default();
        let tls = Arc::new(tls::config(options, Arc::clone(&own))?);
        let mut all = Vec::with_capacity(addresses.len());
        for at in addresses {
            let (socket, address) = match at {
                BindAddress::Unix(path) => {
                    let listener = LocalListener::bind(path, access).await?;
                    (Socket::Local(listener, Arc::clone(&roles)), at.clone())
                }
                BindAddress::Tcp(address) if is_open(at) => {
                    let (listener, address) = bind(*address).await?;
                    (Socket::Open(listener, address.ip()), address.into())
                }
                BindAddress::Tcp(address)
                    if options.api_token_file.is_none() && options.api_client_ca_file.is_none() =>
                {
                    return Err(ApiListenError::Unauthenticated(*address));
                }
                BindAddress::Tcp(address) => {
                    let (listener, address) = bind(*address).await?;
                    (Socket::Tls(listener, Arc::clone(&tls)), address.into())
                }
            };
            all.push(ApiListener::new(socket, address));
        }
        Ok(Self { all, door: Door::open(options)?, own })
    }

    /// From here on shows this certificate on TCP, where no file was named.
    pub fn show(&self, certificate: Arc<dyn ResolvesServerCert>) {
        // Only the first counts, and it follows its renewals by itself.
        let _ = self.own.set(certificate);
    }

    /// Where they are, with the ports that the system chose.
    pub fn addresses(&self) -> Vec<BindAddress> {
        self.all.iter().map(|listener| listener.address.clone()).collect()
    }
}

/// Options that need TLS to do something.
fn check(options: &ApiOptions, has_tls: bool) -> Result<(), ApiListenError> {
    let named = [
        ("--api-client-ca-file", options.api_client_ca_file.is_some()),
        ("--api-tls-cert-file", options.api_tls_cert_file.is_some()),
    ];
    match named.into_iter().find(|(_, is_named)| *is_named && !has_tls) {
        Some((option, _)) => Err(ApiListenError::NoTls(option)),
        None => Ok(()),
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ApiListenError> {
    let bound = TcpListener::bind(address).await.and_then(|listener| {
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    bound.map_err(|cause| ApiListenError::Bind { address, cause })
}

impl Connected<IncomingStream<'_, ApiListener>> for ApiConnection {
    fn connect_info(stream: IncomingStream<'_, ApiListener>) -> Self {
        stream.remote_addr().clone()
    }
}

enum Socket {
    /// Who calls is told by the kernel.
    Local(LocalListener, Arc<LocalRoles>),
    /// Who calls is told by a client certificate, or by a token in the request.
    Tls(TcpListener, Arc<Reread<ServerConfig>>),
    /// Nobody is asked: `--api-insecure-loopback`.
    Open(TcpListener, IpAddr),
}

/// A connection of which it is not known yet who made it.
enum Arrival {
    Local(UnixStream, Arc<LocalRoles>),
    Tls(TcpStream, Arc<ServerConfig>),
    Open(TcpStream, IpAddr),
}

/// One place where the API listens.
pub(crate) struct ApiListener {
    socket: Socket,
    address: BindAddress,
    slots: Arc<Semaphore>,
    /// They hold up nobody else; each has a slot.
    arrivals: FuturesUnordered<BoxFuture<'static, Option<(ApiStream, ApiConnection)>>>,
}

impl ApiListener {
    fn new(socket: Socket, address: BindAddress) -> Self {
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        Self { socket, address, slots, arrivals: FuturesUnordered::new() }
    }
}

impl Listener for ApiListener {
    type Io = ApiStream;
    type Addr = ApiConnection;

    async fn accept(&mut self) -> (ApiStream, ApiConnection) {
        let Self { socket, slots, arrivals, .. } = self;
        loop {
            tokio::select! {
                Some(arrived) = arrivals.next(), if !arrivals.is_empty() => {
                    if let Some(arrived) = arrived {
                        return arrived;
                    }
                }
                arrival = next(socket, slots) => match arrival {
                    Ok((arrival, slot)) => arrivals.push(Box::pin(introduce(arrival, slot))),
                    Err(cause) => {
                        if let Some(held_back) = NOT_ACCEPTED.admit(Instant::now()) {
                            tracing::warn!(%cause, held_back, "API connection not accepted");
                        }
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

async fn next(socket: &Socket, slots: &Arc<Semaphore>) -> io::Result<(Arrival, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let arrival = match socket {
        Socket::Local(listener, roles) => Arrival::Local(listener.accept().await?, Arc::clone(roles)),
        Socket::Tls(listener, config) => Arrival::Tls(listener.accept().await?.0, config.current()),
        Socket::Open(listener, bound) => Arrival::Open(listener.accept().await?.0, *bound),
    };
    Ok((arrival, slot))
}

/// Learns who made a connection; one whose maker cannot be told is closed.
async fn introduce(arrival: Arrival, slot: OwnedSemaphorePermit) -> Option<(ApiStream, ApiConnection)> {
    let introduced = tokio::time::timeout(INTRODUCTION_TIMEOUT, async move {
        match arrival {
            Arrival::Local(stream, roles) => {
                let introduction = of_user(&stream, roles).await?;
                Ok(stream_of(stream, slot, ApiConnection::of(introduction)))
            }
            Arrival::Tls(stream, config) => {
                let stream = TlsAcceptor::from(config).accept(stream).await?;
                let connection = of_certificate(stream.get_ref().1.peer_certificates());
                Ok(stream_of(stream, slot, connection))
            }
            Arrival::Open(stream, bound) => {
                let caller = ApiCaller { user: "anybody on loopback".into(), role: ApiRole::Admin };
                let connection = ApiConnection::of(Introduction::Caller(caller));
                Ok(stream_of(stream, slot, ApiConnection { bound: Some(bound), ..connection }))
            }
        }
    });
    let cause: io::Error = match introduced.await {
        Ok(Ok(introduced)) => return Some(introduced),
        Ok(Err(cause)) => cause,
        Err(_) => io::ErrorKind::TimedOut.into(),
    };
    if let Some(held_back) = NOT_INTRODUCED.admit(Instant::now()) {
        tracing::warn!(%cause, held_back, "who calls the API cannot be told; closed");
    }
    None
}

fn stream_of<T>(
    carrier: T,
    slot: OwnedSemaphorePermit,
    connection: ApiConnection,
) -> (ApiStream, ApiConnection)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    (ApiStream::new(carrier, slot, Arc::clone(&connection.is_admitted)), connection)
}

fn of_certificate(shown: Option<&[CertificateDer<'_>]>) -> ApiConnection {
    match shown.and_then(<[_]>::first) {
        Some(certificate) => {
            let (introduction, ends) = tls::introduce(certificate);
            ApiConnection { ends: Some(ends), ..ApiConnection::of(introduction) }
        }
        None => ApiConnection::of(Introduction::Nobody),
    }
}

async fn of_user(stream: &UnixStream, roles: Arc<LocalRoles>) -> io::Result<Introduction> {
    match LocalUser::of(stream)? {
        // The machine's tables of users may be far away.
        Some(user) => {
            tokio::task::spawn_blocking(move || roles.introduce(user)).await.map_err(io::Error::other)
        }
        None => Ok(Introduction::Stranger {
            user: "a user of another namespace".into(),
            advice: "call from the server's own user namespace".into(),
        }),
    }
}
