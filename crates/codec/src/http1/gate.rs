//! Looks at every raw byte that a client sends before hyper does, because hyper is more lenient than we are and
//! hides what it tolerated: both framings at once, repeated lengths, bare LF.
//!
//! The scanner follows the framing of the whole connection (pipelined requests too). At the first violation it
//! spoils the byte where it stands, so that hyper itself answers 400 in its turn and ends the connection. Behind
//! a request that may become a tunnel it holds the bytes back until that is decided.

use memchr::{memchr, memrchr};

use crate::Violation;

/// Blank lines that may come before a request line.
const BLANK_LINES_MAX: u8 = 1;
/// Bytes of chunk extensions in one message.
pub(super) const EXTENSION_BYTES_MAX: usize = 16 * 1024;
/// Digits of a chunk's size: more would not fit.
const CHUNK_DIGITS_MAX: usize = 15;
/// Digits of a content length: more would not fit.
const LENGTH_DIGITS_MAX: usize = 18;

/// Where in the messages of a connection the scanner stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScanPosition {
    /// Between messages.
    Rest,
    /// In a request's head.
    Head,
    /// In a request's body.
    Body,
    /// Behind a request that may become a tunnel.
    Held,
    /// At a violation: nothing passes any more.
    Broken(Violation),
}

/// What to do with bytes that were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scanned {
    /// All of them pass.
    Pass,
    /// Only so many pass, the rest has to wait.
    Hold(usize),
    /// The byte at this index breaks a rule.
    Broken(usize),
}

#[derive(Clone, Copy, Debug)]
enum State {
    RequestLine,
    Fields,
    Sized(u64),
    ChunkSize,
    Chunk(u64),
    ChunkCr,
    ChunkLf,
    Trailers,
    Held,
    Broken(Violation),
}

/// What of a head matters for framing.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    old_version: bool,
    connect: bool,
    upgrade: bool,
    host: bool,
    chunked: bool,
    length: Option<u64>,
}

/// The state machine; knows no sockets.
#[derive(Debug)]
pub(super) struct RequestScanner {
    state: State,
    /// The part of a line that came with an earlier read.
    line: Vec<u8>,
    blank_lines: u8,
    extension_bytes: usize,
    head: Head,
    /// Heads that have ended.
    heads: u64,
}

impl RequestScanner {
    pub(super) fn new() -> Self {
        RequestScanner {
            state: State::RequestLine,
            line: Vec::new(),
            blank_lines: 0,
            extension_bytes: 0,
            head: Head::default(),
            heads: 0,
        }
    }

    /// Heads that have ended, the one of the message at hand included.
    pub(super) fn heads(&self) -> u64 {
        self.heads
    }

    pub(super) fn position(&self) -> ScanPosition {
        match self.state {
            State::RequestLine if self.line.is_empty() && self.blank_lines == 0 => ScanPosition::Rest,
            State::RequestLine | State::Fields => ScanPosition::Head,
            State::Held => ScanPosition::Held,
            State::Broken(violation) => ScanPosition::Broken(violation),
            _ => ScanPosition::Body,
        }
    }

    /// What was held back shall be a request like any other.
    pub(super) fn release(&mut self) {
        if matches!(self.state, State::Held) {
            self.state = State::RequestLine;
        }
    }

    /// Looks at the next bytes.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Scanned {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            at += match self.state {
                State::Held => return Scanned::Hold(at),
                State::Broken(_) => return Scanned::Broken(at),
                State::Sized(left) => self.skip(left, rest, None),
                State::Chunk(left) => self.skip(left, rest, Some(State::ChunkCr)),
                State::ChunkCr => self.expect(b'\r', rest, State::ChunkLf),
                State::ChunkLf => self.expect(b'\n', rest, State::ChunkSize),
                State::RequestLine | State::Fields | State::ChunkSize | State::Trailers => {
                    self.take_line(rest)
                }
            };
            if let State::Broken(_) = self.state {
                return Scanned::Broken(at - 1);
            }
        }
        Scanned::Pass
    }

    fn skip(&mut self, left: u64, bytes: &[u8], next: Option<State>) -> usize {
        let len = left.min(bytes.len() as u64);
        let left = left - len;
        if left > 0 {
            self.state = if next.is_some() { State::Chunk(left) } else { State::Sized(left) };
        } else if let Some(next) = next {
            self.state = next;
        } else {
            self.end_message();
        }
        len as usize
    }

    fn expect(&mut self, byte: u8, bytes: &[u8], next: State) -> usize {
        self.state = if bytes[0] == byte { next } else { State::Broken(Violation::Chunk) };
        1
    }

    /// Consumes up to and with the next LF, and checks the line if it is complete.
    fn take_line(&mut self, bytes: &[u8]) -> usize {
        let Some(end) = memchr(b'\n', bytes) else {
            // Its size is bounded by hyper, which stops reading when a head or the trailers get too large; a
            // chunk's line is bounded here.
            self.line.extend_from_slice(bytes);
            if matches!(self.state, State::ChunkSize) && self.line.len() > EXTENSION_BYTES_MAX {
                self.state = State::Broken(Violation::Chunk);
            }
            return bytes.len();
        };
        let checked = if self.line.is_empty() {
            self.check_line(&bytes[..=end])
        } else {
            let mut line = std::mem::take(&mut self.line);
            line.extend_from_slice(&bytes[..=end]);
            let checked = self.check_line(&line);
            line.clear();
            self.line = line;
            checked
        };
        if let Err(violation) = checked {
            self.state = State::Broken(violation);
        }
        end + 1
    }

    fn check_line(&mut self, line: &[u8]) -> Result<(), Violation> {
        let text = match line {
            [text @ .., b'\r', b'\n'] if memchr(b'\r', text).is_none() => text,
            _ if matches!(self.state, State::ChunkSize | State::Trailers) => return Err(Violation::Chunk),
            _ => return Err(Violation::LineEnd),
        };
        match self.state {
            State::RequestLine => self.request_line(text),
            State::Fields if text.is_empty() => self.end_head(),
            State::Fields => self.field(text),
            State::ChunkSize => {
                let size = chunk_size(text, &mut self.extension_bytes)?;
                self.state = if size == 0 { State::Trailers } else { State::Chunk(size) };
                Ok(())
            }
            State::Trailers if text.is_empty() => {
                self.end_message();
                Ok(())
            }
            State::Trailers => split_field(text).map(|_| ()).map_err(|_| Violation::Chunk),
            _ => Ok(()),
        }
    }

    fn request_line(&mut self, text: &[u8]) -> Result<(), Violation> {
        if text.is_empty() {
            self.blank_lines += 1;
            return if self.blank_lines > BLANK_LINES_MAX { Err(Violation::RequestLine) } else { Ok(()) };
        }
        self.blank_lines = 0;
        let method_end = memchr(b' ', text).ok_or(Violation::RequestLine)?;
        let target_end = memrchr(b' ', text).ok_or(Violation::RequestLine)?;
        let target = text.get(method_end + 1..target_end).ok_or(Violation::RequestLine)?;
        // A fragment would be dropped in silence, so that what was asked is not what is decided on.
        let is_bad = |byte: &u8| *byte <= b' ' || *byte == 0x7f || *byte == b'#';
        if method_end == 0 || target.is_empty() || target.iter().any(is_bad) {
            return Err(Violation::RequestLine);
        }
        let old_version = match &text[target_end + 1..] {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" => true,
            _ => return Err(Violation::RequestLine),
        };
        self.head = Head { old_version, connect: &text[..method_end] == b"CONNECT", ..Head::default() };
        self.state = State::Fields;
        Ok(())
    }

    fn field(&mut self, text: &[u8]) -> Result<(), Violation> {
        let (name, value) = split_field(text)?;
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                let repeated = std::mem::replace(&mut self.head.host, true);
                if repeated || !is_host(value) {
                    return Err(Violation::Host);
                }
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.head.upgrade = true,
            14 if is_framing_name(name, b"content-length")? => {
                let length = parse_length(value).ok_or(Violation::ContentLength)?;
                if self.head.length.replace(length).is_some() {
                    return Err(Violation::ContentLength);
                }
            }
            17 if is_framing_name(name, b"transfer-encoding")? => {
                let twice = std::mem::replace(&mut self.head.chunked, true);
                if twice || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Violation::TransferEncoding);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn end_head(&mut self) -> Result<(), Violation> {
        let head = self.head;
        if !head.host && !head.old_version {
            return Err(Violation::Host);
        }
        if head.chunked && head.length.is_some() {
            return Err(Violation::BothLengths);
        }
        if head.chunked && head.old_version {
            return Err(Violation::OldVersion);
        }
        if head.connect && (head.chunked || head.length.is_some_and(|length| length > 0)) {
            return Err(Violation::ContentLength);
        }
        self.extension_bytes = 0;
        self.heads += 1;
        match (head.chunked, head.length) {
            (true, _) => self.state = State::ChunkSize,
            (false, Some(length)) if length > 0 => self.state = State::Sized(length),
            _ => self.end_message(),
        }
        Ok(())
    }

    fn end_message(&mut self) {
        let may_tunnel = self.head.connect || (self.head.upgrade && !self.head.old_version);
        self.state = if may_tunnel { State::Held } else { State::RequestLine };
    }
}

/// The size in the line of a chunk; its extension is counted.
pub(super) fn chunk_size(text: &[u8], extension_bytes: &mut usize) -> Result<u64, Violation> {
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

/// Name and trimmed value of a field line.
pub(super) fn split_field(text: &[u8]) -> Result<(&[u8], &[u8]), Violation> {
    let colon = memchr(b':', text).ok_or(Violation::HeaderLine)?;
    let (name, value) = (&text[..colon], &text[colon + 1..]);
    match (name.first(), name.last()) {
        (Some(first), Some(last)) if *first > b' ' && *last > b' ' => Ok((name, trim(value))),
        _ => Err(Violation::HeaderLine),
    }
}

/// Whether `name` is `wanted`; a spelling with underscores is one that some backends take for it.
fn is_framing_name(name: &[u8], wanted: &[u8]) -> Result<bool, Violation> {
    if name.eq_ignore_ascii_case(wanted) {
        return Ok(true);
    }
    let alike = name
        .iter()
        .zip(wanted)
        .all(|(have, want)| have.eq_ignore_ascii_case(want) || (*want == b'-' && *have == b'_'));
    if alike { Err(Violation::HeaderLine) } else { Ok(false) }
}

pub(super) fn trim(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let start = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    &value[start..end]
}

pub(super) fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > LENGTH_DIGITS_MAX || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(value.iter().fold(0, |length, digit| length * 10 + u64::from(digit - b'0')))
}

/// One host with an optional port: no list, no user, no path.
pub(crate) fn is_host(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(byte))
}

#[cfg(test)]
mod tests;
