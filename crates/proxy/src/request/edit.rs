//! What a rule changes on a request and its response (Gateway API filters), and what never passes back.

use super::{Authority, Fields, Head, HeaderClass, X_FORWARDED_PROTO, classify, strip, with_path};
use codec::Body;
use decide::path;
use decide::route::{self, Match, Redirected};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use model::Reason;
use model::route::{HeaderEdit, PathRewrite, Redirect, RouteFilter};

/// Whether an edit of configuration may touch this header: not what frames or addresses a message, not what
/// belongs to one hop, and not what only proxies may set.
fn is_editable(name: &HeaderName) -> bool {
    matches!(classify(name), HeaderClass::EndToEnd | HeaderClass::ForwardedHeader)
        && !matches!(*name, header::HOST | header::CONTENT_LENGTH)
}

fn edit(headers: &mut HeaderMap, edit: &HeaderEdit) {
    let name = |text: &str| HeaderName::from_bytes(text.as_bytes()).ok().filter(is_editable);
    for (key, value) in &edit.set {
        if let (Some(name), Ok(value)) = (name(key), HeaderValue::from_str(value)) {
            headers.insert(name, value);
        }
    }
    for (key, value) in &edit.add {
        if let (Some(name), Ok(value)) = (name(key), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    for key in &edit.remove {
        if let Some(name) = name(key) {
            headers.remove(name);
        }
    }
}

/// Applies a rule's filters to the request, in order.
///
/// # Errors
/// [`Reason::BadPath`] when a rewrite makes something that is no request target.
pub(crate) fn edit_request(head: &mut Head, matched: &Match<'_>) -> Result<(), Reason> {
    for filter in &matched.rule.filters {
        match filter {
            RouteFilter::RequestHeaders(changes) => edit(&mut head.headers, changes),
            RouteFilter::Rewrite(rewrite) => {
                if let Some(host) = &rewrite.hostname {
                    let value = HeaderValue::from_str(host).ok();
                    head.authority = value.and_then(|v| Authority::parse(&v)).ok_or(Reason::BadRequest)?;
                    head.headers.insert(header::HOST, head.authority.value().clone());
                }
                if let Some(path) = &rewrite.path {
                    rewrite_path(head, path, matched.prefix_len)?;
                }
            }
            RouteFilter::ResponseHeaders(_) | RouteFilter::Redirect(_) => {}
        }
    }
    Ok(())
}

fn rewrite_path(head: &mut Head, rewrite: &PathRewrite, prefix_len: usize) -> Result<(), Reason> {
    let path = route::rewrite_read_path(rewrite, head.target.path(), &head.readings, prefix_len)?;
    head.target = with_path(&path, head.target.query()).ok_or(Reason::BadPath)?;
    Ok(())
}

/// Where encoded slashes are to be decoded by the caller: a redirect to the path without them.
///
/// # Errors
/// [`Reason::BadPath`].
pub(crate) fn unescape(head: &Head) -> Result<Option<Response<Body>>, Reason> {
    if !head.is_redirected {
        return Ok(None);
    }
    let content_type = head.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let location = path::unescape_location(head.target.as_str(), content_type)?;
    let location = HeaderValue::try_from(location).map_err(|_| Reason::BadPath)?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() =
        StatusCode::from_u16(path::UNESCAPE_STATUS).unwrap_or(StatusCode::TEMPORARY_REDIRECT);
    response.headers_mut().insert(header::LOCATION, location);
    Ok(Some(response))
}

/// The rule's redirect as a response, when it has one. `port` is the listener's or service's.
pub(crate) fn redirect(head: &Head, matched: &Match<'_>, port: u16) -> Option<Response<Body>> {
    let redirect = matched.rule.filters.iter().find_map(|filter| match filter {
        RouteFilter::Redirect(redirect) => Some(redirect),
        _ => None,
    })?;
    Some(redirect_response(redirect, head, matched.prefix_len, port))
}

fn redirect_response(redirect: &Redirect, head: &Head, prefix_len: usize, port: u16) -> Response<Body> {
    // At the edge it is only there when it is believed.
    let is_https = head.headers.get(X_FORWARDED_PROTO).is_some_and(|scheme| scheme == "https");
    let fields = Fields(&head.headers);
    let request = Redirected::new(&head.view(&fields), is_https, port, prefix_len);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(redirect.status).unwrap_or(StatusCode::FOUND);
    if let Ok(location) = HeaderValue::try_from(route::redirect_location(redirect, &request)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// Makes an upstream's response fit to pass on: no hop-by-hop and no protected header, then the rule's edits.
pub(crate) fn edit_response(headers: &mut HeaderMap, filters: &[RouteFilter]) {
    strip(headers);
    for filter in filters {
        if let RouteFilter::ResponseHeaders(changes) = filter {
            edit(headers, changes);
        }
    }
}
