//! The name server's sockets: datagrams and connections, on loopback in both families.

use super::{Dns, Now, Transport, Verdict, asked, exchange};
use crate::accept::original_destination;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

/// Open TCP connections; more are closed at once. Above [`super::FORWARDED_TCP_MAX`], so that connections that
/// wait for others leave room.
pub(super) const CONNECTIONS_MAX: usize = 256;
/// Idle timeout of a TCP connection without a complete query.
const TCP_IDLE: Duration = Duration::from_secs(10);
/// A zone transfer takes at most this long.
const TRANSFER_TIME_MAX: Duration = Duration::from_secs(300);
/// Longest query. Larger ones cannot be questions that anyone answers.
const QUERY_BYTES_MAX: usize = 4096;
/// Wait after a failed `accept` or `recv`, so that a lasting error does not spin.
const ERROR_PAUSE: Duration = Duration::from_millis(50);

/// One address, both transports.
pub struct Sockets {
    udp: UdpSocket,
    tcp: TcpListener,
}

impl Sockets {
    /// Both on one address.
    pub(crate) fn new(udp: UdpSocket, tcp: TcpListener) -> Self {
        Self { udp, tcp }
    }

    /// Where they listen.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.udp.local_addr()
    }
}

/// Opens both sockets on one address.
pub async fn bind(address: SocketAddr) -> io::Result<Sockets> {
    let (udp, tcp) = (UdpSocket::bind(address).await?, TcpListener::bind(address).await?);
    Ok(Sockets::new(udp, tcp))
}

/// Serves both sockets until dropped.
pub async fn serve(sockets: Sockets, dns: Arc<Dns>) {
    let Sockets { udp, tcp } = sockets;
    tokio::join!(serve_udp(Arc::new(udp), &dns), serve_tcp(tcp, &dns));
}

async fn serve_udp(socket: Arc<UdpSocket>, dns: &Arc<Dns>) {
    let Ok(local) = socket.local_addr() else { return };
    // Bounded by the permits of those who wait; who gets none ends at once.
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
        let Some(query) = buffer.get(..length) else { continue };
        match dns.answer_now(query, Transport::Udp) {
            Now::Answered(None) => {}
            Now::Answered(Some(reply)) => {
                let _ = socket.send_to(&reply, from).await;
            }
            Now::Wait(verdict) => {
                let (socket, dns, query) = (Arc::clone(&socket), Arc::clone(dns), query.to_vec());
                queries.spawn(async move {
                    let asked = asked::of_datagram(from, local);
                    if let Some(reply) = dns.answer_later(verdict, &query, Transport::Udp, asked).await {
                        let _ = socket.send_to(&reply, from).await;
                    }
                });
            }
        }
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
            Ok((stream, _)) if connections.len() < CONNECTIONS_MAX => {
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
    let asked = original_destination(&stream);
    loop {
        let query = tokio::time::timeout(TCP_IDLE, read_query(&mut stream)).await??;
        let reply = match (dns.answer_now(&query, Transport::Tcp), asked) {
            (Now::Answered(reply), _) => reply,
            (Now::Wait(Verdict::Forward(question)), Some(server)) if question.is_transfer() => {
                return transfer(&mut stream, &query, server, dns).await;
            }
            (Now::Wait(verdict), _) => dns.answer_later(verdict, &query, Transport::Tcp, asked).await,
        };
        let Some(reply) = reply else { return Ok(()) };
        let framed = exchange::framed(&reply)?;
        tokio::time::timeout(TCP_IDLE, stream.write_all(&framed)).await??;
    }
}

async fn read_query(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16().await?);
    if length > QUERY_BYTES_MAX {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    let mut query = vec![0; length];
    stream.read_exact(&mut query).await?;
    Ok(query)
}

/// A zone transfer is many messages: from here on the connection is the client's and the server's.
async fn transfer(stream: &mut TcpStream, query: &[u8], server: SocketAddr, dns: &Dns) -> io::Result<()> {
    let _permit = dns.forward_permit(Transport::Tcp).ok_or(io::ErrorKind::QuotaExceeded)?;
    let relayed = async {
        let mut upstream = exchange::connect(server).await?;
        upstream.write_all(&exchange::framed(query)?).await?;
        tokio::io::copy_bidirectional(stream, &mut upstream).await
    };
    tokio::time::timeout(TRANSFER_TIME_MAX, relayed).await??;
    Ok(())
}
