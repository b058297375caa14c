//! Heads and bodies to bytes: pure. What a body needs for its end is decided here and nowhere else: a length, chunks,
//! or the end of the connection.

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode, Uri, Version, request, response};
use http_body::Body as _;

use super::date;
use super::output::Output;
use super::parse::ReasonPhrase;
use super::rules::{has_member, parse_length};
use crate::{Body, Upgrade};

const LINE_END: &[u8] = b"\r\n";
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// What a response depends on, beside itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// Of the request.
    pub(super) version: Version,
    pub(super) is_head: bool,
    pub(super) is_connect: bool,
    /// Whether the client wants to go on with the connection.
    pub(super) keeps_alive: bool,
    pub(super) takes_trailers: bool,
}

/// Whether another message may come behind the one at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Persistence {
    Kept,
    Last,
}

/// Writes one body.
#[derive(Debug)]
pub(super) struct BodyEncoder {
    kind: Kind,
    /// Trailers that were announced.
    trailers: Option<Vec<HeaderName>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Nothing,
    Sized(u64),
    Chunked,
    UntilClose,
}

/// A body has ended before all was there that its head promised.
#[derive(Debug, thiserror::Error)]
#[error("body ended {0} bytes before its length")]
pub(super) struct CutShort(u64);

impl BodyEncoder {
    /// Whether nothing of a body is to be written, or no more.
    pub(super) fn is_ended(&self) -> bool {
        matches!(self.kind, Kind::Nothing | Kind::Sized(0))
    }

    /// Writes a piece; with `is_last` the end as well. `output` is not full.
    ///
    /// # Errors
    /// It is the last, and too short.
    pub(super) fn put(
        &mut self,
        mut piece: Bytes,
        is_last: bool,
        output: &mut Output,
    ) -> Result<(), CutShort> {
        match &mut self.kind {
            Kind::Nothing => {}
            Kind::UntilClose => output.put_piece(piece, b""),
            Kind::Sized(left) => {
                // More than was promised is nobody's: it would be taken for the next message.
                piece.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= piece.len() as u64;
                output.put_piece(piece, b"");
            }
            // Of no length it would be the last one.
            Kind::Chunked if piece.is_empty() => {}
            Kind::Chunked => {
                put_chunk_size(piece.len(), output.buffer());
                if is_last {
                    self.kind = Kind::Nothing;
                    output.put_piece(piece, b"\r\n0\r\n\r\n");
                } else {
                    output.put_piece(piece, LINE_END);
                }
            }
        }
        if is_last { self.end(output) } else { Ok(()) }
    }

    /// Writes what ends the body, if that was not done yet. `output` is not full, or the end was written.
    ///
    /// # Errors
    /// It is too short.
    pub(super) fn end(&mut self, output: &mut Output) -> Result<(), CutShort> {
        match std::mem::replace(&mut self.kind, Kind::Nothing) {
            Kind::Nothing | Kind::UntilClose | Kind::Sized(0) => Ok(()),
            Kind::Sized(left) => Err(CutShort(left)),
            Kind::Chunked => {
                output.buffer().extend_from_slice(LAST_CHUNK);
                Ok(())
            }
        }
    }

    /// Writes those of the trailers that were announced, and ends the body. `output` is not full.
    ///
    /// # Errors
    /// It is too short.
    pub(super) fn put_trailers(&mut self, trailers: &HeaderMap, output: &mut Output) -> Result<(), CutShort> {
        let Some(announced) = self.trailers.take().filter(|_| self.kind == Kind::Chunked) else {
            return self.end(output);
        };
        self.kind = Kind::Nothing;
        let buffer = output.buffer();
        buffer.extend_from_slice(b"0\r\n");
        for (name, value) in trailers.iter().filter(|(name, _)| announced.contains(name) && is_trailer(name))
        {
            put_field(name, value, buffer);
        }
        buffer.extend_from_slice(LINE_END);
        Ok(())
    }
}

/// Fields that must not come behind a body, whoever announced them (RFC 9110 section 6.5.1).
fn is_trailer(name: &HeaderName) -> bool {
    const FOR_HEAD: [HeaderName; 4] =
        [header::CACHE_CONTROL, header::MAX_FORWARDS, header::TRANSFER_ENCODING, header::TE];
    !FOR_HEAD.contains(name) && !crate::headers::is_for_head(name)
}

fn put_chunk_size(size: usize, buffer: &mut BytesMut) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut text = [0; 16];
    let (mut at, mut rest) = (text.len(), size);
    while rest > 0 {
        at -= 1;
        text[at] = DIGITS[rest & 15];
        rest >>= 4;
    }
    buffer.extend_from_slice(&text[at..]);
    buffer.extend_from_slice(LINE_END);
}

fn put_decimal(number: u64, buffer: &mut BytesMut) {
    let mut text = [b'0'; 20];
    let (mut at, mut rest) = (text.len(), number);
    loop {
        at -= 1;
        text[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    buffer.extend_from_slice(&text[at..]);
}

fn put_field(name: &HeaderName, value: &HeaderValue, buffer: &mut BytesMut) {
    let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
    buffer.reserve(name.len() + value.len() + 4);
    buffer.extend_from_slice(name);
    buffer.extend_from_slice(b": ");
    buffer.extend_from_slice(value);
    buffer.extend_from_slice(LINE_END);
}

fn put_length(length: u64, buffer: &mut BytesMut) {
    buffer.extend_from_slice(b"content-length: ");
    put_decimal(length, buffer);
    buffer.extend_from_slice(LINE_END);
}

/// The names in `trailer`.
fn announced(headers: &HeaderMap) -> Option<Vec<HeaderName>> {
    let values = headers.get_all(header::TRAILER).iter();
    let names = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let names: Vec<_> = names.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()).collect();
    (!names.is_empty()).then_some(names)
}

/// Writes the head of a request in HTTP/1.1, in origin form (CONNECT: in authority form), with a `host`. Returns what
/// writes its body, and whether another request may follow.
pub(super) fn put_request(
    parts: &request::Parts,
    body: &Body,
    output: &mut Output,
) -> (BodyEncoder, Persistence) {
    let headers = &parts.headers;
    let buffer = output.buffer();
    put_request_line(&parts.method, &parts.uri, buffer);
    if let Some(authority) = parts.uri.authority()
        && !headers.contains_key(header::HOST)
    {
        buffer.extend_from_slice(b"host: ");
        buffer.extend_from_slice(authority.as_str().as_bytes());
        buffer.extend_from_slice(LINE_END);
    }
    let kind = if body.is_end_stream() { Kind::Nothing } else { request_body_kind(parts, body) };
    let mut persistence = Persistence::Kept;
    let (mut has_length, mut has_trailers) = (false, false);
    for (name, value) in headers {
        match *name {
            header::TRANSFER_ENCODING => continue,
            header::CONTENT_LENGTH => {
                let promised = if let Kind::Sized(length) = kind { length } else { 0 };
                let is_told = kind != Kind::Chunked && parse_length(value.as_bytes()) == Some(promised);
                if is_told && !std::mem::replace(&mut has_length, true) {
                    // Not as it came: leading zeros are read as octal by some.
                    put_length(promised, buffer);
                }
                continue;
            }
            header::CONNECTION if has_member(value.as_bytes(), b"close") => persistence = Persistence::Last,
            header::TRAILER => has_trailers = kind == Kind::Chunked,
            _ => {}
        }
        put_field(name, value, buffer);
    }
    if let Some(upgrade) = parts.extensions.get::<Upgrade>() {
        buffer.extend_from_slice(b"connection: upgrade\r\n");
        put_field(&header::UPGRADE, upgrade.protocols(), buffer);
    }
    match kind {
        Kind::Sized(length) if !has_length => put_length(length, buffer),
        Kind::Chunked => buffer.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        _ => {}
    }
    buffer.extend_from_slice(LINE_END);
    let trailers = if has_trailers { announced(headers) } else { None };
    (BodyEncoder { kind, trailers }, persistence)
}

fn put_request_line(method: &Method, uri: &Uri, buffer: &mut BytesMut) {
    buffer.extend_from_slice(method.as_str().as_bytes());
    buffer.extend_from_slice(b" ");
    match uri.authority() {
        Some(authority) if *method == Method::CONNECT => {
            buffer.extend_from_slice(authority.as_str().as_bytes());
        }
        _ => {
            let target = uri.path_and_query().map_or("/", |target| target.as_str());
            // Of `http://host?query` only the query is stored.
            if !target.starts_with('/') && target != "*" {
                buffer.extend_from_slice(b"/");
            }
            buffer.extend_from_slice(target.as_bytes());
        }
    }
    buffer.extend_from_slice(b" HTTP/1.1\r\n");
}

/// How the end of a body that is there will be told.
fn request_body_kind(parts: &request::Parts, body: &Body) -> Kind {
    if parts.headers.contains_key(header::TRANSFER_ENCODING) {
        return Kind::Chunked;
    }
    let told = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| parse_length(value.as_bytes()));
    match told.or_else(|| body.size_hint().exact()) {
        Some(length) => Kind::Sized(length),
        None if parts.method == Method::CONNECT => Kind::Nothing,
        None => Kind::Chunked,
    }
}

/// Writes the head of a response. Returns what writes its body, and whether another response may follow; never, where
/// `persistence` says so already.
pub(super) fn put_response(
    parts: &response::Parts,
    body: &Body,
    asked: Asked,
    mut persistence: Persistence,
    output: &mut Output,
) -> (BodyEncoder, Persistence) {
    let headers = &parts.headers;
    let framed = response_body_kind(parts, body, asked);
    let buffer = output.buffer();
    put_status_line(parts, asked.version, buffer);
    let (mut has_length, mut has_date, mut has_trailers, mut has_connection) = (false, false, false, false);
    for (name, value) in headers {
        match *name {
            header::TRANSFER_ENCODING => continue,
            header::CONTENT_LENGTH => {
                if let Some(length) = framed.length.filter(|_| !std::mem::replace(&mut has_length, true)) {
                    put_length(length, buffer);
                }
                continue;
            }
            header::CONNECTION => {
                has_connection = true;
                continue;
            }
            header::DATE => has_date = true,
            header::TRAILER if framed.kind != Kind::Chunked => continue,
            header::TRAILER => has_trailers = asked.takes_trailers,
            _ => {}
        }
        put_field(name, value, buffer);
    }
    if framed.kind == Kind::UntilClose {
        persistence = Persistence::Last;
    }
    let connection = if has_connection { Some(headers) } else { None };
    persistence = put_connection(connection, asked, persistence, buffer);
    match framed.length {
        Some(length) if !has_length => put_length(length, buffer),
        None if framed.kind == Kind::Chunked => buffer.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        _ => {}
    }
    if !has_date {
        buffer.extend_from_slice(b"date: ");
        date::with_now(|date| buffer.extend_from_slice(date));
        buffer.extend_from_slice(LINE_END);
    }
    buffer.extend_from_slice(LINE_END);
    let trailers = if has_trailers { announced(headers) } else { None };
    (BodyEncoder { kind: framed.kind, trailers }, persistence)
}

/// Writes an interim response, which has no body and says nothing of one. `output` is not full.
pub(super) fn put_interim(head: &Response<()>, output: &mut Output) {
    let buffer = output.buffer();
    let status = head.status();
    buffer.extend_from_slice(b"HTTP/1.1 ");
    buffer.extend_from_slice(status.as_str().as_bytes());
    buffer.extend_from_slice(b" ");
    buffer.extend_from_slice(status.canonical_reason().unwrap_or("<none>").as_bytes());
    buffer.extend_from_slice(LINE_END);
    for (name, value) in head.headers() {
        put_field(name, value, buffer);
    }
    buffer.extend_from_slice(LINE_END);
}

fn put_status_line(parts: &response::Parts, version: Version, buffer: &mut BytesMut) {
    let status = parts.status;
    if version == Version::HTTP_11 && status == StatusCode::OK && parts.extensions.is_empty() {
        buffer.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    buffer.extend_from_slice(if version == Version::HTTP_10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    buffer.extend_from_slice(status.as_str().as_bytes());
    buffer.extend_from_slice(b" ");
    match parts.extensions.get::<ReasonPhrase>() {
        Some(reason) => buffer.extend_from_slice(&reason.0),
        None => buffer.extend_from_slice(status.canonical_reason().unwrap_or("<none>").as_bytes()),
    }
    buffer.extend_from_slice(LINE_END);
}

/// How a response's body is written, and which length is told.
struct Framed {
    kind: Kind,
    length: Option<u64>,
}

fn response_body_kind(parts: &response::Parts, body: &Body, asked: Asked) -> Framed {
    let status = parts.status;
    let has_no_length = status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || (asked.is_connect && status.is_success());
    if has_no_length {
        return Framed { kind: Kind::Nothing, length: None };
    }
    let told = || parts.headers.get(header::CONTENT_LENGTH).and_then(|value| parse_length(value.as_bytes()));
    let known = if body.is_end_stream() { Some(0) } else { body.size_hint().exact() };
    if asked.is_head {
        // As it would be for GET; of a body that is not there nothing is known.
        let length = told().or(known.filter(|length| *length > 0));
        return Framed { kind: Kind::Nothing, length };
    }
    match known.or_else(told) {
        Some(length) => Framed { kind: Kind::Sized(length), length: Some(length) },
        None if asked.version == Version::HTTP_10 => Framed { kind: Kind::UntilClose, length: None },
        None => Framed { kind: Kind::Chunked, length: None },
    }
}

/// Writes `connection`: what the service says in it, and what the client must know.
fn put_connection(
    from_service: Option<&HeaderMap>,
    asked: Asked,
    persistence: Persistence,
    buffer: &mut BytesMut,
) -> Persistence {
    let says = |wanted: &[u8]| {
        let values = from_service.into_iter().flat_map(|headers| headers.get_all(header::CONNECTION));
        values.into_iter().any(|value| has_member(value.as_bytes(), wanted))
    };
    let persistence = if says(b"close") { Persistence::Last } else { persistence };
    if persistence == Persistence::Last {
        buffer.extend_from_slice(b"connection: close\r\n");
        return persistence;
    }
    let is_old = asked.version == Version::HTTP_10;
    let added: &[u8] = match (asked.keeps_alive, is_old) {
        (false, false) => b"close",
        (true, true) if !says(b"keep-alive") => b"keep-alive",
        _ => b"",
    };
    if from_service.is_some() || !added.is_empty() {
        buffer.extend_from_slice(b"connection: ");
        let own = from_service.into_iter().flat_map(|headers| headers.get_all(header::CONNECTION));
        let values = own.map(HeaderValue::as_bytes).chain((!added.is_empty()).then_some(added));
        for (index, value) in values.enumerate() {
            if index > 0 {
                buffer.extend_from_slice(b", ");
            }
            buffer.extend_from_slice(value);
        }
        buffer.extend_from_slice(LINE_END);
    }
    if asked.keeps_alive { Persistence::Kept } else { Persistence::Last }
}

#[cfg(test)]
mod tests;
