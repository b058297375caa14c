//! One stream: what has come and waits for its reader, what may be sent, and how it ended.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use http::{HeaderMap, Response};

use super::flow::{RecvWindow, SendWindow};
use super::frame::ErrorCode;
use crate::{BodyError, Flood};

/// How the half of a stream on which the peer sends stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecvState {
    /// The head of the response comes next; interim ones may come before it.
    AwaitingHead,
    /// Data, or trailers.
    Streaming,
    /// Nothing comes any more.
    Ended,
}

/// A stream that broke off.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum StreamError {
    /// The peer reset it.
    #[error("stream reset by peer with code {}", .0.0)]
    Reset(ErrorCode),
    /// We reset it, because we did not want the rest.
    #[error("stream given up")]
    GivenUp,
    /// The peer broke a rule on it.
    #[error("peer broke a rule on the stream: {0}")]
    Violated(&'static str),
    /// The head of the response is too large.
    #[error("head of the response is too large")]
    HeadTooLarge,
    /// The peer said GOAWAY and does not look at it.
    #[error("stream not looked at before GOAWAY")]
    Unprocessed,
    /// The connection ended before it.
    #[error("connection ended before the stream")]
    Lost(#[source] ConnectionLoss),
}

/// Why a connection is no more.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ConnectionLoss {
    /// Nothing more came.
    #[error("connection closed")]
    Closed,
    /// The peer said why.
    #[error("closed by peer with code {}", .0.0)]
    GoneAway(ErrorCode),
    /// The transport broke.
    #[error(transparent)]
    Broken(Arc<io::Error>),
    /// The peer answers no PING.
    #[error("peer fell silent")]
    Silent,
    /// The peer broke the protocol, in this way.
    #[error("peer broke the protocol: {0}")]
    Violated(&'static str),
    /// The peer floods us.
    #[error("flood of frames: {0:?}")]
    Flooded(Flood),
}

impl ConnectionLoss {
    /// Whether the peer is there no more, as far as one can tell: it answers no PING, or the kernel gave it up.
    pub(super) fn is_silence(&self) -> bool {
        match self {
            ConnectionLoss::Silent => true,
            ConnectionLoss::Broken(cause) => cause.kind() == io::ErrorKind::TimedOut,
            _ => false,
        }
    }
}

impl From<StreamError> for BodyError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Reset(code) => BodyError::Reset(code.into()),
            other => BodyError::Broken(other.into()),
        }
    }
}

/// The error of a byte stream: an orderly reset is a reset, anything else a failed connection. A connection inside
/// learns here that the peer of the outer one fell silent.
impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        let kind = match &error {
            StreamError::Lost(loss) if loss.is_silence() => io::ErrorKind::TimedOut,
            StreamError::Lost(ConnectionLoss::Broken(cause)) => cause.kind(),
            StreamError::Reset(_) | StreamError::Unprocessed => io::ErrorKind::ConnectionReset,
            StreamError::Lost(ConnectionLoss::GoneAway(_)) => io::ErrorKind::ConnectionReset,
            _ => io::ErrorKind::BrokenPipe,
        };
        io::Error::new(kind, error)
    }
}

/// What a stream was opened for, as far as its frames are read otherwise for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Request,
    /// Its response has a length, and nothing of it.
    HeadRequest,
    /// Bytes both ways.
    Tunnel,
}

/// One stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) purpose: Purpose,
    pub(super) recv: RecvState,
    /// Of the response, come and not taken.
    pub(super) head: Option<Response<()>>,
    /// Interim responses that have come.
    pub(super) interims: u32,
    /// Those of them that were not taken.
    pub(super) interim_heads: VecDeque<Response<()>>,
    /// Come and not taken.
    pub(super) data: VecDeque<Bytes>,
    /// Bytes of it.
    pub(super) unread: usize,
    pub(super) trailers: Option<HeaderMap>,
    /// Bytes of data still to come, if their number was declared.
    pub(super) remaining: Option<u64>,
    pub(super) recv_window: RecvWindow,
    /// Nobody reads what comes.
    pub(super) is_discarding: bool,
    pub(super) reader: Option<Waker>,

    /// Whether we have sent the head of the response.
    pub(super) has_responded: bool,
    /// Whether we have sent our end.
    pub(super) sent_end: bool,
    pub(super) send_window: SendWindow,
    /// Who sends, or waits for an answer to send, and wants to know when it can, or need not.
    pub(super) writer: Option<Waker>,
    /// Whether it waits for the connection's window, or its outbox.
    pub(super) is_queued: bool,
    /// Bytes that it wants to send then.
    pub(super) wanted: usize,

    /// Whether both halves were seen to have ended.
    pub(super) is_settled: bool,
    /// How it broke off.
    pub(super) error: Option<StreamError>,
    /// Handles to it.
    pub(super) handles: u8,
    /// Whether anybody has looked at it: before that, its peer may take it back and nothing was done.
    pub(super) is_looked_at: bool,
}

impl Stream {
    pub(super) fn new(purpose: Purpose, recv: RecvState, recv_window: u32, send_window: u32) -> Self {
        Stream {
            purpose,
            recv,
            head: None,
            interims: 0,
            interim_heads: VecDeque::new(),
            data: VecDeque::new(),
            unread: 0,
            trailers: None,
            remaining: None,
            recv_window: RecvWindow::new(recv_window),
            is_discarding: false,
            reader: None,
            has_responded: false,
            sent_end: false,
            send_window: SendWindow::new(send_window),
            writer: None,
            is_queued: false,
            wanted: 0,
            is_settled: false,
            error: None,
            handles: 0,
            is_looked_at: false,
        }
    }

    /// Whether neither side sends any more.
    pub(super) fn is_closed(&self) -> bool {
        self.error.is_some() || (self.sent_end && self.recv == RecvState::Ended)
    }

    /// Whether the peer learns of its end by our reset, and may have sent before that.
    pub(super) fn was_reset_by_us(&self) -> bool {
        match &self.error {
            None | Some(StreamError::Reset(_) | StreamError::Unprocessed | StreamError::Lost(_)) => false,
            Some(StreamError::GivenUp | StreamError::Violated(_) | StreamError::HeadTooLarge) => true,
        }
    }

    /// Bytes of data that its reader can still expect, if their number was declared.
    pub(super) fn remaining_unread(&self) -> Option<u64> {
        self.remaining.map(|remaining| remaining + self.unread as u64)
    }

    /// Whether all has come, and all of that was taken.
    pub(super) fn is_drained(&self) -> bool {
        self.recv == RecvState::Ended && self.data.is_empty() && self.trailers.is_none()
    }

    pub(super) fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    pub(super) fn wake_writer(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    pub(super) fn listen_as_reader(&mut self, cx: &Context<'_>) {
        keep(&mut self.reader, cx);
    }

    pub(super) fn listen_as_writer(&mut self, cx: &Context<'_>) {
        keep(&mut self.writer, cx);
    }
}

/// Keeps who asks, as whom to wake.
pub(super) fn keep(place: &mut Option<Waker>, cx: &Context<'_>) {
    if !place.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
        *place = Some(cx.waker().clone());
    }
}
