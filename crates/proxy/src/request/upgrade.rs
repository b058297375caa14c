//! To which protocol a request is upgraded, if it may be: policies and rules are asked as for any request before that.

use codec::{Body, Upgrade};
use http::header::{self, HeaderMap, HeaderName};
use http::{Method, Request, StatusCode, Version};
use model::Reason;
use model::settings::HttpConnections;

/// Protected request header of the mesh transport: the method of an upgrade that is no GET, which extended CONNECT
/// cannot say (RFC 8441).
pub(crate) const HEADER_METHOD: HeaderName = HeaderName::from_static("x-leno-method");

/// Protected response header of the mesh transport: the status of an application that answered an upgrade with a
/// success of another kind, which would open the tunnel there.
pub(crate) const HEADER_STATUS: HeaderName = HeaderName::from_static("x-leno-status");

/// What stands between proxies for a success that opens no tunnel ([`HEADER_STATUS`]).
pub(crate) const NO_TUNNEL: StatusCode = StatusCode::NOT_IMPLEMENTED;

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

/// CONNECT, as the upgrade that it is wherever it is allowed.
///
/// # Errors
/// [`Reason::UpgradeFailed`]: it is not.
#[cold]
pub(super) fn connect(settings: &HttpConnections) -> Result<Option<Box<Upgrade>>, Reason> {
    if !settings.upgrades_to(HttpConnections::CONNECT) {
        return Err(Reason::UpgradeFailed);
    }
    Ok(Upgrade::try_from(HttpConnections::CONNECT).ok().map(Box::new))
}

/// Whether the caller can do nothing with an answer but 101.
fn wants_websocket(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::UPGRADE).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case("websocket"))
}

/// Hears from another proxy what the method of an upgrade was. Nobody else is to be asked for it, and a success of
/// CONNECT would open a tunnel that is no upgrade.
pub(crate) fn hear_method(request: &mut Request<Body>) {
    if request.extensions().get::<Upgrade>().is_none() {
        return;
    }
    let told = request.headers().get(HEADER_METHOD).and_then(|told| Method::from_bytes(told.as_bytes()).ok());
    if let Some(method) = told.filter(|method| *method != Method::CONNECT) {
        *request.method_mut() = method;
    }
}

#[cfg(test)]
mod tests {
    use super::hear_method;
    use codec::{Body, Upgrade};
    use http::Request;

    #[test]
    fn any_method_but_connect_is_heard_of_an_upgrade() {
        for (upgrade, told, heard) in [
            (Some("tcp"), "POST", "POST"),
            (Some("tcp"), "CONNECT", "GET"),
            (Some("tcp"), "no token", "GET"),
            (None, "POST", "GET"),
        ] {
            let request = Request::get("/").header("x-leno-method", told);
            let mut request = request.body(Body::empty()).unwrap();
            if let Some(upgrade) = upgrade {
                request.extensions_mut().insert(Upgrade::try_from(upgrade).unwrap());
            }
            hear_method(&mut request);
            assert_eq!(request.method(), heard, "{upgrade:?} {told}");
        }
    }
}
