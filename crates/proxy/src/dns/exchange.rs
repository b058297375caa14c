//! One query to one name server and back.
//!
//! Each query gets a fresh socket (a random port, and the kernel drops what comes from elsewhere) and a
//! fresh id; the answer must carry that id and the same question. Sockets are marked, or capture would
//! send the query back to us.

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

/// Largest answer in one datagram: all that UDP can carry, so that none is passed on cut off.
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// Datagrams that are not the answer; then the server is given up.
const STRAYS_MAX: usize = 16;

/// Over UDP.
pub(super) async fn ask_udp(query: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
    let socket = Socket::new(Domain::for_address(server), Type::DGRAM, Some(Protocol::UDP))?;
    mark(&socket);
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::from(server))?;
    let socket = UdpSocket::from_std(socket.into())?;
    let sent = with_fresh_id(query)?;
    socket.send(&sent).await?;
    let mut strays = 0;
    while strays < STRAYS_MAX {
        // The buffer comes with the datagram: many wait, few have something to read.
        socket.readable().await?;
        let mut reply = Vec::with_capacity(DATAGRAM_BYTES_MAX);
        match socket.try_recv_buf(&mut reply) {
            Ok(_) if is_answer(&sent, &reply) => return Ok(with_id_of(query, &reply)),
            Ok(_) => strays += 1,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("too many datagrams that are not the answer"))
}

/// Over TCP.
pub(super) async fn ask_tcp(query: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = connect(server).await?;
    let sent = with_fresh_id(query)?;
    stream.write_all(&framed(&sent)?).await?;
    let length = stream.read_u16().await?;
    // It grows with what really comes.
    let mut reply = Vec::new();
    if stream.take(length.into()).read_to_end(&mut reply).await? < usize::from(length) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if !is_answer(&sent, &reply) {
        return Err(io::Error::other("the reply is not an answer to this query"));
    }
    Ok(with_id_of(query, &reply))
}

/// A connection to a name server.
pub(super) async fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let socket = if server.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    mark(&socket2::SockRef::from(&socket));
    socket.connect(server).await
}

/// A message as it travels over TCP: behind its length (RFC 1035, section 4.2.2).
pub(super) fn framed(message: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(message);
    Ok(framed)
}

/// Exempts a socket from capture. Fails without the privilege, and then there is no capture either.
fn mark(socket: &Socket) {
    if let Err(error) = socket.set_mark(model::address::SOCKET_MARK) {
        tracing::debug!(%error, "mark a DNS socket");
    }
}

fn with_fresh_id(query: &[u8]) -> io::Result<Vec<u8>> {
    let mut sent = query.to_vec();
    let id = sent.first_chunk_mut::<2>().ok_or(io::ErrorKind::InvalidData)?;
    aws_lc_rs::rand::fill(id).map_err(|_| io::Error::other("no randomness"))?;
    Ok(sent)
}

fn with_id_of(query: &[u8], reply: &[u8]) -> Vec<u8> {
    let mut reply = reply.to_vec();
    if let (Some(id), Some(to)) = (query.first_chunk::<2>(), reply.first_chunk_mut::<2>()) {
        *to = *id;
    }
    reply
}

/// Same id, the answer bit, and the same question (compared without case).
fn is_answer(sent: &[u8], reply: &[u8]) -> bool {
    let is_response = reply.get(2).is_some_and(|flags| flags & 0x80 != 0);
    let is_same_id = reply.len() >= 12 && reply.get(..2) == sent.get(..2);
    let same_question = match (question(sent), question(reply)) {
        (Some(asked), Some(answered)) => asked.eq_ignore_ascii_case(answered),
        // Some servers answer errors without the question.
        (Some(_), None) => reply.get(4..6) == Some(&[0, 0]),
        _ => false,
    };
    is_response && is_same_id && same_question
}

/// The first question's bytes: labels without compression, type and class.
fn question(message: &[u8]) -> Option<&[u8]> {
    if message.get(4..6)? == [0, 0] {
        return None;
    }
    let mut at = 12;
    loop {
        let length = usize::from(*message.get(at)?);
        if length > 63 {
            return None;
        }
        at += 1 + length;
        if length == 0 {
            return message.get(12..at + 4);
        }
    }
}
