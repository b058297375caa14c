//! Looks at every raw byte of an upstream's responses before hyper does, because hyper takes what others read in
//! another way: LF alone at the end of a line, blanks and control characters in the line of a chunk.
//!
//! It follows the framing of one response after the other. What breaks a rule in a head is spoiled, so that hyper
//! finds no response in it; in a body the stream fails there. Which framing headers make sense together is looked at
//! once hyper has read them (`client`).

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use memchr::{memchr, memchr_iter};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::gate::{EXTENSION_BYTES_MAX, chunk_size, parse_length, split_field, trim};
use crate::Violation;

/// What the answer to a request depends on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked {
    /// HEAD: whatever the head of the response says, it has no body.
    pub(super) is_head: bool,
    /// CONNECT: what follows success is no body.
    pub(super) is_connect: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    StatusLine,
    Fields,
    Sized(u64),
    ChunkSize,
    Chunk(u64),
    ChunkCr,
    ChunkLf,
    Trailers,
    /// Until the upstream closes, or bytes of another protocol.
    Rest,
    Broken,
}

/// Where in a response a rule was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// In the head, at this index of what was looked at.
    Head(usize),
    /// Behind it, at this index at the latest; what is before makes sense.
    Body(usize),
}

/// The state machine; knows no sockets.
#[derive(Debug)]
pub(super) struct AnswerScanner {
    state: State,
    /// The part of a line that came with an earlier read.
    line: Vec<u8>,
    extension_bytes: usize,
    status: [u8; 3],
    chunked: bool,
    length: Option<u64>,
}

impl AnswerScanner {
    pub(super) fn new() -> Self {
        AnswerScanner {
            state: State::StatusLine,
            line: Vec::new(),
            extension_bytes: 0,
            status: [0; 3],
            chunked: false,
            length: None,
        }
    }

    /// Looks at the next bytes of the answer to what was `asked`.
    pub(super) fn scan(&mut self, bytes: &[u8], asked: Asked) -> Result<(), Broken> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let in_head = matches!(self.state, State::StatusLine | State::Fields);
            let checked = match self.state {
                State::Rest => return Ok(()),
                State::Broken => return Err(Broken::Body(at)),
                State::Sized(left) => Ok(self.skip(left, rest, State::Sized, State::StatusLine)),
                State::Chunk(left) => Ok(self.skip(left, rest, State::Chunk, State::ChunkCr)),
                State::ChunkCr => self.expect(b'\r', rest, State::ChunkLf),
                State::ChunkLf => self.expect(b'\n', rest, State::ChunkSize),
                State::Fields if self.line.is_empty() => self.take_fields(rest, asked),
                _ => self.take_line(rest, asked),
            };
            match checked {
                Ok(len) => at += len,
                Err(_) => {
                    self.state = State::Broken;
                    let end = memchr(b'\n', rest).map_or(bytes.len() - 1, |end| at + end);
                    return Err(if in_head { Broken::Head(end) } else { Broken::Body(at) });
                }
            }
        }
        Ok(())
    }

    fn skip(&mut self, left: u64, bytes: &[u8], within: fn(u64) -> State, next: State) -> usize {
        let len = left.min(bytes.len() as u64);
        self.state = if left > len { within(left - len) } else { next };
        len as usize
    }

    fn expect(&mut self, byte: u8, bytes: &[u8], next: State) -> Result<usize, Violation> {
        self.state = next;
        if bytes[0] == byte { Ok(1) } else { Err(Violation::Chunk) }
    }

    /// Consumes up to and with the next LF, and checks the line if it is complete.
    fn take_line(&mut self, bytes: &[u8], asked: Asked) -> Result<usize, Violation> {
        let Some(end) = memchr(b'\n', bytes) else { return self.keep(bytes) };
        if self.line.is_empty() {
            self.check_line(&bytes[..=end], asked)?;
        } else {
            let mut line = std::mem::take(&mut self.line);
            line.extend_from_slice(&bytes[..=end]);
            let checked = self.check_line(&line, asked);
            line.clear();
            self.line = line;
            checked?;
        }
        Ok(end + 1)
    }

    /// Keeps a part of a line. As in the gate: hyper bounds a head and trailers, a chunk's line is bounded here.
    fn keep(&mut self, bytes: &[u8]) -> Result<usize, Violation> {
        self.line.extend_from_slice(bytes);
        let is_too_long = matches!(self.state, State::ChunkSize) && self.line.len() > EXTENSION_BYTES_MAX;
        if is_too_long { Err(Violation::Chunk) } else { Ok(bytes.len()) }
    }

    /// The same for as many of the head's fields as have come, which is all that most responses are to us.
    fn take_fields(&mut self, bytes: &[u8], asked: Asked) -> Result<usize, Violation> {
        let mut at = 0;
        for end in memchr_iter(b'\n', bytes) {
            match &bytes[at..end] {
                [b'\r'] => {
                    self.end_head(asked);
                    return Ok(end + 1);
                }
                [text @ .., b'\r'] => self.field(text),
                _ if at == 0 => return Err(Violation::LineEnd),
                // The lines before it make sense.
                _ => return Ok(at),
            }
            at = end + 1;
        }
        if at == 0 { self.keep(bytes) } else { Ok(at) }
    }

    fn check_line(&mut self, line: &[u8], asked: Asked) -> Result<(), Violation> {
        let [text @ .., b'\r', b'\n'] = line else { return Err(Violation::LineEnd) };
        match self.state {
            State::StatusLine => {
                // hyper looks at the rest of it, and passes over blank lines before.
                if let Some(status) = text.get(9..12) {
                    self.status.copy_from_slice(status);
                    self.state = State::Fields;
                }
            }
            State::Fields if text.is_empty() => self.end_head(asked),
            State::Fields => self.field(text),
            State::ChunkSize => {
                let size = chunk_size(text, &mut self.extension_bytes)?;
                self.state = if size == 0 { State::Trailers } else { State::Chunk(size) };
            }
            State::Trailers if text.is_empty() => self.state = State::StatusLine,
            State::Trailers => drop(split_field(text)?),
            _ => {}
        }
        Ok(())
    }

    fn field(&mut self, text: &[u8]) {
        const LENGTH: &[u8] = b"Content-Length:";
        const CODING: &[u8] = b"Transfer-Encoding:";
        if starts_with(text, LENGTH) {
            self.length = parse_length(trim(&text[LENGTH.len()..]));
        } else if starts_with(text, CODING) {
            self.chunked = true;
        }
    }

    fn end_head(&mut self, asked: Asked) {
        let (chunked, length) = (std::mem::take(&mut self.chunked), self.length.take());
        self.extension_bytes = 0;
        self.state = match self.status {
            [b'1', b'0', b'1'] => State::Rest,
            [b'1', ..] => State::StatusLine,
            [b'2', ..] if asked.is_connect => State::Rest,
            [b'2', b'0', b'4'] | [b'3', b'0', b'4'] => State::StatusLine,
            _ if asked.is_head => State::StatusLine,
            _ => match (chunked, length) {
                (true, _) => State::ChunkSize,
                (false, Some(0)) => State::StatusLine,
                (false, Some(length)) => State::Sized(length),
                (false, None) => State::Rest,
            },
        };
    }
}

/// Whether `text` starts with `name`, which ends with a colon, in any case. The colon's place tells nearly all others
/// apart, and most write names as we do.
#[inline]
fn starts_with(text: &[u8], name: &[u8]) -> bool {
    text.get(name.len() - 1) == Some(&b':')
        && (text.starts_with(name) || text[..name.len()].eq_ignore_ascii_case(name))
}

/// An upstream's stream as hyper sees it.
pub(super) struct Answers<I> {
    io: I,
    scanner: AnswerScanner,
    asked: Rc<Cell<Asked>>,
    /// It takes nothing any more.
    is_deaf: bool,
}

impl<I> Answers<I> {
    /// `asked` says what the request at hand is.
    pub(super) fn new(io: I, asked: Rc<Cell<Asked>>) -> Self {
        Answers { io, scanner: AnswerScanner::new(), asked, is_deaf: false }
    }

    /// Passes on how writing went. An upstream that has closed may have answered before, and hyper would not look for
    /// that after a failure; so it waits for ever, and finds the answer or the end by reading.
    fn wrote(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Err(_)) = written {
            self.is_deaf = true;
            return Poll::Pending;
        }
        written
    }

    /// The bare stream.
    pub(super) fn into_inner(self) -> I {
        self.io
    }
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "response that others may read in another way")
}

impl<I: AsyncRead + Unpin> AsyncRead for Answers<I> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let answers = self.get_mut();
        let start = buf.filled().len();
        if let State::Broken = answers.scanner.state {
            return Poll::Ready(Err(broken()));
        }
        ready!(Pin::new(&mut answers.io).poll_read(cx, buf))?;
        match answers.scanner.scan(&buf.filled()[start..], answers.asked.get()) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(Broken::Head(at)) => {
                // NUL is nowhere allowed in a head.
                buf.filled_mut()[start + at] = 0;
                Poll::Ready(Ok(()))
            }
            // First the head and the pieces that came with it.
            Err(Broken::Body(at @ 1..)) => {
                buf.set_filled(start + at);
                Poll::Ready(Ok(()))
            }
            Err(Broken::Body(_)) => Poll::Ready(Err(broken())),
        }
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Answers<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_deaf {
            return Poll::Pending;
        }
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_deaf {
            return Poll::Pending;
        }
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
