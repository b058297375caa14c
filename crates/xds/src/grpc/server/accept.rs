//! Sockets in, handshakes done, peers named; and ended when a peer's certificate has long expired.

use super::super::HANDSHAKE_TIMEOUT;
use super::{CallingPeer, HandshakeObserver, Tls, Wall};
use model::address::source;
use model::trust::{EXPIRED_GRACE, Shown};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, Sleep};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

/// Handshakes at once; when it is reached, accepting waits and the kernel's queue fills.
const HANDSHAKES_MAX: usize = 1024;
/// Handshakes of one source at once; further connections from there are closed, so that one that never
/// finishes any does not keep out all others.
const HANDSHAKES_PER_SOURCE_MAX: usize = 64;
/// How long a connection without a client certificate lasts: long enough for joining, which is all that it is
/// good for.
const ANONYMOUS_MAX: Duration = Duration::from_secs(30);
/// Longest single sleep: the wall clock may be set, or the machine suspended, while we sleep.
const NAP_MAX: Duration = Duration::from_secs(30);
/// Rest after a failed accept (out of descriptors), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Failed accepts are logged at most this often.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// An accepted connection.
pub(crate) struct Connection {
    peer: CallingPeer,
    io: Stream,
    /// `None`: as long as the peer likes.
    until: Option<Until>,
}

/// When a connection ends whatever its peer does.
struct Until {
    sleep: Pin<Box<Sleep>>,
    /// The moment, by the wall clock; `None`: when the sleep is over.
    expiry: Option<(SystemTime, Wall)>,
}

impl Until {
    fn anonymous() -> Self {
        Self { sleep: Box::pin(tokio::time::sleep(ANONYMOUS_MAX)), expiry: None }
    }

    fn expired(expires: SystemTime, wall: Wall) -> Self {
        let sleep = Box::pin(tokio::time::sleep(Duration::ZERO));
        Self { sleep, expiry: Some((expires + EXPIRED_GRACE, wall)) }
    }

    /// May be asked again after it was over.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            let left = self.expiry.as_ref().and_then(|(at, wall)| at.duration_since(wall()).ok());
            match left.filter(|left| !left.is_zero()) {
                Some(left) => self.sleep.as_mut().reset(Instant::now() + left.min(NAP_MAX)),
                None => return Poll::Ready(()),
            }
        }
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Accepts until the receiver of `connections` is gone.
pub(crate) async fn run(
    listener: TcpListener,
    tls: Option<Tls>,
    refused: HandshakeObserver,
    connections: mpsc::Sender<io::Result<Connection>>,
) {
    let mut handshakes = JoinSet::new();
    let mut sources: HashMap<Id, IpAddr> = HashMap::new();
    let mut told: Option<Instant> = None;
    loop {
        while let Some(done) = handshakes.try_join_next_with_id() {
            sources.remove(&task_id(&done));
        }
        if handshakes.len() >= HANDSHAKES_MAX
            && let Some(done) = handshakes.join_next_with_id().await
        {
            sources.remove(&task_id(&done));
        }
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = connections.closed() => return,
        };
        let (tcp, address) = match accepted {
            // On a socket of both families an IPv4 caller comes in the clothes of IPv6.
            Ok((tcp, address)) => (tcp, SocketAddr::new(address.ip().to_canonical(), address.port())),
            Err(error) => {
                if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
                    tracing::warn!(%error, "connections are not accepted");
                    told = Some(Instant::now());
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let source = source(address.ip());
        if sources.values().filter(|other| **other == source).count() >= HANDSHAKES_PER_SOURCE_MAX {
            refused(address, &io::Error::other("too many handshakes at once from there"));
            continue;
        }
        let (tls, refused, connections) = (tls.clone(), refused.clone(), connections.clone());
        let handshake = handshakes.spawn(async move {
            let secured = tokio::time::timeout(HANDSHAKE_TIMEOUT, secure(tcp, address, tls)).await;
            match secured.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                // The server is gone only when it drains.
                Ok(connection) => _ = connections.send(Ok(connection)).await,
                Err(error) => refused(address, &error),
            }
        });
        sources.insert(handshake.id(), source);
    }
}

fn task_id(done: &Result<(Id, ()), JoinError>) -> Id {
    match done {
        Ok((id, ())) => *id,
        Err(error) => error.id(),
    }
}

async fn secure(tcp: TcpStream, address: SocketAddr, tls: Option<Tls>) -> io::Result<Connection> {
    tcp.set_nodelay(true)?;
    let Some(tls) = tls else {
        return Ok(Connection { peer: CallingPeer::anonymous(address), io: Stream::Plain(tcp), until: None });
    };
    let stream = TlsAcceptor::from(tls.config).accept(tcp).await?;
    let shown = match stream.get_ref().1.peer_certificates() {
        None => None,
        // Verified a moment ago; only a change of trust in between can end here.
        Some(shown) => {
            Some((tls.prove)(shown).ok_or_else(|| io::Error::other("certificate proves nothing"))?)
        }
    };
    let anonymous = CallingPeer::anonymous(address);
    let (peer, until) = match shown {
        None => (anonymous, Until::anonymous()),
        // As long as somebody who joins: renewal is one call, and goes on over another connection.
        Some(Shown::Expired(proof)) => {
            (CallingPeer { expired: Some(proof), ..anonymous }, Until::anonymous())
        }
        Some(Shown::Valid(proof)) => {
            let until = Until::expired(proof.expires, tls.wall);
            (CallingPeer { proof: Some(proof), ..anonymous }, until)
        }
    };
    Ok(Connection { peer, io: Stream::Tls(Box::new(stream)), until: Some(until) })
}

impl Connected for Connection {
    type ConnectInfo = CallingPeer;

    fn connect_info(&self) -> CallingPeer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Read from all the time, so this is where the end is noticed.
        if let Some(until) = &mut self.until
            && until.poll_over(cx).is_ready()
        {
            if let CallingPeer { proof: Some(proof), address, .. } = &self.peer {
                let (id, uid) = (&proof.id, proof.uid.as_deref());
                tracing::warn!(peer = %address, %id, uid, "connection ended: the client's certificate has expired and it did not come back with a new one; see there why it was not renewed");
            }
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        match &mut self.io {
            Stream::Plain(io) => Pin::new(io).poll_read(cx, buf),
            Stream::Tls(io) => Pin::new(io.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Stream::Plain(io) => Pin::new(io).poll_write(cx, buf),
            Stream::Tls(io) => Pin::new(io.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Stream::Plain(io) => Pin::new(io).poll_flush(cx),
            Stream::Tls(io) => Pin::new(io.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Stream::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Stream::Tls(io) => Pin::new(io.as_mut()).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests;
