//! Redirects (Gateway API `HTTPRequestRedirectFilter`).

use super::rewrite::rewrite_path;
use super::{Filter, LocalReply, Matched, RequestHead, Verdict};
use crate::{RequestView, host};
use model::Reason;
use model::filter::Redirect;

impl Filter for Redirect {
    fn on_request(&self, at: &Matched, request: &mut dyn RequestHead) -> Result<Verdict, Reason> {
        let location = location(self, at, &request.view());
        Ok(Verdict::Reply(LocalReply::redirect(self.status, location)))
    }
}

/// The port is the redirect's own; else the usual one of the redirect's scheme; else the listener's, or the usual one
/// of the caller's scheme where TLS ends at a proxy in front. The usual port of the scheme is left out.
pub(crate) fn location(redirect: &Redirect, at: &Matched, request: &RequestView<'_>) -> String {
    let (came_by, came_to) = if at.is_https { ("https", 443) } else { ("http", at.port) };
    let scheme = redirect.scheme.as_deref().unwrap_or(came_by);
    let usual = match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    let of_scheme = if redirect.scheme.is_some() { usual } else { None };
    let port = redirect.port.or(of_scheme).unwrap_or(came_to);
    let host = redirect.hostname.as_deref().unwrap_or(host::split_port(request.host).0);
    let mut location = format!("{scheme}://{host}");
    if usual != Some(port) {
        location.push_str(&format!(":{port}"));
    }
    match &redirect.path {
        Some(path) => location.push_str(&rewrite_path(path, request.path, at.prefix_len)),
        None => location.push_str(request.path),
    }
    if let Some(query) = request.query {
        location.push('?');
        location.push_str(query);
    }
    location
}
