//! Sockets in, handshakes done, peers named.

use super::super::HANDSHAKE_TIMEOUT;
use super::{Peer, Refused, Tls};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

/// Handshakes at once; when it is reached, accepting waits and the kernel's queue fills.
const HANDSHAKES_MAX: usize = 256;
/// Rest after a failed accept (out of descriptors), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// An accepted connection.
pub struct Connection {
    peer: Peer,
    io: Stream,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Accepts until the receiver of `connections` is gone.
pub async fn run(
    listener: TcpListener,
    tls: Option<Tls>,
    refused: Refused,
    connections: mpsc::Sender<io::Result<Connection>>,
) {
    let mut handshakes = JoinSet::new();
    loop {
        while handshakes.try_join_next().is_some() {}
        if handshakes.len() >= HANDSHAKES_MAX {
            handshakes.join_next().await;
        }
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = connections.closed() => return,
        };
        let (tcp, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (tls, refused, connections) = (tls.clone(), refused.clone(), connections.clone());
        handshakes.spawn(async move {
            let secured = tokio::time::timeout(HANDSHAKE_TIMEOUT, secure(tcp, address, tls)).await;
            match secured.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                // The server is gone only when it drains.
                Ok(connection) => _ = connections.send(Ok(connection)).await,
                Err(error) => refused(address, &error),
            }
        });
    }
}

async fn secure(tcp: TcpStream, address: SocketAddr, tls: Option<Tls>) -> io::Result<Connection> {
    tcp.set_nodelay(true)?;
    let Some(tls) = tls else {
        return Ok(Connection { peer: Peer { proof: None, address }, io: Stream::Plain(tcp) });
    };
    let stream = TlsAcceptor::from(tls.config).accept(tcp).await?;
    let proof = match stream.get_ref().1.peer_certificates() {
        None => None,
        // Verified a moment ago; only an expiry or a change of trust in between can end here.
        Some(shown) => {
            Some((tls.prove)(shown).ok_or_else(|| io::Error::other("certificate proves nothing"))?)
        }
    };
    Ok(Connection { peer: Peer { proof, address }, io: Stream::Tls(Box::new(stream)) })
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
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
