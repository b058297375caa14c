//! Which header fields pass on: none between neighbours, none that only proxies may set, and of those that say who
//! called only what is believed.

use http::HeaderMap;
use http::header::{self, HeaderName};
use model::header::HeaderClass;

/// Where a message comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum CameFrom {
    /// An application or a proxy of the mesh.
    Mesh,
    /// A caller at the edge.
    Outside,
}

fn classify(name: &HeaderName) -> HeaderClass {
    model::header::classify(name.as_str().as_bytes())
}

/// Whether a field of this name is to go.
pub(super) fn is_stripped(name: &HeaderName, from: CameFrom) -> bool {
    match classify(name) {
        HeaderClass::EndToEnd => false,
        HeaderClass::HopByHop | HeaderClass::Protected => true,
        HeaderClass::Forwarded => from == CameFrom::Outside,
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

/// Takes out of trailers what must never be taken for a header.
pub(crate) fn strip_trailers(trailers: &mut HeaderMap) {
    codec::headers::strip_trailers(trailers);
    let protected: Vec<HeaderName> =
        trailers.keys().filter(|name| classify(name) != HeaderClass::EndToEnd).cloned().collect();
    for name in protected {
        trailers.remove(name);
    }
}
