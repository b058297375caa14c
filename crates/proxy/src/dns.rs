//! The proxy's own name server, to which a workload's port 53 is captured.
//!
//! Names of the mesh are answered from the configuration, asking the control plane on first use: absent is
//! NXDOMAIN, a missing family NODATA, a broken stream SERVFAIL. All else goes to the name servers of the
//! host ([`forward`]). Search domains and `ndots` are the client's business. Never cached here.

mod answer;
mod forward;
#[cfg(test)]
mod tests;

pub use forward::Forwarder;

use crate::lookup::{Found, Lookup};
use crate::snapshot::Store;
use answer::{Question, Verdict};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

/// Queries in progress. More over UDP are dropped (the client asks again), over TCP they wait.
pub const QUERIES_MAX: usize = 512;
/// Open TCP connections; more are closed at once.
const TCP_CONNECTIONS_MAX: usize = 64;
/// A TCP connection without a complete query for so long is closed.
const TCP_IDLE: Duration = Duration::from_secs(10);
/// Longest query. Larger ones cannot be questions that anyone answers.
const QUERY_BYTES_MAX: usize = 4096;
/// Wait after a failed `accept` or `recv`, so that a lasting error does not spin.
const ERROR_PAUSE: Duration = Duration::from_millis(50);

/// How a query came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// One datagram each way.
    Udp,
    /// Length-prefixed.
    Tcp,
}

/// Answers queries.
pub struct Dns {
    store: Arc<Store>,
    lookup: Lookup,
    forward: Forwarder,
}

impl Dns {
    /// Answers from `store` and `lookup`, and from `forward` for what is not the mesh's.
    pub fn new(store: Arc<Store>, lookup: Lookup, forward: Forwarder) -> Arc<Self> {
        Arc::new(Self { store, lookup, forward })
    }

    /// The answer to one query; `None`: nothing is sent (it was no query at all).
    pub async fn answer(&self, query: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let snapshot = self.store.snapshot();
        match answer::judge(query, &snapshot) {
            Verdict::Drop => None,
            Verdict::Reply(reply) => Some(reply),
            Verdict::Forward(question) => match self.forward.ask(query, transport).await {
                Some(reply) => Some(reply),
                None => question.servfail(),
            },
            Verdict::Mesh(question) => self.answer_mesh(&question).await,
        }
    }

    async fn answer_mesh(&self, question: &Question) -> Option<Vec<u8>> {
        match self.lookup.host(&question.host).await {
            Ok(Found::Present(snapshot)) => {
                let address = snapshot.host(question.host.as_str()).and_then(|entry| entry.service.address);
                question.found(address)
            }
            Ok(Found::Absent) => question.nxdomain(),
            Err(unavailable) => {
                tracing::debug!(host = %question.host, %unavailable, "a name could not be looked up");
                question.servfail()
            }
        }
    }
}

/// Serves both sockets until dropped.
pub async fn serve(udp: UdpSocket, tcp: TcpListener, dns: Arc<Dns>) {
    tokio::join!(serve_udp(Arc::new(udp), &dns), serve_tcp(tcp, &dns));
}

/// Opens both sockets on one address.
pub async fn bind(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let tcp = TcpListener::bind(address).await?;
    // With port 0 (tests), the datagrams get the stream's port.
    let udp = UdpSocket::bind(tcp.local_addr()?).await?;
    Ok((udp, tcp))
}

async fn serve_udp(socket: Arc<UdpSocket>, dns: &Arc<Dns>) {
    let mut queries = JoinSet::new();
    let mut buffer = vec![0; QUERY_BYTES_MAX];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            Some(_) = queries.join_next(), if !queries.is_empty() => continue,
        };
        let (length, from) = match received {
            Ok(received) => received,
            Err(error) => {
                // For example an ICMP error for an earlier answer; the socket itself goes on.
                tracing::debug!(%error, "receive a query");
                tokio::time::sleep(ERROR_PAUSE).await;
                continue;
            }
        };
        let Some(query) = buffer.get(..length).map(<[u8]>::to_vec) else { continue };
        if queries.len() >= QUERIES_MAX {
            continue;
        }
        let (socket, dns) = (Arc::clone(&socket), Arc::clone(dns));
        queries.spawn(async move {
            if let Some(reply) = dns.answer(&query, Transport::Udp).await {
                let _ = socket.send_to(&reply, from).await;
            }
        });
    }
}

async fn serve_tcp(listener: TcpListener, dns: &Arc<Dns>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        match accepted {
            Ok((stream, _)) if connections.len() < TCP_CONNECTIONS_MAX => {
                let dns = Arc::clone(dns);
                connections.spawn(async move {
                    let _ = serve_connection(stream, &dns).await;
                });
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "accept a DNS connection");
                tokio::time::sleep(ERROR_PAUSE).await;
            }
        }
    }
}

/// One query after the other; ends when the client is slow, malformed or done.
async fn serve_connection(mut stream: TcpStream, dns: &Dns) -> io::Result<()> {
    loop {
        let read = async {
            let length = usize::from(stream.read_u16().await?);
            if length > QUERY_BYTES_MAX {
                return Err(io::Error::from(io::ErrorKind::InvalidData));
            }
            let mut query = vec![0; length];
            stream.read_exact(&mut query).await?;
            Ok(query)
        };
        let query = tokio::time::timeout(TCP_IDLE, read).await??;
        let Some(reply) = dns.answer(&query, Transport::Tcp).await else { return Ok(()) };
        let Ok(length) = u16::try_from(reply.len()) else { return Ok(()) };
        let mut framed = length.to_be_bytes().to_vec();
        framed.extend_from_slice(&reply);
        tokio::time::timeout(TCP_IDLE, stream.write_all(&framed)).await??;
    }
}
