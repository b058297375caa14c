//! Redirects (Gateway API `HTTPRequestRedirectFilter`, Istio's `HTTPRedirect`).

use super::rewrite::rewrite_path;
use super::{Filter, FilterRun, LocalReply, Matched, RequestHead, Verdict};
use crate::{RequestView, host};
use model::Reason;
use model::filter::{DerivedPort, Redirect};

impl Filter for Redirect {
    fn on_request<'f>(
        &'f self,
        request: &mut dyn RequestHead,
        run: &mut FilterRun<'_, 'f>,
    ) -> Result<Verdict, Reason> {
        let location = location(self, &run.at, &request.view())?;
        Ok(Verdict::Reply(LocalReply::redirect(self.status, location)))
    }
}

/// The usual port of the scheme is left out.
///
/// # Errors
/// As [`rewrite_path`].
pub(crate) fn location(
    redirect: &Redirect,
    at: &Matched<'_>,
    request: &RequestView<'_>,
) -> Result<String, Reason> {
    let came_by = if at.is_https { "https" } else { "http" };
    let scheme = redirect.scheme.as_deref().unwrap_or(came_by);
    let (own_host, own_port) = host::split_port(request.host);
    let host = redirect.hostname.as_deref().unwrap_or(own_host);
    let mut location = format!("{scheme}://{host}");
    if let Some(port) = port(redirect, at, own_port)
        && usual(scheme) != Some(port)
    {
        location.push_str(&format!(":{port}"));
    }
    let path = match &redirect.path {
        Some(path) => rewrite_path(path, at, request.path)?,
        None => request.path.to_owned(),
    };
    location.push_str(&path);
    // A path that brings its own query says all of it.
    if let Some(query) = request.query.filter(|_| !path.contains('?')) {
        location.push('?');
        location.push_str(query);
    }
    Ok(location)
}

/// The redirect's own; else as it says. `None`: none is named.
fn port(redirect: &Redirect, at: &Matched<'_>, named: Option<u16>) -> Option<u16> {
    // TLS may end at a proxy in front, whose port we do not know.
    let came_to = if at.is_https { 443 } else { at.port };
    redirect.port.or(match redirect.derived_port {
        DerivedPort::SchemeOrListener => redirect.scheme.as_deref().and_then(usual).or(Some(came_to)),
        DerivedPort::Listener => Some(came_to),
        DerivedPort::Authority => {
            let came_by = if at.is_https { "https" } else { "http" };
            let stays = redirect.hostname.is_none()
                && redirect
                    .scheme
                    .as_deref()
                    .is_none_or(|scheme| scheme == came_by || named != usual(came_by));
            named.filter(|_| stays)
        }
    })
}

fn usual(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}
