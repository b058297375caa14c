//! Rewrites of host and path (Gateway API `HTTPURLRewriteFilter`, `HTTPPathModifier`).

use super::{Filter, Matched, RequestHead, Verdict};
use crate::path::is_within;
use model::Reason;
use model::filter::{PathRewrite, Rewrite};

impl Filter for Rewrite {
    fn on_request(&self, at: &Matched, request: &mut dyn RequestHead) -> Result<Verdict, Reason> {
        if let Some(host) = &self.hostname {
            request.set_host(host)?;
        }
        if let Some(rewrite) = &self.path {
            let view = request.view();
            let path = rewrite_read_path(rewrite, view.path, view.readings, at.prefix_len)?;
            request.set_path(&path)?;
        }
        Ok(Verdict::Continue)
    }
}

/// The path after a rewrite. `prefix_len` comes from the [`crate::route::Match`]. The result begins with a slash
/// and has no query.
pub(crate) fn rewrite_path(rewrite: &PathRewrite, path: &str, prefix_len: usize) -> String {
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
pub(crate) fn rewrite_read_path(
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
