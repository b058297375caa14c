//! One body for both versions: nothing, bytes in hand, what is still to come in either version, or anybody's in a box.
//!
//! An ordinary message is never boxed. Whoever wants to know what passed, and how it ended, attaches a `Watch`:
//! giving up on a body is only visible as its drop, so the watch is called from there too.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};
use http_body::{Body as _, Frame, SizeHint};

use crate::budget::Budget;
use crate::error::BoxError;
use crate::http1;
use crate::http2::recv::RecvBody;
use crate::reply::ResetCode;
use crate::stream::Tunnel;

/// A body of a request or a response.
pub struct Body {
    kind: Kind,
    watch: Option<Rc<dyn Watch>>,
    /// What is kept of it is charged here.
    budget: Option<Rc<Budget>>,
}

enum Kind {
    Empty,
    Full(Bytes),
    Http1(http1::recv::Http1Body),
    H2(RecvBody),
    Other(Pin<Box<dyn http_body::Body<Data = Bytes, Error = BodyError>>>),
    /// No bytes of a body, but of what comes behind it.
    Tunnel(Box<Tunnel>),
}

/// Sees a body pass.
pub trait Watch {
    /// A piece of `len` bytes passed.
    fn data(&self, len: usize);
    /// Trailers pass; what must not pass on may be taken out of them.
    fn trailers(&self, _trailers: &mut HeaderMap) {}
    /// The body ended; called exactly once.
    fn end(&self, end: BodyEnd);
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEnd {
    /// Read to its end.
    Complete,
    /// The sender failed.
    Failed,
    /// The reader gave up.
    Dropped,
    /// The reader took nothing for as long as it may.
    Unread,
    /// The reader took nothing, and others needed the room.
    Shed,
}

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The peer reset the stream.
    #[error("stream reset by peer: {0:?}")]
    Reset(ResetCode),
    /// The connection ended or failed before the body did, or its framing broke.
    #[error("body broke off")]
    Broken(#[source] BoxError),
    /// More than the reader wanted.
    #[error("body of more than {limit} bytes")]
    TooLarge {
        /// In bytes.
        limit: usize,
    },
    /// The maker of a boxed body failed.
    #[error("body failed")]
    Other(#[source] BoxError),
}

impl Body {
    /// No bytes.
    pub const fn empty() -> Self {
        Body { kind: Kind::Empty, watch: None, budget: None }
    }

    /// Bytes in hand.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let kind = if bytes.is_empty() { Kind::Empty } else { Kind::Full(bytes) };
        Body { kind, watch: None, budget: None }
    }

    /// Any other body; costs a box.
    pub fn boxed(body: impl http_body::Body<Data = Bytes, Error = BodyError> + 'static) -> Self {
        Body { kind: Kind::Other(Box::pin(body)), watch: None, budget: None }
    }

    /// Of an answer that changed the protocol: no body, but bytes both ways behind it.
    pub fn tunnel(tunnel: Tunnel) -> Self {
        Body { kind: Kind::Tunnel(Box::new(tunnel)), watch: None, budget: None }
    }

    /// What comes behind an answer that changed the protocol, once. Nothing is left of the body then.
    pub fn take_tunnel(&mut self) -> Option<Tunnel> {
        match std::mem::replace(&mut self.kind, Kind::Empty) {
            Kind::Tunnel(tunnel) => Some(*tunnel),
            kind => {
                self.kind = kind;
                None
            }
        }
    }

    pub(crate) fn http1(body: http1::recv::Http1Body) -> Self {
        Body { kind: Kind::Http1(body), watch: None, budget: None }
    }

    pub(crate) fn h2(body: RecvBody) -> Self {
        let kind = if body.is_end_stream() { Kind::Empty } else { Kind::H2(body) };
        Body { kind, watch: None, budget: None }
    }

    /// Says whose budget pays for what is kept of this body.
    #[must_use]
    pub fn charged_to(mut self, budget: Option<Rc<Budget>>) -> Self {
        self.budget = budget;
        self
    }

    /// Whose budget pays for what is kept of this body: the connection's on which it comes, in HTTP/2.
    pub fn budget(&self) -> Option<&Rc<Budget>> {
        self.budget.as_ref()
    }

    /// Attaches an observer; a second one replaces the first, which then sees the end as `Dropped`.
    #[must_use]
    pub fn watched(mut self, watch: Rc<dyn Watch>) -> Self {
        self.end(BodyEnd::Dropped);
        if self.is_end_stream() {
            watch.end(BodyEnd::Complete);
        } else {
            self.watch = Some(watch);
        }
        self
    }

    /// The same body once more, if its bytes are in hand. The copy is not watched.
    pub fn replay(&self) -> Option<Body> {
        match &self.kind {
            Kind::Empty => Some(Body::empty()),
            Kind::Full(bytes) => Some(Body::full(bytes.clone())),
            _ => None,
        }
    }

    /// Whether nothing more will come.
    pub fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty | Kind::Tunnel(_) => true,
            Kind::Full(_) => false,
            Kind::Http1(body) => body.is_end_stream(),
            Kind::H2(body) => body.is_end_stream(),
            Kind::Other(body) => body.is_end_stream(),
        }
    }

    /// Lets go of it and says why.
    pub(crate) fn give_up(&mut self, end: BodyEnd) {
        self.kind = Kind::Empty;
        self.end(end);
    }

    /// Bytes that have come and wait to be read, where that is known.
    pub(crate) fn unread(&mut self) -> usize {
        match &mut self.kind {
            Kind::H2(body) => body.unread(),
            _ => 0,
        }
    }

    /// How many bytes are in hand, in one piece, if nothing else follows.
    pub fn full_len(&self) -> Option<usize> {
        match &self.kind {
            Kind::Full(bytes) => Some(bytes.len()),
            Kind::H2(body) => body.whole_len(),
            _ => None,
        }
    }

    /// Takes the bytes if they are in hand, in one piece, and nothing else follows.
    pub fn take_full(&mut self) -> Option<Bytes> {
        let bytes = match &mut self.kind {
            Kind::Full(bytes) => std::mem::take(bytes),
            Kind::H2(body) => body.take_whole()?,
            _ => return None,
        };
        self.kind = Kind::Empty;
        self.saw(bytes.len());
        self.end(BodyEnd::Complete);
        Some(bytes)
    }

    /// All bytes; trailers are dropped.
    ///
    /// # Errors
    /// `TooLarge` beyond `limit` bytes (what was read is lost), else what the sender did.
    pub async fn collect(self, limit: usize) -> Result<Bytes, BodyError> {
        Ok(self.collect_with_trailers(limit).await?.0)
    }

    /// All bytes, and the trailers.
    ///
    /// # Errors
    /// As [`Body::collect`].
    pub async fn collect_with_trailers(
        mut self,
        limit: usize,
    ) -> Result<(Bytes, Option<HeaderMap>), BodyError> {
        let mut first = Bytes::new();
        let mut rest = BytesMut::new();
        let mut trailers = None;
        while let Some(frame) = self.frame().await {
            match frame?.into_data() {
                Ok(data) => {
                    if first.len() + rest.len() + data.len() > limit {
                        return Err(BodyError::TooLarge { limit });
                    }
                    if first.is_empty() {
                        first = data;
                    } else {
                        rest.extend_from_slice(&data);
                    }
                }
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
        if rest.is_empty() {
            return Ok((first, trailers));
        }
        let mut all = BytesMut::with_capacity(first.len() + rest.len());
        all.extend_from_slice(&first);
        all.extend_from_slice(&rest);
        Ok((all.freeze(), trailers))
    }

    /// The next piece, or nothing at the end.
    pub async fn frame(&mut self) -> Option<Result<Frame<Bytes>, BodyError>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_frame(cx)).await
    }

    fn saw(&self, len: usize) {
        if let Some(watch) = &self.watch {
            watch.data(len);
        }
    }

    fn end(&mut self, end: BodyEnd) {
        if let Some(watch) = self.watch.take() {
            watch.end(end);
        }
    }

    fn poll_kind(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.kind {
            Kind::Empty | Kind::Tunnel(_) => Poll::Ready(None),
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.kind = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Kind::Http1(body) => body.poll_frame(cx),
            Kind::H2(body) => body.poll_frame(cx),
            Kind::Other(body) => body.as_mut().poll_frame(cx),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let body = self.get_mut();
        let mut frame = ready!(body.poll_kind(cx));
        if let Some(watch) = &body.watch {
            match &mut frame {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        watch.data(data.len());
                    } else if let Some(trailers) = frame.trailers_mut() {
                        watch.trailers(trailers);
                    }
                    // Readers that know the length do not ask again after the last byte.
                    if body.is_end_stream() {
                        body.end(BodyEnd::Complete);
                    }
                }
                Some(Err(_)) => body.end(BodyEnd::Failed),
                None => body.end(BodyEnd::Complete),
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        Body::is_end_stream(self)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty | Kind::Tunnel(_) => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Http1(body) => body.size_hint(),
            Kind::H2(body) => body.size_hint(),
            Kind::Other(body) => body.size_hint(),
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if self.watch.is_some() {
            self.end(BodyEnd::Dropped);
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Body::empty()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Body::full(bytes)
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Body::full(text)
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Body::full(text)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Empty => "empty",
            Kind::Full(_) => "full",
            Kind::Http1(_) => "http1",
            Kind::H2(_) => "http2",
            Kind::Other(_) => "boxed",
            Kind::Tunnel(_) => "tunnel",
        };
        write!(f, "Body({kind})")
    }
}

/// Whether `content-length` is absent, or there once and digits.
pub(crate) fn has_one_length(headers: &HeaderMap<HeaderValue>) -> bool {
    let mut lengths = headers.get_all(http::header::CONTENT_LENGTH).iter();
    match (lengths.next(), lengths.next()) {
        (None, _) => true,
        (Some(length), None) => !length.is_empty() && length.as_bytes().iter().all(u8::is_ascii_digit),
        (Some(_), Some(_)) => false,
    }
}

/// The value of `content-length`, if it is there once and is a number.
pub(crate) fn content_length(headers: &HeaderMap<HeaderValue>) -> Option<u64> {
    headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
