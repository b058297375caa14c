//! Where bodies end: pure. The decoder takes a body off the bytes that came, with one reading for every byte of its
//! framing; `write` has the encoder. A piece of a body is a slice of the bytes that came.

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use memchr::memchr;

use super::parse::{Framing, find_trailers_end, parse_trailers};
use crate::Violation;
use crate::options::HEADER_BYTES_MAX;

/// Bytes of chunk extensions in one message.
const EXTENSION_BYTES_MAX: usize = 16 * 1024;
/// Digits of a chunk's size: more would not fit.
const CHUNK_DIGITS_MAX: usize = 15;

/// Takes one body off what comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyDecoder {
    state: State,
    extension_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ended,
    Sized(u64),
    UntilClose,
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailers,
}

/// What stands at the front of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Nothing that could be told without more of them.
    More,
    /// So many bytes of framing.
    Framing(usize),
    /// So many bytes of the body.
    Data(usize),
    /// So many bytes of trailers, their blank line included: behind them the body has ended.
    Trailers(usize),
    /// The end.
    End,
}

/// What is taken off a body at once.
#[derive(Debug)]
pub(super) enum BodyPiece {
    /// Some of it.
    Data(Bytes),
    /// Its trailers, which end it.
    Trailers(HeaderMap),
    /// Its end.
    End,
}

impl BodyDecoder {
    /// For a body that ends as `framing` says.
    pub(super) fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Empty | Framing::Sized(0) => State::Ended,
            Framing::Sized(length) => State::Sized(length),
            Framing::Chunked => State::ChunkSize,
            Framing::UntilClose => State::UntilClose,
        };
        BodyDecoder { state, extension_bytes: 0 }
    }

    /// Whether all of it was taken.
    pub(super) fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Whether the end of the connection is its end.
    pub(super) fn ends_with_connection(&self) -> bool {
        self.state == State::UntilClose
    }

    /// Bytes still to come, if that is known.
    pub(super) fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Ended => Some(0),
            State::Sized(left) => Some(left),
            _ => None,
        }
    }

    /// Takes the next piece off the front of `input`; `None`: more must come. Together with a last piece the end is
    /// taken, if it is there and has no trailers.
    ///
    /// # Errors
    /// [`Violation::Chunk`]; it stays so.
    pub(super) fn decode(&mut self, input: &mut BytesMut) -> Result<Option<BodyPiece>, Violation> {
        loop {
            match self.step(input)? {
                Step::More => return Ok(None),
                Step::Framing(len) => input.advance(len),
                Step::Data(len) => {
                    let data = input.split_to(len).freeze();
                    self.take_end(input);
                    return Ok(Some(BodyPiece::Data(data)));
                }
                Step::Trailers(len) => {
                    let section = input.split_to(len).freeze();
                    let trailers = parse_trailers(&section).map_err(|_| Violation::Chunk)?;
                    return Ok(Some(BodyPiece::Trailers(trailers)));
                }
                Step::End => return Ok(Some(BodyPiece::End)),
            }
        }
    }

    /// Takes framing off `input` as far as it makes sense and is followed by nothing else.
    fn take_end(&mut self, input: &mut BytesMut) {
        let mut ahead = *self;
        while let Ok(Step::Framing(len)) = ahead.step(input) {
            input.advance(len);
            *self = ahead;
        }
    }

    /// Whether `bytes` hold all that is still to come.
    pub(super) fn is_whole_in(mut self, mut bytes: &[u8]) -> bool {
        loop {
            match self.step(bytes) {
                Ok(Step::Framing(len) | Step::Data(len)) => bytes = &bytes[len..],
                Ok(Step::End) => return true,
                Ok(Step::Trailers(len)) => {
                    return parse_trailers(&Bytes::copy_from_slice(&bytes[..len])).is_ok();
                }
                Ok(Step::More) | Err(_) => return false,
            }
        }
    }

    fn step(&mut self, bytes: &[u8]) -> Result<Step, Violation> {
        match self.state {
            State::Ended => Ok(Step::End),
            _ if bytes.is_empty() => Ok(Step::More),
            State::UntilClose => Ok(Step::Data(bytes.len())),
            State::Sized(left) => Ok(self.data(left, bytes, State::Sized, State::Ended)),
            State::Chunk(left) => Ok(self.data(left, bytes, State::Chunk, State::ChunkEnd)),
            State::ChunkSize => self.chunk_size(bytes),
            State::ChunkEnd => match bytes {
                [b'\r', b'\n', ..] => {
                    self.state = State::ChunkSize;
                    Ok(Step::Framing(2))
                }
                [b'\r'] => Ok(Step::More),
                _ => Err(Violation::Chunk),
            },
            State::Trailers => self.trailers(bytes),
        }
    }

    fn data(&mut self, left: u64, bytes: &[u8], within: fn(u64) -> State, behind: State) -> Step {
        let len = left.min(bytes.len() as u64);
        self.state = if left > len { within(left - len) } else { behind };
        Step::Data(len as usize)
    }

    fn chunk_size(&mut self, bytes: &[u8]) -> Result<Step, Violation> {
        let Some(end) = memchr(b'\n', bytes) else {
            return if bytes.len() > EXTENSION_BYTES_MAX { Err(Violation::Chunk) } else { Ok(Step::More) };
        };
        let [text @ .., b'\r'] = &bytes[..end] else { return Err(Violation::Chunk) };
        let size = chunk_size(text, &mut self.extension_bytes)?;
        self.state = if size == 0 { State::Trailers } else { State::Chunk(size) };
        Ok(Step::Framing(end + 1))
    }

    fn trailers(&mut self, bytes: &[u8]) -> Result<Step, Violation> {
        match find_trailers_end(bytes).map_err(|_| Violation::Chunk)? {
            Some(len) if len > HEADER_BYTES_MAX => Err(Violation::Chunk),
            Some(len) => {
                self.state = State::Ended;
                Ok(if len == 2 { Step::Framing(2) } else { Step::Trailers(len) })
            }
            None if bytes.len() > HEADER_BYTES_MAX => Err(Violation::Chunk),
            None => Ok(Step::More),
        }
    }
}

/// The size in the line of a chunk; its extension is counted.
fn chunk_size(text: &[u8], extension_bytes: &mut usize) -> Result<u64, Violation> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let extension = &text[digits..];
    *extension_bytes += extension.len();
    let clean = extension.first().is_none_or(|byte| *byte == b';')
        && extension.iter().all(|byte| *byte == b'\t' || (b' '..0x7f).contains(byte));
    if digits == 0 || digits > CHUNK_DIGITS_MAX || !clean || *extension_bytes > EXTENSION_BYTES_MAX {
        return Err(Violation::Chunk);
    }
    let value = |digit: &u8| u64::from((*digit as char).to_digit(16).unwrap_or_default());
    Ok(text[..digits].iter().fold(0, |size, digit| size << 4 | value(digit)))
}

#[cfg(test)]
mod tests;
