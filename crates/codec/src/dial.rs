//! From a name to a connection where the name has several addresses ("happy eyeballs", RFC 8305).
//!
//! Addresses are tried in an order that alternates between the families, the next one as soon as one fails or has said
//! nothing for 250 ms; the first that answers is taken and the others are dropped. Nothing is remembered.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;

/// How long an attempt may say nothing before the next one begins beside it (RFC 8305 section 5, "Connection Attempt Delay").
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Addresses of one name that are tried; further ones are not.
const ADDRESSES_MAX: usize = 16;

/// Connects to `HOST:PORT` or `IP:PORT`.
///
/// # Errors
/// The name has no address, or each of them failed.
pub async fn connect(place: &str) -> io::Result<TcpStream> {
    connect_first(&resolve(place).await?, TcpStream::connect).await
}

/// The addresses of `HOST:PORT` in the order in which they are to be tried; at least one. An `IP:PORT` needs no name
/// server.
///
/// # Errors
/// There is none, or nobody can tell.
pub async fn resolve(place: &str) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = place.parse() {
        return Ok(vec![address]);
    }
    let found = order(tokio::net::lookup_host(place).await?);
    if found.is_empty() {
        let told = format!("{place} has no address");
        return Err(io::Error::new(io::ErrorKind::NotFound, told));
    }
    Ok(found)
}

/// Alternates between the families, beginning with that of the first address, and keeps the resolver's order within each
/// (RFC 8305 section 4).
pub fn order(found: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut found: Vec<SocketAddr> = found.into_iter().collect();
    let Some(first) = found.first().map(SocketAddr::is_ipv6) else { return found };
    let (mut preferred, mut other) = (0, 0);
    found.sort_by_cached_key(|address| {
        let (rank, nth) = if address.is_ipv6() == first { (0, &mut preferred) } else { (1, &mut other) };
        *nth += 1;
        (*nth, rank)
    });
    found.truncate(ADDRESSES_MAX);
    found
}

/// The first connection that `connect` makes to one of `addresses`, tried in their order.
///
/// # Errors
/// All failed: the error of the only one, or those of all in one text.
pub async fn connect_first<T, F>(addresses: &[SocketAddr], connect: impl Fn(SocketAddr) -> F) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut waiting = addresses.iter().copied();
    let mut attempts = FuturesUnordered::new();
    let mut failed = Vec::new();
    loop {
        if let Some(address) = waiting.next() {
            let attempt = connect(address);
            attempts.push(async move { attempt.await.map_err(|error| (address, error)) });
        }
        let delay = if waiting.len() == 0 { Duration::MAX } else { ATTEMPT_DELAY };
        tokio::select! {
            ended = attempts.next() => match ended {
                Some(Ok(connected)) => return Ok(connected),
                Some(Err(told)) => failed.push(told),
                None => return Err(all_failed(failed)),
            },
            () = tokio::time::sleep(delay) => {}
        }
    }
}

fn all_failed(mut failed: Vec<(SocketAddr, io::Error)>) -> io::Error {
    if failed.len() < 2 {
        return failed.pop().map_or_else(|| io::ErrorKind::NotFound.into(), |(_, error)| error);
    }
    let told: Vec<String> = failed.iter().map(|(address, error)| format!("{address}: {error}")).collect();
    let kind = failed.first().map_or(io::ErrorKind::Other, |(_, error)| error.kind());
    io::Error::new(kind, told.join("; "))
}

#[cfg(test)]
mod tests;
