//! To which protocol a request is upgraded, if it may be: policies and rules are asked as for any request before that.

use codec::Upgrade;
use http::header::{self, HeaderMap, HeaderName};
use http::{Method, Version};
use model::Reason;
use model::settings::HttpConnections;

/// Protected request header of the mesh transport: the method of an upgrade that is no GET, which extended CONNECT
/// cannot say (RFC 8441).
pub(crate) const HEADER_METHOD: HeaderName = HeaderName::from_static("x-leno-method");

/// Protected response header of the mesh transport: the status of an application that answered an upgrade with a
/// success of another kind, which would open the tunnel there.
pub(crate) const HEADER_STATUS: HeaderName = HeaderName::from_static("x-leno-status");

/// The first of the protocols asked for that may be upgraded to; `None`: it is an ordinary request.
///
/// # Errors
/// [`Reason::UpgradeFailed`] where the caller can do nothing with any other answer.
#[cold]
pub(super) fn choose(
    asked: Option<&Upgrade>,
    version: Version,
    headers: &HeaderMap,
    settings: &HttpConnections,
) -> Result<Option<Box<Upgrade>>, Reason> {
    match asked.and_then(|asked| asked.first(|protocol| settings.upgrades_to(protocol))) {
        Some(upgrade) => Ok(Some(Box::new(upgrade))),
        // Who asks in HTTP/2 takes any success for the tunnel.
        None if asked.is_some() && version == Version::HTTP_2 => Err(Reason::UpgradeFailed),
        None if wants_websocket(headers) => Err(Reason::UpgradeFailed),
        // It may be ignored (RFC 9110 section 7.8), as `h2c` always is.
        None => Ok(None),
    }
}

/// Whether the caller can do nothing with an answer but 101.
fn wants_websocket(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::UPGRADE).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case("websocket"))
}

/// The method of an upgrade as another proxy says it.
pub(super) fn method(headers: &HeaderMap) -> Option<Method> {
    Method::from_bytes(headers.get(HEADER_METHOD)?.as_bytes()).ok()
}
