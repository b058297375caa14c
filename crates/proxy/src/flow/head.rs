//! The canonical request: what is decided on is what is sent (design, D10).
//!
//! Order: validate, take out hop-by-hop and protected headers, normalise host and path; later the flow
//! decides, adds ours, and `upstream` serialises. Nothing raw passes. Read `http` next.

mod edit;
#[cfg(test)]
mod tests;

pub(crate) use edit::{edit_request, edit_response, redirect};

use crate::failure::Spoken;
use codec::Body;
use decide::{Headers, RequestView};
use http::header::{self, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Uri, Version};
use model::Reason;
use std::borrow::Cow;

/// Longest `x-request-id` kept from outside, in bytes; longer or stranger ones are replaced.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// `x-request-id`, as Envoy and Istio name it.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// Protected request header of the mesh transport: where the request wants to go.
pub(crate) const HEADER_DESTINATION: HeaderName = HeaderName::from_static("x-leno-destination");

/// A request's head after validation.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// What the caller speaks.
    pub(crate) version: Version,
    /// As received; methods are compared exactly.
    pub(crate) method: Method,
    /// Canonical authority: lower-case host, port as given.
    pub(crate) authority: Authority,
    /// Canonical path and query.
    pub(crate) target: PathAndQuery,
    /// What passes on; `host` is always `authority`.
    pub(crate) headers: HeaderMap,
}

/// `host[:port]` in canonical form.
#[derive(Clone, Debug)]
pub(crate) struct Authority {
    value: HeaderValue,
}

impl Authority {
    /// Checks and canonicalises. `None`: empty, user info, a bad port, or bytes that no host has.
    pub(crate) fn parse(value: &HeaderValue) -> Option<Self> {
        let bytes = value.as_bytes();
        let (host, port) = split_port(bytes)?;
        let host = host.strip_suffix(b".").unwrap_or(host);
        if host.is_empty() || !is_host(host) {
            return None;
        }
        let is_canonical = !host.iter().any(u8::is_ascii_uppercase) && host.len() + port.len() == bytes.len();
        let value = if is_canonical {
            value.clone()
        } else {
            let mut text = host.to_ascii_lowercase();
            text.extend_from_slice(port);
            HeaderValue::from_bytes(&text).ok()?
        };
        Some(Self { value })
    }

    /// Host and port.
    pub(crate) fn as_str(&self) -> &str {
        // Only ASCII passed `parse`.
        self.value.to_str().unwrap_or_default()
    }

    /// For the `Host` header.
    pub(crate) fn value(&self) -> &HeaderValue {
        &self.value
    }
}

/// Splits `host:port`; the port keeps its colon. `None`: the port is no number from 1 to 65535.
fn split_port(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let host_end = match bytes.first()? {
        b'[' => bytes.iter().position(|&b| b == b']')? + 1,
        _ => bytes.iter().position(|&b| b == b':').unwrap_or(bytes.len()),
    };
    let (host, port) = bytes.split_at(host_end);
    if !port.is_empty() {
        let digits = port.strip_prefix(b":")?;
        let text = std::str::from_utf8(digits).ok()?;
        let is_port = digits.iter().all(u8::is_ascii_digit) && text.parse::<u16>().is_ok_and(|p| p > 0);
        if !is_port {
            return None;
        }
    }
    Some((host, port))
}

fn is_host(host: &[u8]) -> bool {
    match host.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")) {
        // No scope (`%`): it means nothing on another host.
        Some(v6) => std::str::from_utf8(v6).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok()),
        None => host.iter().all(|&b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')),
    }
}

/// What is done to headers where callers from outside come in.
pub(crate) struct Edge<'a> {
    /// The caller's address as text, for `x-forwarded-for`. What came in is not believed.
    pub(crate) forwarded_for: &'a HeaderValue,
}

/// Makes the canonical request. Does not touch the body.
pub(crate) fn receive(request: Request<Body>, edge: Option<Edge<'_>>) -> Result<(Head, Body), Reason> {
    let (parts, body) = request.into_parts();
    let mut headers = parts.headers;
    let authority = find_authority(&parts.uri, &headers, parts.version)?;
    if headers.get(header::HOST) != Some(authority.value()) {
        headers.insert(header::HOST, authority.value().clone());
    }
    strip(&mut headers);
    let target = find_target(&parts.method, &parts.uri)?;
    if let Some(edge) = edge {
        headers.remove("forwarded");
        headers.insert(X_FORWARDED_FOR, edge.forwarded_for.clone());
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
    Ok((Head { version: parts.version, method: parts.method, authority, target, headers }, body))
}

/// One value for routing, policy, log and upstream. For HTTP/1 the request target wins over `Host`
/// (RFC 9112 section 3.2.2); in HTTP/2 both must agree.
fn find_authority(uri: &Uri, headers: &HeaderMap, version: Version) -> Result<Authority, Reason> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Reason::BadRequest);
    }
    let from_host = host.map(|value| Authority::parse(value).ok_or(Reason::BadRequest)).transpose()?;
    let Some(in_target) = uri.authority() else {
        return from_host.ok_or(Reason::BadRequest);
    };
    let value = HeaderValue::from_str(in_target.as_str()).map_err(|_| Reason::BadRequest)?;
    let from_target = Authority::parse(&value).ok_or(Reason::BadRequest)?;
    match from_host {
        Some(host) if version >= Version::HTTP_2 && host.as_str() != from_target.as_str() => {
            Err(Reason::BadRequest)
        }
        _ => Ok(from_target),
    }
}

fn find_target(method: &Method, uri: &Uri) -> Result<PathAndQuery, Reason> {
    let Some(given) = uri.path_and_query() else { return Err(Reason::BadPath) };
    if given.path() == "*" {
        return if method == Method::OPTIONS { Ok(given.clone()) } else { Err(Reason::BadPath) };
    }
    match decide::path::canonical(given.path())? {
        Cow::Borrowed(same) if same.len() == given.path().len() => Ok(given.clone()),
        path => with_path(&path, given.query()).ok_or(Reason::BadPath),
    }
}

/// `path?query`; `None` when it cannot be put on a wire.
pub(crate) fn with_path(path: &str, query: Option<&str>) -> Option<PathAndQuery> {
    match query {
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")).ok(),
        None => PathAndQuery::try_from(path).ok(),
    }
}

/// What a header name is to a proxy.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Passes.
    EndToEnd,
    /// Between neighbours only (RFC 9110 section 7.6.1).
    HopByHop,
    /// Set and read by proxies only.
    Protected,
}

fn kind(name: &HeaderName) -> Kind {
    let text = name.as_str().as_bytes();
    match text {
        b"connection" | b"keep-alive" | b"proxy-connection" | b"te" | b"transfer-encoding" | b"upgrade"
        | b"expect" | b"http2-settings" => Kind::HopByHop,
        b"x-forwarded-client-cert" => Kind::Protected,
        _ if is_protected(text) => Kind::Protected,
        _ => Kind::EndToEnd,
    }
}

/// `x-leno-…`, also in the spellings that CGI-like applications confuse with it.
fn is_protected(name: &[u8]) -> bool {
    matches!(name, [b'x', b'-' | b'_' | b'.', b'l', b'e', b'n', b'o', b'-' | b'_' | b'.', ..])
        || matches!(name, b"x_forwarded_client_cert")
}

/// Takes out hop-by-hop headers, those that `connection` names, and protected ones. `te: trailers` stays,
/// because gRPC servers ask for it.
pub(crate) fn strip(headers: &mut HeaderMap) {
    if headers.keys().all(|name| kind(name) == Kind::EndToEnd) {
        return;
    }
    let nominated: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&b| b == b','))
        .filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok())
        .filter(|name| !matches!(*name, header::HOST | header::CONTENT_LENGTH | header::TE))
        .collect();
    let has_trailers = headers.get(header::TE).is_some_and(|te| te.as_bytes() == b"trailers");
    let doomed: Vec<HeaderName> =
        headers.keys().filter(|name| kind(name) != Kind::EndToEnd).cloned().collect();
    for name in nominated.iter().chain(&doomed) {
        headers.remove(name);
    }
    if has_trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// Sees to it that there is an `x-request-id`, made from `random` where none usable came in.
pub(crate) fn ensure_request_id(headers: &mut HeaderMap, random: impl FnOnce() -> u128) {
    let is_usable = |value: &HeaderValue| {
        let bytes = value.as_bytes();
        !bytes.is_empty() && bytes.len() <= REQUEST_ID_BYTES_MAX && bytes.iter().all(u8::is_ascii_graphic)
    };
    if headers.get(X_REQUEST_ID).is_some_and(is_usable) {
        return;
    }
    if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::copy_from_slice(&uuid(random()))) {
        headers.insert(X_REQUEST_ID, value);
    }
}

/// A version 4 UUID as text (RFC 9562 section 5.4).
fn uuid(random: u128) -> [u8; 36] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let bits = (random & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let mut text = [b'-'; 36];
    let places = (0..36).filter(|place| !matches!(place, 8 | 13 | 18 | 23));
    for (place, nibble) in places.zip((0..32).rev()) {
        text[place] = DIGITS[(bits >> (nibble * 4)) as usize & 0xf];
    }
    text
}

/// A header map as `decide` sees it.
pub(crate) struct Fields<'a>(pub(crate) &'a HeaderMap);

impl Headers for Fields<'_> {
    fn visit(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        for value in self.0.get_all(name) {
            each(value.as_bytes());
        }
    }
}

impl Head {
    /// As `decide` sees it. `fields` is `Fields(&head.headers)`.
    pub(crate) fn view<'a>(&'a self, fields: &'a Fields<'a>) -> RequestView<'a> {
        RequestView {
            method: self.method.as_str(),
            host: self.authority.as_str(),
            path: self.target.path(),
            query: self.target.query(),
            headers: fields,
        }
    }
}

/// gRPC or not, by `content-type`.
pub(crate) fn spoken(headers: &HeaderMap) -> Spoken {
    match headers.get(header::CONTENT_TYPE) {
        Some(value) if value.as_bytes().starts_with(b"application/grpc") => Spoken::Grpc,
        _ => Spoken::Http,
    }
}
