//! Which requests a service sees, and in which form: one authority, in `host`; the target in origin form except for
//! CONNECT.

use http::header::{CONTENT_LENGTH, HOST, HeaderValue};
use http::{Method, Request, StatusCode, Uri};

use crate::Body;
use crate::http1::rules::{is_host, is_host_and_port};

/// Makes the request canonical.
///
/// # Errors
/// The status to refuse it with.
pub(super) fn admit(mut request: Request<Body>) -> Result<Request<Body>, StatusCode> {
    if let Some(authority) = request.uri().authority() {
        // Without a scheme it is the form of CONNECT.
        let own_form = match request.uri().scheme_str() {
            None => request.method() == Method::CONNECT,
            // What we serve; a resource of another scheme is elsewhere.
            Some("http" | "https") => request.method() != Method::CONNECT,
            Some(_) => false,
        };
        let is_good = if request.method() == Method::CONNECT { is_host_and_port } else { is_host };
        if !own_form || !is_good(authority.as_str().as_bytes()) {
            return Err(StatusCode::BAD_REQUEST);
        }
        // The target wins over the field, everywhere.
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| StatusCode::BAD_REQUEST)?;
        request.headers_mut().insert(HOST, host);
        if request.method() != Method::CONNECT {
            let path = request.uri().path_and_query().cloned();
            *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
        }
    } else if request.method() == Method::CONNECT {
        return Err(StatusCode::BAD_REQUEST);
    }
    let path = request.uri().path();
    if request.method() != Method::CONNECT
        && !path.starts_with('/')
        && !(path == "*" && request.method() == Method::OPTIONS)
    {
        return Err(StatusCode::BAD_REQUEST);
    }
    // Leading zeros are read as what they are, and not passed on.
    if let Some(length) = request.headers().get(CONTENT_LENGTH)
        && length.len() > 1
        && length.as_bytes()[0] == b'0'
    {
        let length = crate::body::content_length(request.headers()).ok_or(StatusCode::BAD_REQUEST)?;
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(request)
}
