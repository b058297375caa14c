//! Bodies with memory: a request body that can be sent again, one that must keep coming (`patient`), and a
//! response body with a deadline. Each costs a box, so they are used only where there is a body to replay or a
//! timeout to keep.

mod patient;
#[cfg(test)]
mod tests;

pub(crate) use patient::Patient;

use bytes::Bytes;
use codec::{Body, BodyError};
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

/// A request body that can be handed out once for each attempt.
pub(crate) enum Replay {
    /// Nothing to repeat.
    Empty,
    /// Passes through and is remembered while it is small.
    Kept(Rc<RefCell<Source>>),
}

/// The one body behind all attempts.
pub(crate) struct Source {
    body: Body,
    seen: Vec<Bytes>,
    seen_bytes: usize,
    trailers: Option<HeaderMap>,
    state: State,
    /// Which attempt may read; readers of earlier ones get an error.
    turn: u32,
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
    pub(crate) fn new(body: Body) -> Self {
        if body.is_end_stream() {
            return Self::Empty;
        }
        let source =
            Source { body, seen: Vec::new(), seen_bytes: 0, trailers: None, state: State::Whole, turn: 0 };
        Self::Kept(Rc::new(RefCell::new(source)))
    }

    /// The body for the next attempt. Earlier ones break off.
    pub(crate) fn next(&self) -> Body {
        match self {
            Self::Empty => Body::empty(),
            Self::Kept(source) => {
                let turn = {
                    let mut source = source.borrow_mut();
                    source.turn += 1;
                    source.turn
                };
                Body::boxed(Reader { source: Rc::clone(source), turn, at: 0, trailed: false })
            }
        }
    }

    /// Whether another attempt can send all of it.
    pub(crate) fn is_replayable(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Kept(source) => matches!(source.borrow().state, State::Whole | State::Ended),
        }
    }

    /// Whether the caller broke it off, so that a failed attempt is the caller's doing.
    pub(crate) fn is_broken(&self) -> bool {
        matches!(self, Self::Kept(source) if source.borrow().state == State::Broken)
    }

    /// No further attempt will be made: stop keeping what passes.
    pub(crate) fn forget(&self) {
        if let Self::Kept(source) = self {
            source.borrow_mut().stop_keeping();
        }
    }
}

impl Source {
    fn stop_keeping(&mut self) {
        // What the current reader has not had yet must stay; it is at most REPLAY_BYTES_MAX.
        self.seen_bytes = REPLAY_BYTES_MAX + 1;
    }

    fn keep(&mut self, data: &Bytes) {
        if self.state == State::Whole && self.seen_bytes + data.len() <= REPLAY_BYTES_MAX {
            self.seen_bytes += data.len();
            self.seen.push(data.clone());
        } else {
            self.state = State::Lost;
        }
    }
}

/// One attempt's view of the body.
struct Reader {
    source: Rc<RefCell<Source>>,
    turn: u32,
    at: usize,
    trailed: bool,
}

impl http_body::Body for Reader {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let reader = self.get_mut();
        let source = &mut *reader.source.borrow_mut();
        if reader.turn != source.turn {
            return Poll::Ready(Some(Err(BodyError::Other("another attempt took over".into()))));
        }
        if let Some(data) = source.seen.get(reader.at) {
            reader.at += 1;
            return Poll::Ready(Some(Ok(Frame::data(data.clone()))));
        }
        if source.state == State::Ended {
            let trailers = if reader.trailed { None } else { source.trailers.clone() };
            reader.trailed = true;
            return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
        }
        match ready!(Pin::new(&mut source.body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    let before = source.seen.len();
                    source.keep(data);
                    reader.at += source.seen.len() - before;
                } else if let Some(trailers) = frame.trailers_ref() {
                    source.trailers = Some(trailers.clone());
                    reader.trailed = true;
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
        let had_all = self.turn == source.turn && self.at == source.seen.len();
        had_all && (source.trailers.is_none() || self.trailed) && source.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let source = self.source.borrow();
        match source.body.size_hint().exact() {
            Some(rest) => {
                let unread: usize = source.seen.iter().skip(self.at).map(Bytes::len).sum();
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
