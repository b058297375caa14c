//! A proxy that copies bytes with one epoll loop and parses nothing: one connection up for each one down.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

use anyhow::{Context, Result};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// Connections at a time; each needs two descriptors.
const CONNECTIONS_MAX: usize = 4096;
const EVENTS_PER_WAIT: usize = 256;
const BUFFER_BYTES: usize = 16 * 1024;
/// What epoll says when the listener is ready.
const LISTENER: u64 = u64::MAX;

/// Both sides of a connection; index 0 is the client's.
struct Joined {
    sides: [TcpStream; 2],
    /// Which of them has said all that it will say.
    ended: [bool; 2],
}

/// Copies until the process is killed.
pub(crate) fn run(from: SocketAddr, to: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(from).with_context(|| format!("listen on {from}"))?;
    listener.set_nonblocking(true)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    let mut connections: Vec<Option<Joined>> = Vec::new();
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
                && let Some(joined) = slot
                && !pass(joined, side, &mut buffer, &epoll)
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
    connections: &mut Vec<Option<Joined>>,
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
        connections[index] = Some(Joined { sides, ended: [false; 2] });
    }
    Ok(())
}

/// Moves what one side has to the other, also that it has ended. False when the connection is over.
fn pass(joined: &mut Joined, side: usize, buffer: &mut [u8], epoll: &Epoll) -> bool {
    if joined.ended[side] {
        return false;
    }
    match copy(&mut joined.sides, side, buffer) {
        Copied::Some => true,
        Copied::Failed => false,
        Copied::End => {
            joined.ended[side] = true;
            let _ = joined.sides[1 - side].shutdown(Shutdown::Write);
            !joined.ended[1 - side] && epoll.delete(&joined.sides[side]).is_ok()
        }
    }
}

enum Copied {
    Some,
    End,
    Failed,
}

fn copy(sides: &mut [TcpStream; 2], side: usize, buffer: &mut [u8]) -> Copied {
    let len = match sides[side].read(buffer) {
        Ok(0) => return Copied::End,
        Ok(len) => len,
        Err(cause) if cause.kind() == ErrorKind::WouldBlock => return Copied::Some,
        Err(_) => return Copied::Failed,
    };
    let mut rest = &buffer[..len];
    while !rest.is_empty() {
        match sides[1 - side].write(rest) {
            Ok(len) => rest = &rest[len..],
            // What is small fits into any socket buffer; what is large waits for the one connection that it is about.
            Err(cause) if cause.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(_) => return Copied::Failed,
        }
    }
    Copied::Some
}
