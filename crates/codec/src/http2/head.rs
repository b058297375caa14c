//! Fields of a block become a request, a response or trailers, or are refused (RFC 9113 sections 8.1 to 8.3).
//!
//! It is stricter than HTTP/2 where HTTP/1 behind us would read a field otherwise. Read next: `connection`.

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};

use super::hpack::{FieldName, FieldValue, HeaderField};
use crate::Upgrade;
use crate::http1::is_host_and_port;

/// What a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockKind {
    Request,
    Response,
    Trailers,
}

/// The stream ends with an error: its fields have no reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MalformedHead;

/// Why a request goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestFault {
    /// See [`MalformedHead`].
    Malformed,
    /// It has a reading, and is answered with this.
    Answer(StatusCode),
}

impl From<MalformedHead> for RequestFault {
    fn from(_: MalformedHead) -> Self {
        RequestFault::Malformed
    }
}

/// The fields of one block, as they come.
#[derive(Debug)]
pub(super) struct FieldList {
    kind: BlockKind,
    method: Option<Bytes>,
    scheme: Option<Bytes>,
    authority: Option<Bytes>,
    path: Option<Bytes>,
    status: Option<Bytes>,
    protocol: Option<Bytes>,
    /// Whether that was offered.
    pub(super) takes_protocol: bool,
    headers: HeaderMap,
    count: usize,
    count_max: usize,
    is_malformed: bool,
    /// A value has blanks around it: HTTP/1 would read it as another one.
    is_padded: bool,
}

impl FieldList {
    /// Keeps at most `count_max` fields.
    pub(super) fn new(kind: BlockKind, count_max: usize) -> Self {
        FieldList {
            kind,
            method: None,
            scheme: None,
            authority: None,
            path: None,
            status: None,
            protocol: None,
            takes_protocol: false,
            headers: HeaderMap::new(),
            count: 0,
            count_max,
            is_malformed: false,
            is_padded: false,
        }
    }

    pub(super) fn add(&mut self, field: HeaderField) {
        match (field.name, field.value) {
            (FieldName::Header(name), FieldValue::Header(value)) => self.add_header(name, value),
            (FieldName::Method, FieldValue::Raw(value)) => {
                self.add_pseudo(BlockKind::Request, value, Slot::Method)
            }
            (FieldName::Scheme, FieldValue::Raw(value)) => {
                self.add_pseudo(BlockKind::Request, value, Slot::Scheme)
            }
            (FieldName::Authority, FieldValue::Raw(value)) => {
                self.add_pseudo(BlockKind::Request, value, Slot::Authority);
            }
            (FieldName::Path, FieldValue::Raw(value)) => {
                self.add_pseudo(BlockKind::Request, value, Slot::Path)
            }
            (FieldName::Status, FieldValue::Raw(value)) => {
                self.add_pseudo(BlockKind::Response, value, Slot::Status)
            }
            (FieldName::Protocol, FieldValue::Raw(value)) if self.takes_protocol => {
                self.add_pseudo(BlockKind::Request, value, Slot::Protocol);
            }
            _ => self.is_malformed = true,
        }
    }

    fn add_header(&mut self, name: HeaderName, value: HeaderValue) {
        self.is_malformed |= is_of_connection(&name, &value) || has_quote(&name);
        // Some backends take it for the other name.
        self.is_malformed |= crate::http1::is_alias_of_framing(name.as_str().as_bytes());
        self.is_padded |= is_padded(&value);
        self.count += 1;
        if self.count <= self.count_max && self.headers.try_append(name, value).is_err() {
            self.count = self.count_max.saturating_add(1);
        }
    }

    /// Pseudo-fields come before all others, once, and where they belong.
    fn add_pseudo(&mut self, of: BlockKind, value: Bytes, slot: Slot) {
        let place = match slot {
            Slot::Method => &mut self.method,
            Slot::Scheme => &mut self.scheme,
            Slot::Authority => &mut self.authority,
            Slot::Path => &mut self.path,
            Slot::Status => &mut self.status,
            Slot::Protocol => &mut self.protocol,
        };
        self.is_malformed |= self.kind != of || self.count > 0 || place.is_some();
        *place = Some(value);
    }

    /// Whether it has what only a request has.
    pub(super) fn is_request(&self) -> bool {
        self.method.is_some()
    }

    /// A request in its canonical form: one authority, in `host`; the target in origin form except for CONNECT; one
    /// `cookie` field.
    pub(super) fn into_request(mut self) -> Result<Request<()>, RequestFault> {
        let bad = RequestFault::Answer(StatusCode::BAD_REQUEST);
        if self.is_malformed {
            return Err(RequestFault::Malformed);
        }
        let method = self.method.take().ok_or(MalformedHead)?;
        let method = Method::from_bytes(&method).map_err(|_| MalformedHead)?;
        let upgrade = self.upgrade(&method)?;
        let path = self.target_path(&method, upgrade.is_some())?;
        let authority = self.authority.take().map(Authority::from_maybe_shared);
        let authority = authority.transpose().map_err(|_| MalformedHead)?;
        // Crumbs of cookies count: a table of the peer makes thousands of fields out of as many bytes.
        if self.count > self.count_max {
            return Err(RequestFault::Answer(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
        }
        if self.is_padded || !crate::body::has_one_length(&self.headers) {
            return Err(bad);
        }
        let host = self.host(authority.as_ref()).ok_or(bad)?;
        let mut request = Request::new(());
        *request.uri_mut() = match (path, authority) {
            (Some(path), _) => Uri::from(path),
            (None, Some(authority)) if is_host_and_port(authority.as_str().as_bytes()) => {
                Uri::from(authority)
            }
            (None, _) => return Err(bad),
        };
        *request.method_mut() = method;
        *request.version_mut() = Version::HTTP_2;
        if let Some(upgrade) = upgrade {
            *request.method_mut() = Method::GET;
            request.extensions_mut().insert(upgrade);
        }
        self.headers.insert(HOST, host);
        join_cookies(&mut self.headers);
        *request.headers_mut() = self.headers;
        Ok(request)
    }

    /// What extended CONNECT asks for.
    fn upgrade(&mut self, method: &Method) -> Result<Option<Upgrade>, RequestFault> {
        match self.protocol.take() {
            None => Ok(None),
            Some(protocol) if *method == Method::CONNECT => {
                Ok(Some(Upgrade::of_pseudo_field(protocol).ok_or(MalformedHead)?))
            }
            Some(_) => Err(RequestFault::Malformed),
        }
    }

    /// The path, which all but plain CONNECT have, with a scheme.
    fn target_path(
        &mut self,
        method: &Method,
        is_extended: bool,
    ) -> Result<Option<PathAndQuery>, RequestFault> {
        let is_plain_connect = *method == Method::CONNECT && !is_extended;
        let (path, scheme) = match (self.path.take(), self.scheme.take(), is_plain_connect) {
            (None, None, true) => return Ok(None),
            (Some(path), Some(scheme), false) => (path, scheme),
            _ => return Err(RequestFault::Malformed),
        };
        let bad = RequestFault::Answer(StatusCode::BAD_REQUEST);
        if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
            return Err(bad);
        }
        // The `http` crate cuts a fragment off without a word.
        if path.is_empty() || memchr::memchr(b'#', &path).is_some() {
            return Err(RequestFault::Malformed);
        }
        let is_any = &path[..] == b"*" && *method == Method::OPTIONS;
        if !path.starts_with(b"/") && !is_any {
            return Err(bad);
        }
        Ok(Some(PathAndQuery::from_maybe_shared(path).map_err(|_| MalformedHead)?))
    }

    /// The one authority: as the target says it, or as `host` does, or both alike.
    fn host(&self, authority: Option<&Authority>) -> Option<HeaderValue> {
        let mut hosts = self.headers.get_all(HOST).iter();
        let (host, more) = (hosts.next(), hosts.next());
        let host = match (authority, host, more) {
            (_, _, Some(_)) | (None, None, None) => return None,
            (Some(authority), Some(host), None)
                if !authority.as_str().as_bytes().eq_ignore_ascii_case(host.as_bytes()) =>
            {
                return None;
            }
            (Some(authority), _, None) => HeaderValue::from_str(authority.as_str()).ok()?,
            (None, Some(host), None) => host.clone(),
        };
        crate::http1::is_host(host.as_bytes()).then_some(host)
    }

    /// The head of a response, final or interim.
    pub(super) fn into_response(self) -> Result<Response<()>, MalformedHead> {
        let status = self.status.ok_or(MalformedHead)?;
        let status = StatusCode::from_bytes(&status).map_err(|_| MalformedHead)?;
        // Nothing is switched in HTTP/2 (RFC 9113 section 8.6).
        let is_whole = self.count <= self.count_max && status != StatusCode::SWITCHING_PROTOCOLS;
        if self.is_malformed || !is_whole || !crate::body::has_one_length(&self.headers) {
            return Err(MalformedHead);
        }
        let mut response = Response::new(());
        *response.status_mut() = status;
        *response.version_mut() = Version::HTTP_2;
        *response.headers_mut() = self.headers;
        Ok(response)
    }

    pub(super) fn into_trailers(self) -> Result<HeaderMap, MalformedHead> {
        let is_whole = self.count <= self.count_max;
        if self.is_malformed || !is_whole { Err(MalformedHead) } else { Ok(self.headers) }
    }
}

/// Where a pseudo-field goes.
#[derive(Clone, Copy)]
enum Slot {
    Method,
    Scheme,
    Authority,
    Path,
    Status,
    Protocol,
}

/// Whether the field is one of a connection, which HTTP/2 does not have.
fn is_of_connection(name: &HeaderName, value: &HeaderValue) -> bool {
    match *name {
        TE => value != "trailers",
        CONNECTION | TRANSFER_ENCODING | UPGRADE => true,
        _ => matches!(name.as_str(), "keep-alive" | "proxy-connection"),
    }
}

/// The `http` crate takes a double quote for a part of a name, which ends up in HTTP/1 (RFC 9110 section 5.6.2).
fn has_quote(name: &HeaderName) -> bool {
    name.as_str().as_bytes().contains(&b'"')
}

fn is_padded(value: &HeaderValue) -> bool {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_blank(value.as_bytes().first()) || is_blank(value.as_bytes().last())
}

/// HTTP/2 lets a client split its cookies into crumbs; nothing behind us expects that.
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(mut cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        // What must not be in a table (RFC 7541 section 7.1.3) stays so when it is a part of something.
        cookie.set_sensitive(headers.get_all(COOKIE).iter().any(HeaderValue::is_sensitive));
        headers.insert(COOKIE, cookie);
    }
}

/// Whether what comes behind the head of a request, in both directions, is no body but bytes.
pub(super) fn is_tunnel(request: &Request<()>) -> bool {
    *request.method() == Method::CONNECT || request.extensions().get::<Upgrade>().is_some()
}

/// The declared length of a body; `Err`: it is none.
pub(super) fn declared_length(headers: &HeaderMap) -> Result<Option<u64>, MalformedHead> {
    match headers.get(CONTENT_LENGTH) {
        None => Ok(None),
        Some(length) => {
            length.to_str().ok().and_then(|length| length.parse().ok()).map(Some).ok_or(MalformedHead)
        }
    }
}

#[cfg(test)]
mod tests;
