//! A connection to a port of which nobody has declared what it speaks. The way to the server is opened at once, and the
//! client is listened to meanwhile: who speaks first decides. So nobody waits for anybody, whichever side begins, and
//! whether the other one ever says anything.
//!
//! It never sends a byte. Read next: `tcp` (of an application) and `inbound::local` (to one).

#[cfg(test)]
mod tests;

use crate::detect::{Detected, SNIFF_TIMEOUT, Sniffer};
use crate::failure::Failure;
use bytes::{Bytes, BytesMut};
use codec::{ChunkIo, Prefixed};
use model::Reason;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Room for what a server says first. More is read later.
const FIRST_BYTES_ROOM: usize = 1024;

/// Who spoke first, and what.
pub(crate) enum FirstSpeaker<U, X> {
    /// The client, HTTP. What was opened meanwhile is closed: each request chooses its own way.
    Http(Detected),
    /// The server, or the client with anything else. The server's connection with what it has said, and what came of
    /// opening it beside.
    Opaque(Prefixed<U>, X),
    /// Nobody, and nobody will.
    Nobody(Failure),
}

/// Opens the way to the server by `opening`, and waits for who speaks first, `idle` at most and until `cut` says why not any
/// longer.
pub(crate) async fn first_speaker<D: ChunkIo, U: ChunkIo, X>(
    down: &mut Sniffer<D>,
    opening: impl Future<Output = Result<(U, X), Reason>>,
    mut cut: Pin<&mut impl Future<Output = Failure>>,
    idle: Duration,
) -> FirstSpeaker<U, X> {
    let mut opening = pin!(opening);
    let opened = tokio::select! {
        // The client first: one that has spoken already needs no way of its own when it speaks HTTP.
        biased;
        spoken = down.spoken() => match spoken {
            Ok(detected) if detected.is_http() => return FirstSpeaker::Http(detected),
            Ok(_) => tokio::select! {
                opened = &mut opening => return match opened {
                    Ok((up, with)) => FirstSpeaker::Opaque(Prefixed::new(Bytes::new(), up), with),
                    Err(reason) => FirstSpeaker::Nobody(reason.into()),
                },
                _ = down.fails() => return FirstSpeaker::Nobody(Reason::DownstreamReset.into()),
                failure = cut => return FirstSpeaker::Nobody(failure),
            },
            Err(_) => return FirstSpeaker::Nobody(Reason::DownstreamReset.into()),
        },
        opened = &mut opening => opened,
        failure = &mut cut => return FirstSpeaker::Nobody(failure),
    };
    match opened {
        Ok((up, with)) => listen_to_both(down, up, with, cut, idle).await,
        Err(reason) => without_way(down, reason).await,
    }
}

async fn listen_to_both<D: ChunkIo, U: ChunkIo, X>(
    down: &mut Sniffer<D>,
    mut up: U,
    with: X,
    cut: Pin<&mut impl Future<Output = Failure>>,
    idle: Duration,
) -> FirstSpeaker<U, X> {
    let mut room = BytesMut::with_capacity(FIRST_BYTES_ROOM);
    tokio::select! {
        biased;
        spoken = down.spoken() => match spoken {
            Ok(detected) if detected.is_http() => FirstSpeaker::Http(detected),
            Ok(_) => FirstSpeaker::Opaque(Prefixed::new(Bytes::new(), up), with),
            Err(_) => {
                up.reset_on_drop();
                FirstSpeaker::Nobody(Reason::DownstreamReset.into())
            }
        },
        first = poll_fn(|cx| up.poll_read_chunk(cx, &mut room)) => match first {
            // Nothing is its end, which it will say again.
            Ok(first) => FirstSpeaker::Opaque(Prefixed::new(first, up), with),
            Err(_) => {
                down.reset_on_drop();
                FirstSpeaker::Nobody(Reason::ResponseReset.into())
            }
        },
        failure = cut => FirstSpeaker::Nobody(failure),
        () = sleep(idle) => FirstSpeaker::Nobody(Reason::StreamIdle.into()),
    }
}

/// The server cannot be reached. A client of HTTP is to be told so in HTTP, or is sent elsewhere by a rule, if it speaks
/// soon; others are only closed.
async fn without_way<D: ChunkIo, U, X>(down: &mut Sniffer<D>, reason: Reason) -> FirstSpeaker<U, X> {
    match timeout(SNIFF_TIMEOUT, down.spoken()).await {
        Ok(Ok(detected)) if detected.is_http() => FirstSpeaker::Http(detected),
        _ => FirstSpeaker::Nobody(reason.into()),
    }
}
