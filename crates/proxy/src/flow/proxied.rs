//! A connection at a gateway's listener that a load balancer passes on: its header of the PROXY protocol comes first, in
//! front of TLS too, and says who called. It is believed of those alone who are trusted for it.

#[cfg(test)]
mod tests;

use bytes::BytesMut;
use codec::{Io, PROXY_HEADER_BYTES_MAX, Prefixed, ProxyHeaderRead, read_proxy_header};
use model::Reason;
use model::client_traffic::ProxyProtocolIn;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout_at};

/// From the connection to the end of its header; load balancers send it at once. Longer: the connection is closed.
const PROXY_HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Room for an ordinary header.
const PROXY_HEADER_BYTES: usize = 256;

/// Reads the header of a connection that `peer` made. What is returned is the connection behind it, and who made it.
///
/// # Errors
/// Why it is not served. `None`: it ended before it said anything, as those do that look whether somebody listens.
pub(super) async fn accept<I: Io>(
    mut io: I,
    peer: SocketAddr,
    settings: &ProxyProtocolIn,
) -> Result<(Prefixed<I>, SocketAddr), Option<Reason>> {
    let by = peer.ip().to_canonical();
    let is_trusted = settings.trusted_cidrs.iter().any(|block| block.contains(by));
    if !is_trusted && !settings.optional {
        return Err(Some(Reason::ProxyHeaderUntrusted));
    }
    let until = Instant::now() + PROXY_HEADER_TIMEOUT;
    let mut seen = BytesMut::with_capacity(PROXY_HEADER_BYTES);
    loop {
        match read_proxy_header(&seen) {
            ProxyHeaderRead::NeedMore => {}
            ProxyHeaderRead::Done { .. } if !is_trusted => return Err(Some(Reason::ProxyHeaderUntrusted)),
            ProxyHeaderRead::Done { len, addresses } => {
                let rest = seen.split_off(len);
                let source = addresses.map(|addresses| addresses.source);
                let caller = source.map(|source| SocketAddr::new(source.ip().to_canonical(), source.port()));
                return Ok((Prefixed::new(rest.freeze(), io), caller.unwrap_or(peer)));
            }
            ProxyHeaderRead::Absent if settings.optional => {
                return Ok((Prefixed::new(seen.freeze(), io), peer));
            }
            ProxyHeaderRead::Absent => return Err(Some(Reason::ProxyHeaderInvalid)),
            ProxyHeaderRead::Malformed(why) => {
                tracing::debug!(%peer, why, "header of the PROXY protocol");
                return Err(Some(Reason::ProxyHeaderInvalid));
            }
        }
        debug_assert!(seen.len() < PROXY_HEADER_BYTES_MAX, "so much is decided on");
        match timeout_at(until, io.read_buf(&mut seen)).await {
            Ok(Ok(0) | Err(_)) if seen.is_empty() => return Err(None),
            Ok(Ok(1..)) => {}
            Ok(Ok(_) | Err(_)) | Err(_) => return Err(Some(Reason::ProxyHeaderInvalid)),
        }
    }
}
