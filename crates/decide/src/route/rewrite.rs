//! Paths and locations after a rewrite or redirect (Gateway API, `HTTPPathModifier` and
//! `HTTPRequestRedirectFilter`).

use crate::RequestView;
use crate::host;
use crate::path::is_within;
use model::Reason;
use model::route::{PathRewrite, Redirect};

/// The path after a rewrite. `prefix_len` comes from the [`super::Match`]. The result begins with a slash
/// and has no query.
pub fn rewrite_path(rewrite: &PathRewrite, path: &str, prefix_len: usize) -> String {
    let (replacement, rest) = match rewrite {
        PathRewrite::Full(replacement) => (&**replacement, ""),
        PathRewrite::Prefix(replacement) => (&**replacement, path.get(prefix_len..).unwrap_or("")),
    };
    let joined = if rest.is_empty() {
        replacement.to_owned()
    } else {
        format!("{}/{}", replacement.trim_end_matches('/'), rest.strip_prefix('/').unwrap_or(rest))
    };
    if joined.starts_with('/') { joined } else { format!("/{joined}") }
}

/// The same for a path that may be read as `readings`: what was read as below the old prefix must be read as
/// below the new one.
///
/// # Errors
/// [`Reason::AmbiguousPath`] where it would not be; [`Reason::BadPath`] where that cannot be said.
pub fn rewrite_read_path(
    rewrite: &PathRewrite,
    path: &str,
    readings: &[String],
    prefix_len: usize,
) -> Result<String, Reason> {
    let rewritten = rewrite_path(rewrite, path, prefix_len);
    match rewrite {
        PathRewrite::Prefix(prefix) if !readings.is_empty() && !is_within(&rewritten, prefix)? => {
            Err(Reason::AmbiguousPath)
        }
        _ => Ok(rewritten),
    }
}

/// The request that a redirect answers.
#[derive(Clone, Copy, Debug)]
pub struct Redirected<'a> {
    /// Scheme by which the request came, `http` or `https`.
    pub scheme: &'a str,
    /// Authority as sent.
    pub host: &'a str,
    /// Port of the listener (gateway) or service.
    pub port: u16,
    /// Path as it is forwarded.
    pub path: &'a str,
    /// Query without `?`.
    pub query: Option<&'a str>,
    /// From the [`super::Match`].
    pub prefix_len: usize,
}

impl<'a> Redirected<'a> {
    /// Of a request to a port. Where the caller's scheme is said to be https, TLS ends at a proxy in front, whose port
    /// is the usual one.
    pub fn new(request: &RequestView<'a>, is_https: bool, port: u16, prefix_len: usize) -> Self {
        let (scheme, port) = if is_https { ("https", 443) } else { ("http", port) };
        Self { scheme, host: request.host, port, path: request.path, query: request.query, prefix_len }
    }
}

/// The `location` of a redirect. The port is the redirect's own; else the usual one of the redirect's
/// scheme; else the listener's. The usual port of the scheme is left out.
pub fn redirect_location(redirect: &Redirect, request: &Redirected<'_>) -> String {
    let scheme = redirect.scheme.as_deref().unwrap_or(request.scheme);
    let usual = match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    let of_scheme = if redirect.scheme.is_some() { usual } else { None };
    let port = redirect.port.or(of_scheme).unwrap_or(request.port);
    let host = redirect.hostname.as_deref().unwrap_or(host::split_port(request.host).0);
    let mut location = format!("{scheme}://{host}");
    if usual != Some(port) {
        location.push_str(&format!(":{port}"));
    }
    match &redirect.path {
        Some(path) => location.push_str(&rewrite_path(path, request.path, request.prefix_len)),
        None => location.push_str(request.path),
    }
    if let Some(query) = request.query {
        location.push('?');
        location.push_str(query);
    }
    location
}
