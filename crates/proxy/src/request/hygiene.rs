//! Which header fields pass on: none between neighbours, none that only proxies may set, and of those that say who
//! called only what is believed.

use http::HeaderMap;
use http::header::{self, HeaderName};

/// What a header name is to a proxy.
#[derive(Clone, Copy, PartialEq, Eq)]
enum HeaderClass {
    /// Passes.
    EndToEnd,
    /// Between neighbours only (RFC 9110 section 7.6.1).
    HopByHop,
    /// Set and read by proxies only.
    Protected,
    /// Says who called and for what: believed from inside, from outside only as `decide::forwarded` has it (bad
    /// inputs I02, P17).
    ForwardedHeader,
}

/// Where a message comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum CameFrom {
    /// An application or a proxy of the mesh.
    Mesh,
    /// A caller at the edge.
    Outside,
}

fn classify(name: &HeaderName) -> HeaderClass {
    let text = name.as_str().as_bytes();
    match text {
        [b'x', ..] => classify_x(text),
        b"forwarded" => HeaderClass::ForwardedHeader,
        b"expect" => HeaderClass::HopByHop,
        _ if codec::headers::is_hop_by_hop(name) => HeaderClass::HopByHop,
        _ => HeaderClass::EndToEnd,
    }
}

/// Also in the spellings that CGI-like applications confuse (I04).
fn classify_x(name: &[u8]) -> HeaderClass {
    let starts = |prefix: &[u8]| name.get(..prefix.len()).is_some_and(|start| is_alias(start, prefix));
    if starts(b"x-leno-") || is_alias(name, b"x-forwarded-client-cert") {
        return HeaderClass::Protected;
    }
    let claims: [&[u8]; 3] = [b"x-real-ip", b"x-original-url", b"x-rewrite-url"];
    if starts(b"x-forwarded-") || claims.iter().any(|claim| is_alias(name, claim)) {
        return HeaderClass::ForwardedHeader;
    }
    HeaderClass::EndToEnd
}

/// Whether `name` is `canonical`, or would be after `_` and `.` became `-`.
fn is_alias(name: &[u8], canonical: &[u8]) -> bool {
    let same = |(a, b): (&u8, &u8)| a == b || (*b == b'-' && matches!(a, b'_' | b'.'));
    name.len() == canonical.len() && name.iter().zip(canonical).all(same)
}

/// Whether a field of this name is to go.
pub(super) fn is_stripped(name: &HeaderName, from: CameFrom) -> bool {
    match classify(name) {
        HeaderClass::EndToEnd => false,
        HeaderClass::HopByHop | HeaderClass::Protected => true,
        HeaderClass::ForwardedHeader => from == CameFrom::Outside,
    }
}

/// How many names are to go from a message of `from`.
pub(super) fn count_stripped(headers: &HeaderMap, from: CameFrom) -> usize {
    headers.keys().filter(|name| is_stripped(name, from)).count()
}

/// Makes a message fit to pass on: takes out hop-by-hop headers, those that `connection` names, and protected ones.
/// `te: trailers` stays, because gRPC servers ask for it.
pub(crate) fn strip(headers: &mut HeaderMap) {
    let stripped = count_stripped(headers, CameFrom::Mesh);
    if stripped > 0 {
        strip_received(headers, CameFrom::Mesh, stripped);
    }
}

/// Takes out the `count` names that are to go, and what `connection` names.
pub(super) fn strip_received(headers: &mut HeaderMap, from: CameFrom, count: usize) {
    // All that many applications of HTTP/1 say.
    if count == 1 && codec::headers::keeps_alive(headers) {
        headers.remove(header::CONNECTION);
        return;
    }
    codec::headers::strip_hop_by_hop(headers);
    let is_left = |name: &&HeaderName| is_stripped(name, from) && **name != header::TE;
    let stripped: Vec<HeaderName> = headers.keys().filter(is_left).cloned().collect();
    for name in stripped {
        headers.remove(name);
    }
}

/// Takes out of trailers what must never be taken for a header (bad inputs S22).
pub(crate) fn strip_trailers(trailers: &mut HeaderMap) {
    codec::headers::strip_trailers(trailers);
    let protected: Vec<HeaderName> =
        trailers.keys().filter(|name| classify(name) != HeaderClass::EndToEnd).cloned().collect();
    for name in protected {
        trailers.remove(name);
    }
}
