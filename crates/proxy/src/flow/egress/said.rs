//! The name that a client says of itself in its first bytes: the server name of TLS, or the host of HTTP/1. Nothing is
//! consumed.

use bytes::BytesMut;
use codec::{ChunkIo, Prefixed, Sniff, sniff};
use model::Hostname;
use rustls::server::Acceptor;
use std::io;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout_at};

/// Bytes that are read at most; a client that has said no name by then says none.
const BYTES_MAX: usize = 16 * 1024;
/// For a client to say its name. Longer: it says none, as where the server is to speak first.
const TIMEOUT: Duration = Duration::from_millis(500);
const HANDSHAKE: u8 = 22;

/// A name that was said.
pub(super) struct Said {
    /// The name.
    pub(super) name: Hostname,
    /// How.
    pub(super) by: SaidIn,
}

/// How a name was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SaidIn {
    /// As the server name.
    Tls,
    /// As the host of a request.
    Http,
}

/// Reads until a name is said, or none will be.
///
/// # Errors
/// When reading fails.
pub(super) async fn read<I: ChunkIo>(mut io: I) -> io::Result<(Option<Said>, Prefixed<I>)> {
    let mut seen = BytesMut::new();
    let until = Instant::now() + TIMEOUT;
    let mut name = None;
    while seen.len() < BYTES_MAX {
        match timeout_at(until, io.read_buf(&mut seen)).await {
            Err(_) | Ok(Ok(0)) => break,
            Ok(read) => read?,
        };
        match said(&seen) {
            FirstBytes::More => {}
            FirstBytes::Name(said, by) => {
                name = Hostname::parse(&said).map(|name| Said { name, by });
                break;
            }
            FirstBytes::Nothing => break,
        }
    }
    Ok((name, Prefixed::new(seen.freeze(), io)))
}

/// What the first bytes say.
#[derive(Debug, PartialEq, Eq)]
enum FirstBytes {
    Name(String, SaidIn),
    Nothing,
    /// More of them are needed.
    More,
}

fn said(seen: &[u8]) -> FirstBytes {
    if seen.first() == Some(&HANDSHAKE) {
        return server_name(seen);
    }
    match sniff(seen) {
        Sniff::Http1 => host(seen),
        Sniff::NeedMore => FirstBytes::More,
        _ => FirstBytes::Nothing,
    }
}

fn server_name(mut seen: &[u8]) -> FirstBytes {
    let mut acceptor = Acceptor::default();
    while !seen.is_empty() {
        if acceptor.read_tls(&mut seen).is_err() {
            return FirstBytes::Nothing;
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                let name = accepted.client_hello().server_name().map(str::to_owned);
                return name.map_or(FirstBytes::Nothing, |name| FirstBytes::Name(name, SaidIn::Tls));
            }
            Ok(None) => {}
            Err(_) => return FirstBytes::Nothing,
        }
    }
    FirstBytes::More
}

/// The one `host` of a head of HTTP/1; where there are two, or the target has one too, nothing is said.
fn host(seen: &[u8]) -> FirstBytes {
    let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") else { return FirstBytes::More };
    let Ok(head) = std::str::from_utf8(seen.get(..end).unwrap_or_default()) else {
        return FirstBytes::Nothing;
    };
    let mut lines = head.split("\r\n");
    let is_origin_form =
        lines.next().is_some_and(|line| line.split(' ').nth(1).is_some_and(|t| t.starts_with('/')));
    let mut hosts = lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("host").then_some(value.trim())
    });
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_origin_form => {
            let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
            FirstBytes::Name(name.to_owned(), SaidIn::Http)
        }
        _ => FirstBytes::Nothing,
    }
}

#[cfg(test)]
mod tests;
