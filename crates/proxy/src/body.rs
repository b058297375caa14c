//! Bodies with memory: a request body that can be sent again, one that must keep coming (`stall_timeout`) or
//! come in time (`received_timeout`), one that waits until it is wanted (`expectation`), and a response body with a
//! deadline. Each costs a box, so they are used
//! only where there is a body to replay, a timeout to keep, or a word to wait for.

mod expectation;
mod received_timeout;
mod stall_timeout;
#[cfg(test)]
mod tests;

pub(crate) use expectation::{Expectation, Expecting};
pub(crate) use received_timeout::ReceivedTimeout;
pub(crate) use stall_timeout::StallTimeout;

use bytes::{Bytes, BytesMut};
use codec::{Body, BodyError, Charge};
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::time::{Instant, Sleep, sleep_until};

/// Most bytes of a request body that are kept for a further attempt; a longer one cannot be repeated once its
/// start was sent.
pub(crate) const REPLAY_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a piece that is kept as it is; smaller ones are copied together, for each costs more than it holds.
const PIECE_BYTES_MIN: usize = 1024;

/// A request body that can be handed out once for each attempt.
pub(crate) enum Replay {
    /// Nothing to repeat.
    Empty,
    /// All of it came with its head.
    InHand(Bytes),
    /// Passes through and is remembered while it is small and its connection's budget has room for it.
    Kept(Rc<RefCell<Source>>),
}

/// The one body behind all attempts.
pub(crate) struct Source {
    body: Body,
    seen: Seen,
    state: State,
    /// Which attempt may read; readers of earlier ones get an error.
    turn: u32,
}

/// What passed and was kept.
struct Seen {
    /// In order; `tail` comes after them.
    pieces: Vec<Bytes>,
    /// Small pieces become one, so that they cost no more than their bytes.
    tail: BytesMut,
    trailers: Option<HeaderMap>,
    /// Bytes in `pieces` and `tail`.
    bytes: usize,
    /// Pieces that the current attempt has had. It has had `tail` too: that grows only while it reads ahead of all.
    had: usize,
    has_had_trailers: bool,
    /// Whether more is kept.
    is_wanted: bool,
    charge: Option<Charge>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// More may come; all that passed is in `seen`.
    Whole,
    /// All of it is in `seen`.
    Ended,
    /// Something passed that was not kept.
    Lost,
    /// Its sender broke it off: nobody can have all of it.
    Broken,
}

impl Replay {
    /// Takes the body as it came in.
    pub(crate) fn new(mut body: Body) -> Self {
        if body.is_end_stream() {
            return Self::Empty;
        }
        // What is charged to a connection is followed piece by piece.
        let is_small = body.full_len().is_some_and(|len| len <= REPLAY_BYTES_MAX);
        if is_small
            && body.budget().is_none()
            && let Some(bytes) = body.take_full()
        {
            return Self::InHand(bytes);
        }
        let seen = Seen {
            pieces: Vec::new(),
            tail: BytesMut::new(),
            trailers: None,
            bytes: 0,
            had: 0,
            has_had_trailers: false,
            is_wanted: true,
            charge: body.budget().map(|budget| budget.open()),
        };
        Self::Kept(Rc::new(RefCell::new(Source { body, seen, state: State::Whole, turn: 0 })))
    }

    /// The body for the next attempt. Earlier ones break off. Where it is not replayable any more, the next one does so
    /// too: it has no beginning.
    pub(crate) fn next(&self) -> Body {
        match self {
            Self::Empty => Body::empty(),
            Self::InHand(bytes) => Body::full(bytes.clone()),
            Self::Kept(source) => {
                let (turn, is_whole) = {
                    let mut source = source.borrow_mut();
                    source.seen.rewind();
                    source.turn += 1;
                    (source.turn, matches!(source.state, State::Whole | State::Ended))
                };
                Body::boxed(BodyReader { source: Rc::clone(source), turn, is_whole })
            }
        }
    }

    /// There will be another attempt: the current one breaks off now, so that nothing passes any more that the next
    /// one would miss.
    pub(crate) fn retire(&self) {
        if let Self::Kept(source) = self {
            source.borrow_mut().turn += 1;
        }
    }

    /// Whether another attempt can send all of it.
    pub(crate) fn is_replayable(&self) -> bool {
        match self {
            Self::Empty | Self::InHand(_) => true,
            Self::Kept(source) => matches!(source.borrow().state, State::Whole | State::Ended),
        }
    }

    /// Whether the caller broke it off, so that a failed attempt is the caller's doing.
    pub(crate) fn is_broken(&self) -> bool {
        matches!(self, Self::Kept(source) if source.borrow().state == State::Broken)
    }

    /// No further attempt will be made: keep nothing more than what the current one has not had yet.
    pub(crate) fn forget(&self) {
        if let Self::Kept(source) = self {
            source.borrow_mut().lose();
        }
    }
}

impl Source {
    /// Keeps `data` while it may be wanted again.
    fn keep(&mut self, data: &Bytes) {
        if self.state == State::Whole && !self.seen.keep(data) {
            self.lose();
        }
    }

    fn keep_trailers(&mut self, trailers: &HeaderMap) {
        let seen = &mut self.seen;
        let fits = seen.charge.as_mut().is_none_or(|charge| charge.grow_by_fields(trailers));
        if self.state == State::Whole && fits {
            seen.trailers = Some(trailers.clone());
            seen.has_had_trailers = true;
        } else {
            self.lose();
        }
    }

    /// Nobody can have all of it any more.
    fn lose(&mut self) {
        if self.state == State::Whole && self.seen.is_all_had() {
            self.state = State::Lost;
        }
        self.seen.forget();
    }
}

impl Seen {
    /// Returns whether it was kept.
    fn keep(&mut self, data: &Bytes) -> bool {
        let fits = self.is_wanted && self.bytes + data.len() <= REPLAY_BYTES_MAX;
        if !fits || self.charge.as_mut().is_some_and(|charge| !charge.grow(data.len())) {
            return false;
        }
        self.bytes += data.len();
        if data.len() < PIECE_BYTES_MIN {
            self.tail.extend_from_slice(data);
        } else {
            self.end_tail();
            self.pieces.push(data.clone());
            self.had = self.pieces.len();
        }
        true
    }

    fn end_tail(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push(std::mem::take(&mut self.tail).freeze());
        }
    }

    /// The next reader begins at the first byte.
    fn rewind(&mut self) {
        self.end_tail();
        self.had = 0;
        self.has_had_trailers = false;
    }

    fn is_all_had(&self) -> bool {
        self.had == self.pieces.len()
    }

    /// Lets go of what the current reader has had.
    fn forget(&mut self) {
        self.is_wanted = false;
        let gone = self.pieces.drain(..self.had).map(|piece| piece.len()).sum::<usize>();
        let gone = gone + if self.pieces.is_empty() { std::mem::take(&mut self.tail).len() } else { 0 };
        self.had = 0;
        self.bytes -= gone;
        if let Some(charge) = &mut self.charge {
            charge.shrink(gone);
        }
    }
}

/// One attempt's view of the body.
struct BodyReader {
    source: Rc<RefCell<Source>>,
    turn: u32,
    /// It has the first byte.
    is_whole: bool,
}

impl http_body::Body for BodyReader {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let source = &mut *self.source.borrow_mut();
        if self.turn != source.turn {
            return Poll::Ready(Some(Err(BodyError::Other("another attempt took over".into()))));
        }
        if !self.is_whole {
            return Poll::Ready(Some(Err(BodyError::Other(
                "the beginning has gone to another attempt".into(),
            ))));
        }
        let seen = &mut source.seen;
        if let Some(data) = seen.pieces.get(seen.had).cloned() {
            seen.had += 1;
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if source.state == State::Ended {
            let trailers = if seen.has_had_trailers { None } else { seen.trailers.clone() };
            seen.has_had_trailers = true;
            return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
        }
        match ready!(Pin::new(&mut source.body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    source.keep(data);
                } else if let Some(trailers) = frame.trailers_ref() {
                    source.keep_trailers(trailers);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                source.state = State::Broken;
                Poll::Ready(Some(Err(error)))
            }
            None => {
                if source.state == State::Whole {
                    source.state = State::Ended;
                }
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let source = self.source.borrow();
        let had_all = self.turn == source.turn && source.seen.is_all_had();
        let seen = &source.seen;
        had_all && (seen.trailers.is_none() || seen.has_had_trailers) && source.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let source = self.source.borrow();
        match source.body.size_hint().exact() {
            Some(rest) => {
                let unread: usize = source.seen.pieces.iter().skip(source.seen.had).map(Bytes::len).sum();
                SizeHint::with_exact(rest + unread as u64)
            }
            None => SizeHint::default(),
        }
    }
}

/// A response body that breaks off when a timeout of the route passes, and tells of it then.
pub(crate) struct Timed<F> {
    body: Body,
    until: Pin<Box<Sleep>>,
    on_timeout: F,
}

impl<F: Fn() + Unpin + 'static> Timed<F> {
    /// `body`, but not beyond `until`.
    pub(crate) fn body(body: Body, until: Instant, on_timeout: F) -> Body {
        if body.is_end_stream() {
            body
        } else {
            Body::boxed(Self { body, until: Box::pin(sleep_until(until)), on_timeout })
        }
    }
}

impl<F: Fn() + Unpin> http_body::Body for Timed<F> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let timed = self.get_mut();
        // First: a body that always has something would never be looked at otherwise.
        if timed.until.as_mut().poll(cx).is_ready() {
            (timed.on_timeout)();
            return Poll::Ready(Some(Err(BodyError::Other("timeout of the route".into()))));
        }
        Pin::new(&mut timed.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
