//! A proxy that copies bytes with one epoll loop and parses nothing: one connection up for each one down.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use anyhow::{Context, Result};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// Connections at a time; each needs two descriptors.
const CONNECTIONS_MAX: usize = 4096;
const EVENTS_PER_WAIT: usize = 256;
const BUFFER_BYTES: usize = 16 * 1024;
/// What epoll says when the listener is ready.
const LISTENER: u64 = u64::MAX;

/// Both sides of a connection; index 0 is the client's.
type Sides = [TcpStream; 2];

/// Copies until the process is killed.
pub(crate) fn run(from: SocketAddr, to: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(from).with_context(|| format!("listen on {from}"))?;
    listener.set_nonblocking(true)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    let mut connections: Vec<Option<Sides>> = Vec::new();
    let mut events = vec![EpollEvent::empty(); EVENTS_PER_WAIT];
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let ready = match epoll.wait(&mut events, EpollTimeout::NONE) {
            Err(nix::errno::Errno::EINTR) => 0,
            other => other?,
        };
        for event in &events[..ready] {
            if event.data() == LISTENER {
                accept(&listener, to, &epoll, &mut connections)?;
                continue;
            }
            let (index, side) = ((event.data() / 2) as usize, (event.data() % 2) as usize);
            if let Some(slot) = connections.get_mut(index)
                && let Some(sides) = slot
                && !copy(sides, side, &mut buffer)
            {
                // Dropping both closes both, and epoll forgets them.
                *slot = None;
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    to: SocketAddr,
    epoll: &Epoll,
    connections: &mut Vec<Option<Sides>>,
) -> Result<()> {
    while let Ok((client, _)) = listener.accept() {
        let server = TcpStream::connect(to).with_context(|| format!("connect to {to}"))?;
        let index = match connections.iter().position(Option::is_none) {
            Some(index) => index,
            None if connections.len() < CONNECTIONS_MAX => {
                connections.push(None);
                connections.len() - 1
            }
            None => continue,
        };
        let sides = [client, server];
        for (side, stream) in sides.iter().enumerate() {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            epoll.add(stream, EpollEvent::new(EpollFlags::EPOLLIN, (index * 2 + side) as u64))?;
        }
        connections[index] = Some(sides);
    }
    Ok(())
}

/// Moves what one side has to the other. False when the connection is over.
fn copy(sides: &mut Sides, side: usize, buffer: &mut [u8]) -> bool {
    let len = match sides[side].read(buffer) {
        Ok(0) => return false,
        Ok(len) => len,
        Err(cause) => return cause.kind() == ErrorKind::WouldBlock,
    };
    let mut rest = &buffer[..len];
    while !rest.is_empty() {
        match sides[1 - side].write(rest) {
            Ok(len) => rest = &rest[len..],
            // The messages of this measurement fit into any socket buffer: waiting here is good enough.
            Err(cause) if cause.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(_) => return false,
        }
    }
    true
}
