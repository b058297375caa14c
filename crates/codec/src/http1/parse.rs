//! Heads of messages: pure, from bytes to types, in one pass. A head is read once it is there as a whole; until then
//! it is only looked whether its lines end as they must.
//!
//! Values are slices of the bytes that came; nothing is copied but the names that are not standard.

use bytes::{Bytes, BytesMut};
use http::header::{HeaderName, HeaderValue};
use http::uri::Uri;
use http::{HeaderMap, Method, StatusCode, Version};
use memchr::{memchr, memchr_iter, memrchr};

use super::rules::{has_member, is_framing_name, is_host, parse_length, split_field};
use super::spare;
use crate::Violation;
use crate::options::HEADERS_MAX;

/// Bytes of a target: more would not fit a `Uri`. More: 414.
const TARGET_BYTES_MAX: usize = (u16::MAX - 1) as usize;
/// Letters of a method.
const METHOD_BYTES_MAX: usize = 64;

/// Why a head cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeadFault {
    /// It breaks a rule.
    Broken(Violation),
    /// It has more bytes or fields than we take.
    TooLarge,
    /// Its target is longer than we take.
    TargetTooLong,
}

impl From<Violation> for HeadFault {
    fn from(violation: Violation) -> Self {
        HeadFault::Broken(violation)
    }
}

/// What is taken of a head.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadLimits {
    /// Its lines together.
    pub(super) bytes: usize,
    /// Its fields.
    pub(super) fields: usize,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none.
    Empty,
    /// After so many bytes.
    Sized(u64),
    /// With a chunk of size zero.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// The head of a request.
#[derive(Debug)]
pub(super) struct RequestHead {
    pub(super) method: Method,
    pub(super) target: Uri,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
    pub(super) framing: Framing,
    /// Whether the client wants to go on with this connection.
    pub(super) keeps_alive: bool,
    /// Whether it waits for a `100 Continue`.
    pub(super) expects_continue: bool,
    /// Whether `te` says that it takes trailers.
    pub(super) takes_trailers: bool,
    /// Whether there is an `upgrade`.
    pub(super) has_upgrade: bool,
}

/// The head of a response.
#[derive(Debug)]
pub(super) struct ResponseHead {
    pub(super) status: StatusCode,
    /// What stands behind the status where that is not what usually does.
    pub(super) reason: Option<ReasonPhrase>,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
    /// What the fields say; of what was asked it also depends whether there is a body.
    pub(super) framing: Framing,
    pub(super) keeps_alive: bool,
}

/// What an upstream wrote behind its status; passed on to callers of HTTP/1.
#[derive(Clone, Debug)]
pub(super) struct ReasonPhrase(pub(super) Bytes);

/// What the fields of a head say about the message.
#[derive(Debug, Default)]
struct Facts {
    has_host: bool,
    is_chunked: bool,
    length: Option<u64>,
    closes: bool,
    keeps_alive: bool,
    expects_continue: bool,
    takes_trailers: bool,
    has_upgrade: bool,
}

/// Takes a field, by name and value, into account.
type Note = fn(&mut Facts, &[u8], &[u8]) -> Result<(), Violation>;

/// A request's head off the front of `input`; `None`: it goes on.
pub(super) fn parse_request(
    input: &mut BytesMut,
    limits: HeadLimits,
) -> Result<Option<RequestHead>, HeadFault> {
    if input.is_empty() {
        return Ok(None);
    }
    let mut lines = Lines::new(limits.fields);
    let Some(head) = take_head(input, limits, &mut lines, may_be_request)? else { return Ok(None) };
    let (method, target, version) = request_line(&head, lines.get(0))?;
    let mut headers = spare::take_map();
    let facts = parse_fields(&head, &lines, &mut headers, Facts::note_request)?;
    let is_old = version == Version::HTTP_10;
    let is_connect = method == Method::CONNECT;
    let framing = match (facts.is_chunked, facts.length) {
        _ if !facts.has_host && !is_old => return Err(Violation::Host.into()),
        (true, Some(_)) => return Err(Violation::BothLengths.into()),
        (true, None) if is_old => return Err(Violation::OldVersion.into()),
        (true, None) if is_connect => return Err(Violation::ContentLength.into()),
        (true, None) => Framing::Chunked,
        (false, Some(1..)) if is_connect => return Err(Violation::ContentLength.into()),
        (false, Some(length @ 1..)) => Framing::Sized(length),
        (false, _) => Framing::Empty,
    };
    let keeps_alive = !facts.closes && (!is_old || facts.keeps_alive);
    let expects_continue = facts.expects_continue && !is_old;
    let Facts { takes_trailers, has_upgrade, .. } = facts;
    Ok(Some(RequestHead {
        method,
        target,
        version,
        headers,
        framing,
        keeps_alive,
        expects_continue,
        takes_trailers,
        has_upgrade,
    }))
}

/// A response's head off the front of `input`; `None`: it goes on.
pub(super) fn parse_response(
    input: &mut BytesMut,
    limits: HeadLimits,
) -> Result<Option<ResponseHead>, HeadFault> {
    if input.is_empty() {
        return Ok(None);
    }
    let mut lines = Lines::new(limits.fields);
    let Some(head) = take_head(input, limits, &mut lines, may_be_response)? else { return Ok(None) };
    let (version, status, reason) = status_line(&head, lines.get(0))?;
    let mut headers = spare::take_map();
    let facts = parse_fields(&head, &lines, &mut headers, Facts::note_response)?;
    let is_old = version == Version::HTTP_10;
    let framing = match (facts.is_chunked, facts.length) {
        (true, Some(_)) => return Err(Violation::BothLengths.into()),
        (true, None) if is_old => return Err(Violation::OldVersion.into()),
        (true, None) => Framing::Chunked,
        (false, Some(0)) => Framing::Empty,
        (false, Some(length)) => Framing::Sized(length),
        (false, None) => Framing::UntilClose,
    };
    let keeps_alive = !facts.closes && (!is_old || facts.keeps_alive);
    Ok(Some(ResponseHead { status, reason, version, headers, framing, keeps_alive }))
}

/// Fields without a line before them, as trailers are: all of `section`, which ends with a blank line.
pub(super) fn parse_trailers(section: &Bytes) -> Result<HeaderMap, HeadFault> {
    let mut lines = Lines::new(HEADERS_MAX);
    lines.find(section)?;
    let mut headers = HeaderMap::new();
    for index in 0..lines.count {
        take_field(section, lines.get(index), &mut headers, |_, _| Ok(()))?;
    }
    Ok(headers)
}

/// How long the trailers are that `bytes` begins with, their blank line included; `None`: they go on.
pub(super) fn find_trailers_end(bytes: &[u8]) -> Result<Option<usize>, HeadFault> {
    if let Some(b"\r\n") = bytes.get(..2) {
        return Ok(Some(2));
    }
    Lines::new(HEADERS_MAX).find(bytes)
}

/// Where a head's lines are.
struct Lines {
    /// Where the first begins, behind a blank one.
    start: usize,
    /// Where each ends: the index of its CR.
    ends: [usize; HEADERS_MAX + 1],
    /// The same, where another number of fields is allowed.
    other_ends: Vec<usize>,
    count: usize,
}

impl Lines {
    fn new(fields: usize) -> Self {
        let is_other = fields != HEADERS_MAX;
        let other_ends = if is_other { vec![0; fields.saturating_add(1)] } else { Vec::new() };
        Lines { start: 0, ends: [0; HEADERS_MAX + 1], other_ends, count: 0 }
    }

    /// The bounds of the line at `index`, which has been found.
    fn get(&self, index: usize) -> (usize, usize) {
        let ends = if self.other_ends.is_empty() { &self.ends[..] } else { &self.other_ends };
        let start = if index == 0 { self.start } else { ends[index - 1] + 2 };
        (start, ends[index])
    }

    /// Finds lines up to the blank one; `None`: there is none yet, else where it ends.
    fn find(&mut self, bytes: &[u8]) -> Result<Option<usize>, HeadFault> {
        let ends = if self.other_ends.is_empty() { &mut self.ends[..] } else { &mut self.other_ends };
        let (mut start, mut count) = (0, 0);
        for lf in memchr_iter(b'\n', bytes) {
            if lf == start || bytes[lf - 1] != b'\r' {
                return Err(Violation::LineEnd.into());
            }
            let end = lf - 1;
            if end > start {
                *ends.get_mut(count).ok_or(HeadFault::TooLarge)? = end;
                count += 1;
            } else if count > 0 {
                self.count = count;
                return Ok(Some(lf + 1));
            } else if start > 0 {
                // One blank line may come before a message.
                return Err(Violation::RequestLine.into());
            } else {
                self.start = lf + 1;
            }
            start = lf + 1;
        }
        Ok(None)
    }
}

/// Splits the next head off, if all of it is there.
fn take_head(
    input: &mut BytesMut,
    limits: HeadLimits,
    lines: &mut Lines,
    may_be: fn(&[u8]) -> bool,
) -> Result<Option<Bytes>, HeadFault> {
    match lines.find(input)? {
        Some(len) if len > limits.bytes => Err(HeadFault::TooLarge),
        Some(len) => Ok(Some(input.split_to(len).freeze())),
        None if input.len() >= limits.bytes => Err(HeadFault::TooLarge),
        None if may_be(input.strip_prefix(b"\r\n").unwrap_or(input)) => Ok(None),
        None => Err(Violation::RequestLine.into()),
    }
}

/// Whether the beginning of a head could become a request: who speaks another protocol is told so at once.
fn may_be_request(bytes: &[u8]) -> bool {
    let method = bytes.iter().take(METHOD_BYTES_MAX + 1).take_while(|byte| byte.is_ascii_graphic()).count();
    match bytes.get(method) {
        None | Some(b'\r') => method <= METHOD_BYTES_MAX,
        Some(b' ') => method > 0,
        Some(_) => false,
    }
}

fn may_be_response(bytes: &[u8]) -> bool {
    const START: &[u8] = b"HTTP/1.";
    let len = bytes.len().min(START.len());
    bytes[..len] == START[..len] || bytes == b"\r"
}

fn request_line(head: &Bytes, (start, end): (usize, usize)) -> Result<(Method, Uri, Version), HeadFault> {
    let text = &head[start..end];
    let method_end = memchr(b' ', text).ok_or(Violation::RequestLine)?;
    let target_end = memrchr(b' ', text).ok_or(Violation::RequestLine)?;
    let target = text.get(method_end + 1..target_end).ok_or(Violation::RequestLine)?;
    // A fragment would be dropped in silence, so that what was asked is not what is decided on.
    let is_bad = |byte: &u8| *byte <= b' ' || *byte == 0x7f || *byte == b'#';
    if method_end == 0 || target.is_empty() || target.iter().any(is_bad) {
        let is_line_end = memchr(b'\r', text).is_some();
        return Err(if is_line_end { Violation::LineEnd } else { Violation::RequestLine }.into());
    }
    let version = match &text[target_end + 1..] {
        b"HTTP/1.1" => Version::HTTP_11,
        b"HTTP/1.0" => Version::HTTP_10,
        _ => return Err(Violation::RequestLine.into()),
    };
    let method = Method::from_bytes(&text[..method_end]).map_err(|_| Violation::Syntax)?;
    if target.len() > TARGET_BYTES_MAX {
        return Err(HeadFault::TargetTooLong);
    }
    let target = head.slice(start + method_end + 1..start + target_end);
    let target = Uri::from_maybe_shared(target).map_err(|_| Violation::Syntax)?;
    Ok((method, target, version))
}

fn status_line(
    head: &Bytes,
    (start, end): (usize, usize),
) -> Result<(Version, StatusCode, Option<ReasonPhrase>), HeadFault> {
    let text = &head[start..end];
    let version = match text.get(..9) {
        Some(b"HTTP/1.1 ") => Version::HTTP_11,
        Some(b"HTTP/1.0 ") => Version::HTTP_10,
        _ => return Err(Violation::Syntax.into()),
    };
    let status = text.get(9..12).and_then(|digits| StatusCode::from_bytes(digits).ok());
    let status = status.ok_or(Violation::Syntax)?;
    let reason = match text.get(12..) {
        Some([]) => &[],
        Some([b' ', reason @ ..]) => reason,
        _ => return Err(Violation::Syntax.into()),
    };
    let is_text = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
    if !reason.iter().all(is_text) {
        return Err(Violation::Syntax.into());
    }
    let is_usual = status.canonical_reason().is_some_and(|usual| usual.as_bytes() == reason);
    let reason = (!is_usual).then(|| ReasonPhrase(head.slice(end - reason.len()..end)));
    Ok((version, status, reason))
}

fn parse_fields(
    head: &Bytes,
    lines: &Lines,
    headers: &mut HeaderMap,
    note: Note,
) -> Result<Facts, HeadFault> {
    let mut facts = Facts::default();
    for index in 1..lines.count {
        take_field(head, lines.get(index), headers, |name, value| note(&mut facts, name, value))?;
    }
    Ok(facts)
}

/// One field line into `headers`, after `note` has looked at it.
fn take_field(
    head: &Bytes,
    (start, end): (usize, usize),
    headers: &mut HeaderMap,
    note: impl FnOnce(&[u8], &[u8]) -> Result<(), Violation>,
) -> Result<(), HeadFault> {
    let text = &head[start..end];
    let (colon, from, to) = split_field(text)?;
    let (name, value) = (&text[..colon], &text[from..to]);
    note(name, value)?;
    let name = HeaderName::from_bytes(name).map_err(|_| Violation::Syntax)?;
    let value = HeaderValue::from_maybe_shared(head.slice(start + from..start + to)).map_err(|_| {
        // The `http` crate allows neither; a CR alone could end a line for somebody.
        if memchr(b'\r', text).is_some() { Violation::LineEnd } else { Violation::Syntax }
    })?;
    headers.try_append(name, value).map_err(|_| HeadFault::TooLarge)?;
    Ok(())
}

impl Facts {
    fn note_request(&mut self, name: &[u8], value: &[u8]) -> Result<(), Violation> {
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                let repeated = std::mem::replace(&mut self.has_host, true);
                if repeated || !is_host(value) {
                    return Err(Violation::Host);
                }
            }
            2 if name.eq_ignore_ascii_case(b"te") => self.takes_trailers |= has_member(value, b"trailers"),
            6 if name.eq_ignore_ascii_case(b"expect") => {
                self.expects_continue = value.eq_ignore_ascii_case(b"100-continue");
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.has_upgrade = true,
            10 if name.eq_ignore_ascii_case(b"connection") => self.note_connection(value),
            14 if is_framing_name(name, b"content-length")? => self.note_length(value)?,
            17 if is_framing_name(name, b"transfer-encoding")? => self.note_coding(value)?,
            _ => {}
        }
        Ok(())
    }

    fn note_response(&mut self, name: &[u8], value: &[u8]) -> Result<(), Violation> {
        match name.len() {
            10 if name.eq_ignore_ascii_case(b"connection") => self.note_connection(value),
            14 if name.eq_ignore_ascii_case(b"content-length") => self.note_length(value)?,
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.note_coding(value)?,
            _ => {}
        }
        Ok(())
    }

    fn note_connection(&mut self, value: &[u8]) {
        self.closes |= has_member(value, b"close");
        self.keeps_alive |= has_member(value, b"keep-alive");
    }

    fn note_length(&mut self, value: &[u8]) -> Result<(), Violation> {
        let length = parse_length(value).ok_or(Violation::ContentLength)?;
        if self.length.replace(length).is_some() { Err(Violation::ContentLength) } else { Ok(()) }
    }

    fn note_coding(&mut self, value: &[u8]) -> Result<(), Violation> {
        let twice = std::mem::replace(&mut self.is_chunked, true);
        if twice || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Violation::TransferEncoding);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
