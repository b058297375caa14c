//! Sockets: listeners of one worker, and dialing out. Every worker has listeners of its own on the same
//! ports (`SO_REUSEPORT`), so that accepting needs no lock. Read `worker` for who uses them, `detect` next.

#[cfg(test)]
mod tests;

use daemon::repeated::Repeated;
use model::address::SOCKET_MARK;
use model::traffic::TcpKeepaliveProbes;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{BorrowedFd, RawFd};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// Connections that the kernel holds for us before we accept them; more are dropped and tried again by the
/// caller's kernel.
const BACKLOG: i32 = 4096;
/// Idle time before the kernel asks whether a peer still exists.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
/// Between such questions.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(3);
/// Unanswered questions before the connection is given up.
const KEEPALIVE_PROBES: u32 = 3;
/// A connection ends when its peer acknowledges no bytes for this time: so a vanished host is noticed.
const PROXY_USER_TIMEOUT: Duration = Duration::from_secs(8);
/// The same for an application or a caller from outside, which may pause.
const USER_TIMEOUT: Duration = codec::WRITE_TIMEOUT;
/// After an error of `accept` that is about this process (no descriptors left), wait so long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// `errno` of a kernel without an address family (Linux, all architectures that we build for).
const EAFNOSUPPORT: i32 = 97;

static NOT_ACCEPTED: Repeated = Repeated::new();

/// Whether our sockets carry the mark that keeps them from being captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Beside an application whose traffic is captured.
    Captured,
    /// A gateway; setting marks needs a privilege that it may not have.
    Free,
}

/// Who reads what we send. The kernel ends a connection on which sent bytes are not taken for too long, and
/// counts the time that a living peer does not read like that of a vanished one (`TCP_USER_TIMEOUT`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeerKind {
    /// A proxy, which always reads.
    Proxy,
    /// An application, or a caller from outside.
    Anyone,
}

impl PeerKind {
    fn user_timeout(self) -> Duration {
        match self {
            Self::Proxy => PROXY_USER_TIMEOUT,
            Self::Anyone => USER_TIMEOUT,
        }
    }
}

/// Which listeners share an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// With the other workers: with any socket of this user that shares it too.
    Workers,
    /// With nobody.
    No,
}

/// Sockets at `address` that do not listen yet: one, or where all addresses are meant one of IPv4 and, where the kernel has
/// it, one of IPv6. Apart, so that no address is an IPv4 one in the clothes of IPv6.
pub(crate) fn bind_all(address: SocketAddr, sharing: Sharing) -> io::Result<Vec<Socket>> {
    if !address.ip().is_unspecified() {
        return Ok(vec![bind(address, sharing)?]);
    }
    let v4 = bind((Ipv4Addr::UNSPECIFIED, address.port()).into(), sharing)?;
    let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, address.port()));
    match bind(v6, sharing) {
        Ok(v6) => Ok(vec![v4, v6]),
        Err(cause) if is_without_ipv6(&cause) => Ok(vec![v4]),
        Err(cause) => Err(io::Error::new(cause.kind(), format!("{v6}: {cause}"))),
    }
}

fn bind(address: SocketAddr, sharing: Sharing) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(sharing == Sharing::Workers)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Opens a listener at one address.
#[cfg(test)]
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    listen_with(bind(address, Sharing::Workers)?)
}

/// Opens the listeners of this worker at `address`: see [`bind_all`].
pub(crate) fn listen_all(address: SocketAddr) -> io::Result<Vec<TcpListener>> {
    bind_all(address, Sharing::Workers)?.into_iter().map(listen_with).collect()
}

fn listen_with(socket: Socket) -> io::Result<TcpListener> {
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// This worker's copy of a listening socket that was handed in. The descriptor itself stays open: other
/// workers copy it too, and its owner outside decides when it ends.
pub(crate) fn inherit(fd: RawFd) -> io::Result<TcpListener> {
    // SAFETY: the descriptor was named on the command line as open for the life of the process; nothing in
    // this program closes it.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    let socket = SockRef::from(&borrowed).try_clone()?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// Opens listeners of this worker at all addresses of this host.
pub(crate) fn listen_everywhere(port: u16) -> io::Result<Vec<TcpListener>> {
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    listen_all(address).map_err(|cause| io::Error::new(cause.kind(), format!("listen on {address}: {cause}")))
}

/// Whether the kernel, or this network namespace, has no IPv6.
fn is_without_ipv6(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

/// Accepts connections of peers of `peer_kind` until `stop`, then takes what the kernel has already completed, so that
/// closing the listener resets nobody; `take` must not wait.
pub(crate) async fn accept(
    listener: TcpListener,
    peer_kind: PeerKind,
    stop: impl Future<Output = ()>,
    mut take: impl FnMut(TcpStream, SocketAddr),
) {
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => admit(stream, peer_kind, peer, &mut take),
                Err(error) if is_about_one_connection(&error) => {}
                Err(error) => {
                    if let Some(held_back) = NOT_ACCEPTED.admit(Instant::now()) {
                        tracing::warn!(%error, held_back, "connections are not accepted");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    while let Some(Ok((stream, peer))) = futures_util::FutureExt::now_or_never(listener.accept()) {
        admit(stream, peer_kind, peer, &mut take);
    }
}

fn admit(
    stream: TcpStream,
    peer_kind: PeerKind,
    peer: SocketAddr,
    take: &mut impl FnMut(TcpStream, SocketAddr),
) {
    if let Err(error) = prepare(&SockRef::from(&stream), peer_kind) {
        tracing::debug!(%error, %peer, "options of an accepted socket");
    }
    take(stream, peer);
}

fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

fn prepare(socket: &SockRef<'_>, peer_kind: PeerKind) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL);
    socket.set_tcp_keepalive(&keepalive.with_retries(KEEPALIVE_PROBES))?;
    socket.set_tcp_user_timeout(Some(peer_kind.user_timeout()))
}

/// Connects to a peer of `peer_kind`, at most as long as `timeout`.
pub(crate) async fn dial(
    to: SocketAddr,
    peer_kind: PeerKind,
    mark: Mark,
    timeout: Duration,
) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if mark == Mark::Captured {
        socket.set_mark(SOCKET_MARK)?;
    }
    prepare(&SockRef::from(&socket), peer_kind)?;
    let socket = tokio::net::TcpSocket::from_std_stream(socket.into());
    tokio::time::timeout(timeout, socket.connect(to)).await?
}

/// Has the kernel ask whether the other end is still there as is said; what is not said is as for every connection. How
/// many questions may stay without an answer counts then alone, for [`USER_TIMEOUT`] would count before that.
pub(crate) fn keep_alive(stream: &TcpStream, said: TcpKeepaliveProbes) {
    let keepalive = TcpKeepalive::new()
        .with_time(said.time.unwrap_or(KEEPALIVE_IDLE))
        .with_interval(said.interval.unwrap_or(KEEPALIVE_INTERVAL))
        .with_retries(said.probes.unwrap_or(KEEPALIVE_PROBES));
    let socket = SockRef::from(stream);
    let set = socket.set_tcp_keepalive(&keepalive).and_then(|()| socket.set_tcp_user_timeout(None));
    if let Err(error) = set {
        tracing::debug!(%error, "keepalive of a connection to a backend");
    }
}

/// Opens the sockets of this worker for datagrams to `address`, as [`listen_all`].
pub(crate) fn listen_datagrams(address: SocketAddr) -> io::Result<Vec<UdpSocket>> {
    let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, address.port()));
    let second = address.ip().is_unspecified().then(|| bind_datagrams(v6));
    let first = match address.ip().is_unspecified() {
        true => bind_datagrams((Ipv4Addr::UNSPECIFIED, address.port()).into())?,
        false => bind_datagrams(address)?,
    };
    match second {
        None => Ok(vec![first]),
        Some(Ok(second)) => Ok(vec![first, second]),
        Some(Err(cause)) if is_without_ipv6(&cause) => Ok(vec![first]),
        Some(Err(cause)) => Err(cause),
    }
}

fn bind_datagrams(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Workers share it: the kernel gives each caller's datagrams to the same one.
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

/// A socket of its own for datagrams to and from `to`.
pub(crate) async fn connect_datagrams(to: SocketAddr, mark: Mark) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(to), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if mark == Mark::Captured {
        socket.set_mark(SOCKET_MARK)?;
    }
    let socket = UdpSocket::from_std(socket.into())?;
    socket.connect(to).await?;
    Ok(socket)
}

/// Where a captured connection wanted to go; `None`: it was not captured but came to us directly.
pub(crate) fn original_destination(stream: &TcpStream) -> Option<SocketAddr> {
    let socket = SockRef::from(stream);
    let is_v4 = stream.local_addr().is_ok_and(|local| local.is_ipv4());
    let original = if is_v4 { socket.original_dst_v4() } else { socket.original_dst_v6() };
    let original = original.ok()?.as_socket()?;
    // Without redirection the kernel may answer with the address that was connected.
    (stream.local_addr().ok() != Some(original)).then_some(original)
}
