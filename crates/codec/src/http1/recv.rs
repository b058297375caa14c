//! The body of a message that is not there as a whole yet: it is read from its connection by whoever polls it.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::buffered::BufferedIo;
use super::framing::{BodyDecoder, BodyPiece};
use crate::{BodyError, Violation};

/// Where the rest of a body comes from: the connection of a client, or of an upstream.
pub(super) trait BodySource {
    /// The next piece. Not called again after the end or a failure.
    fn poll_piece(&self, cx: &mut Context<'_>) -> Poll<Result<BodyPiece, BodyError>>;

    /// What is still to come of the body at hand: the bytes, if known.
    fn remaining(&self) -> Option<u64>;

    /// The body is not wanted any more.
    fn give_up(&self);
}

/// The rest of a body.
pub(crate) struct Http1Body {
    source: Rc<dyn BodySource>,
    /// All was read, or it broke off.
    is_ended: bool,
}

impl Http1Body {
    pub(super) fn new(source: Rc<dyn BodySource>) -> Self {
        Http1Body { source, is_ended: false }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.is_ended
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let remaining = if self.is_ended { Some(0) } else { self.source.remaining() };
        remaining.map_or_else(SizeHint::default, SizeHint::with_exact)
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.is_ended {
            return Poll::Ready(None);
        }
        let piece = ready!(self.source.poll_piece(cx));
        match piece {
            Ok(BodyPiece::Data(data)) => {
                self.is_ended = self.source.remaining() == Some(0);
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Ok(BodyPiece::Trailers(trailers)) => {
                self.is_ended = true;
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            Ok(BodyPiece::End) => {
                self.is_ended = true;
                Poll::Ready(None)
            }
            Err(error) => {
                self.is_ended = true;
                Poll::Ready(Some(Err(error)))
            }
        }
    }
}

impl Drop for Http1Body {
    fn drop(&mut self) {
        if !self.is_ended {
            self.source.give_up();
        }
    }
}

/// Why a body broke off.
#[derive(Debug)]
pub(super) enum BodyFault {
    /// Its framing breaks a rule.
    Framing(Violation),
    /// The connection ended before it did.
    Ended,
    /// The connection failed.
    Io(io::Error),
}

impl BodyFault {
    /// As the reader is told.
    pub(super) fn to_error(&self) -> BodyError {
        let cause = match self {
            BodyFault::Framing(_) => io::Error::new(io::ErrorKind::InvalidData, "framing of the body"),
            BodyFault::Ended => io::Error::new(io::ErrorKind::UnexpectedEof, "end of the connection"),
            BodyFault::Io(error) => io::Error::new(error.kind(), error.to_string()),
        };
        BodyError::Broken(cause.into())
    }
}

/// Reads the next piece of the body that `decoder` is for.
pub(super) fn poll_piece(
    wire: &mut BufferedIo,
    decoder: &mut BodyDecoder,
    cx: &mut Context<'_>,
) -> Poll<Result<BodyPiece, BodyFault>> {
    loop {
        if let Some(piece) = decoder.decode(&mut wire.input).map_err(BodyFault::Framing)? {
            return Poll::Ready(Ok(piece));
        }
        if ready!(wire.poll_fill(cx)).map_err(BodyFault::Io)? == 0 {
            let is_end = decoder.ends_with_connection();
            return Poll::Ready(if is_end { Ok(BodyPiece::End) } else { Err(BodyFault::Ended) });
        }
    }
}
