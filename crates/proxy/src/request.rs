//! The request that is decided on and sent: nothing raw passes, and a path that applications read in different
//! ways is decided on in every one (decision 0004).
//!
//! Order: validate, take out hop-by-hop and protected headers, normalise host and path; later the flow
//! decides, adds ours, and `upstream` serialises. Read `flow::http` next.

mod client_cert;
mod edit;
mod hygiene;
mod id;
mod sent;
mod terms;
mod upgrade;
#[cfg(test)]
mod tests;

pub(crate) use client_cert::{X_FORWARDED_CLIENT_CERT, client_cert_of_peer, take_client_cert};
pub(crate) use edit::{local_response, unescape};
pub(crate) use hygiene::{strip, strip_trailers};
pub(crate) use id::{RequestIds, X_REQUEST_ID};
pub(crate) use sent::{Outgoing, SpareLists};
pub(crate) use terms::CallerTerms;
pub(crate) use upgrade::{HEADER_METHOD, HEADER_STATUS, NO_TUNNEL, hear_method};

use hygiene::{CameFrom, count_stripped, strip_received};
use sent::SentFields;

use crate::failure::ResponseFormat;
use bytes::Bytes;
use codec::{Body, Upgrade};
use decide::Headers;
use decide::forwarded::{self, EntryPoint, Forwarded, Scheme};
use decide::path::Path;
use http::header::{self, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Uri, Version};
use model::settings::PathNormalization;
use model::{MeshSettings, Reason};
use std::borrow::Cow;
use std::net::IpAddr;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// Protected request header of the mesh transport: where the request wants to go.
pub(crate) const HEADER_DESTINATION: HeaderName = HeaderName::from_static("x-leno-destination");

/// Protected field of a CONNECT to a gateway between networks: the uid of the workload that it is to end at.
pub(crate) const HEADER_WORKLOAD: HeaderName = HeaderName::from_static("x-leno-workload");

/// A request's head after validation.
#[derive(Debug)]
pub(crate) struct Head {
    /// What the caller speaks.
    pub(crate) version: Version,
    /// As received; methods are compared exactly.
    pub(crate) method: Method,
    /// Canonical: one spelling for routing, policy, log and upstream.
    pub(crate) authority: Authority,
    /// Path and query as they are forwarded.
    pub(crate) target: PathAndQuery,
    /// All readings of the path, the literal one first; empty: it is its own only one (`decide::path`).
    pub(crate) readings: Vec<String>,
    /// The caller is to ask for `target` instead.
    is_redirected: bool,
    /// What passes on; `host` is always `authority`.
    pub(crate) headers: HeaderMap,
    /// The same once they went out.
    sent: Option<SentFields>,
    /// Who called, by the word of trusted proxies in front (`decide::forwarded`).
    pub(crate) client: Option<IpAddr>,
    /// The protocol that it is to be upgraded to; CONNECT is one.
    pub(crate) upgrade: Option<Box<Upgrade>>,
    /// Its body comes once somebody has asked for it.
    pub(crate) expects_continue: bool,
}

impl Head {
    /// The same for a copy of the request, which asks for no upgrade, and whose body is here.
    pub(crate) fn copy(&self) -> Self {
        Self {
            version: self.version,
            method: self.method.clone(),
            authority: self.authority.clone(),
            target: self.target.clone(),
            readings: self.readings.clone(),
            is_redirected: self.is_redirected,
            headers: self.headers.clone(),
            sent: None,
            client: self.client,
            upgrade: None,
            expects_continue: false,
        }
    }

    /// What the application is expected to speak where nothing is declared: what its caller does, except that upgrades
    /// are of HTTP/1.1 wherever nobody says otherwise.
    pub(crate) fn spoken(&self) -> Version {
        if self.upgrade.is_some() { Version::HTTP_11 } else { self.version }
    }
}

/// `host[:port]` in canonical form.
#[derive(Clone, Debug)]
pub(crate) struct Authority {
    value: HeaderValue,
}

impl Authority {
    /// Checks and canonicalises (`decide::host::authority`). `None`: it has no reading.
    pub(crate) fn parse(value: &HeaderValue) -> Option<Self> {
        let text = value.to_str().ok()?;
        let value = match decide::host::authority(text)? {
            Cow::Borrowed(same) if same.len() == text.len() => value.clone(),
            other => HeaderValue::from_str(&other).ok()?,
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

/// What is done to headers where callers from outside come in.
pub(crate) struct Edge<'a> {
    /// Where that is.
    pub(crate) at: EntryPoint,
    /// The caller's address.
    pub(crate) peer: IpAddr,
    /// The same as text, for `x-forwarded-for`, when what came in is not believed.
    pub(crate) forwarded_for: &'a HeaderValue,
    /// By which its connection came.
    pub(crate) scheme: Scheme,
    /// What is said of who calls there; `None`: nothing but what `MeshSettings` say.
    pub(crate) terms: Option<&'a CallerTerms>,
}

impl Edge<'_> {
    /// Sets the headers that tell applications about the caller.
    fn set_forwarded(&self, headers: &mut HeaderMap, believed: Option<Forwarded>) {
        let client = believed.as_ref().map(|believed| believed.client);
        if client.is_some() || self.terms.is_some_and(CallerTerms::detects) {
            terms::tell_client(headers, client.unwrap_or(self.peer));
        }
        let scheme = believed.as_ref().and_then(|believed| believed.scheme).unwrap_or(self.scheme);
        let kept = believed.and_then(|b| HeaderValue::from_maybe_shared(Bytes::from(b.forwarded_for)).ok());
        headers.insert(X_FORWARDED_FOR, kept.unwrap_or_else(|| self.forwarded_for.clone()));
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme.as_str()));
    }
}

/// Makes the canonical request. Does not touch the body.
pub(crate) fn receive(
    request: Request<Body>,
    edge: Option<Edge<'_>>,
    settings: &MeshSettings,
) -> Result<(Head, Body), Reason> {
    let (parts, body) = request.into_parts();
    let mut headers = parts.headers;
    let (authority, is_in_host) = find_authority(&parts.uri, &headers, parts.version)?;
    if !is_in_host {
        headers.insert(header::HOST, authority.value().clone());
    }
    let believed = match &edge {
        None => None,
        Some(Edge { terms: Some(terms), peer, at, .. }) => {
            terms.enter(&mut headers)?;
            terms.believe(*at, *peer, &mut headers, settings)?
        }
        Some(edge) => forwarded::believe(&settings.http, edge.at, edge.peer, &Fields(&headers)),
    };
    let client_cert = edge.as_ref().and_then(|edge| edge.terms?.client_cert(&mut headers));
    let told = believed.as_ref().map(|_| terms::told_host_and_port(&headers)).unwrap_or_default();
    let client = believed.as_ref().map(|believed| believed.client);
    let from = if edge.is_some() { CameFrom::Outside } else { CameFrom::Mesh };
    let stripped = count_stripped(&headers, from);
    let mut expects_continue = false;
    if stripped > 0 {
        expects_continue = expects(&headers)?;
    }
    let (version, method) = (parts.version, parts.method);
    let mut upgrade = None;
    if stripped > 0 || !parts.extensions.is_empty() {
        upgrade = upgrade::choose(parts.extensions.get(), version, &headers, &settings.http)?;
    }
    if method == Method::CONNECT {
        upgrade = upgrade::connect(&settings.http)?;
    }
    if upgrade.is_some() {
        // What follows is no body, whatever it says.
        headers.remove(header::CONTENT_LENGTH);
    }
    if expects_continue {
        // Who has sent all of its body waits for nothing.
        let is_here = upgrade.is_some() || body.is_end_stream() || body.full_len().is_some();
        expects_continue = version >= Version::HTTP_11 && !is_here;
    }
    if stripped > 0 {
        strip_received(&mut headers, from, stripped);
    }
    let Target { target, readings, is_redirected } = find_target(&method, &parts.uri, settings.path)?;
    if let Some(edge) = edge {
        edge.set_forwarded(&mut headers, believed);
    }
    for (name, value) in told {
        headers.insert(name, value);
    }
    if let Some(value) = client_cert {
        headers.insert(X_FORWARDED_CLIENT_CERT, value);
    }
    let sent = None;
    let head = Head {
        version,
        method,
        authority,
        target,
        readings,
        is_redirected,
        headers,
        sent,
        client,
        upgrade,
        expects_continue,
    };
    Ok((head, body))
}

/// Whether the caller waits for a word before it sends its body (RFC 9110 section 10.1.1).
///
/// # Errors
/// [`Reason::ExpectationFailed`]: it expects something else.
fn expects(headers: &HeaderMap) -> Result<bool, Reason> {
    let mut expected = headers.get_all(header::EXPECT).iter().peekable();
    let is_any = expected.peek().is_some();
    let is_known = expected.all(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if is_known { Ok(is_any) } else { Err(Reason::ExpectationFailed) }
}

/// One value for routing, policy, log and upstream, and whether `host` has it already. For HTTP/1 the request
/// target wins over `Host` (RFC 9112 section 3.2.2); in HTTP/2 both must agree.
fn find_authority(uri: &Uri, headers: &HeaderMap, version: Version) -> Result<(Authority, bool), Reason> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Reason::BadRequest);
    }
    let from_host = host.map(|value| Authority::parse(value).ok_or(Reason::BadRequest)).transpose()?;
    let is_in_host = |authority: &Authority| host == Some(authority.value());
    let Some(in_target) = uri.authority() else {
        let authority = from_host.ok_or(Reason::BadRequest)?;
        let is_same = is_in_host(&authority);
        return Ok((authority, is_same));
    };
    let value = HeaderValue::from_str(in_target.as_str()).map_err(|_| Reason::BadRequest)?;
    let from_target = Authority::parse(&value).ok_or(Reason::BadRequest)?;
    match from_host {
        Some(host) if version >= Version::HTTP_2 && host.as_str() != from_target.as_str() => {
            Err(Reason::BadRequest)
        }
        _ => {
            let is_same = is_in_host(&from_target);
            Ok((from_target, is_same))
        }
    }
}

/// What is asked for, and how it may be read.
struct Target {
    target: PathAndQuery,
    readings: Vec<String>,
    is_redirected: bool,
}

fn find_target(method: &Method, uri: &Uri, how: PathNormalization) -> Result<Target, Reason> {
    let Some(given) = uri.path_and_query() else {
        // Of CONNECT, which names no path: rules and policies are asked as for the first one of its host.
        let target = PathAndQuery::from_static("/");
        return Ok(Target { target, readings: Vec::new(), is_redirected: false });
    };
    if given.path() == "*" && method != Method::OPTIONS {
        return Err(Reason::BadPath);
    }
    let Path { forwarded, readings, is_redirected } = decide::path::read(given.path(), how)?;
    let target = match forwarded {
        // Of `http://host?query` only the query is stored, and HTTP/2 would send just that.
        Cow::Borrowed(same) if same.len() == given.path().len() && given.as_str().starts_with(['/', '*']) => {
            given.clone()
        }
        path => with_path(&path, given.query()).ok_or(Reason::BadPath)?,
    };
    Ok(Target { target, readings, is_redirected })
}

/// `path?query`; `None` when it cannot be put on a wire.
pub(crate) fn with_path(path: &str, query: Option<&str>) -> Option<PathAndQuery> {
    match query {
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")).ok(),
        None => PathAndQuery::try_from(path).ok(),
    }
}

/// A header map as `decide` sees it.
pub(crate) struct Fields<M>(pub(crate) M);

impl Headers for Fields<&HeaderMap> {
    fn visit(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        for value in self.0.get_all(name) {
            each(value.as_bytes());
        }
    }
}

impl Headers for Head {
    fn visit(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        match &self.sent {
            Some(sent) => sent.get_all(name).for_each(|value| each(value.as_bytes())),
            None => Fields(&self.headers).visit(name, each),
        }
    }
}

/// gRPC, in which form, or not, by `content-type`.
pub(crate) fn response_format(headers: &HeaderMap) -> ResponseFormat {
    match headers.get(header::CONTENT_TYPE) {
        Some(value) if decide::is_grpc(value.as_bytes()) => ResponseFormat::Grpc,
        Some(value) => decide::grpc::web::form(value.as_bytes()).map_or(ResponseFormat::Http, |form| {
            let accept = headers.get(header::ACCEPT).map(HeaderValue::as_bytes);
            ResponseFormat::GrpcWeb { asked: form, answer: decide::grpc::web::form_of_answer(accept, form) }
        }),
        None => ResponseFormat::Http,
    }
}
