//! Rewrites of host and path (Gateway API `HTTPURLRewriteFilter`, `HTTPPathModifier`, Istio's `HTTPRewrite`).

use super::{Filter, FilterRun, Matched, RequestHead, Verdict};
use crate::expression::replace;
use crate::path::{begins_with, is_within};
use model::Reason;
use model::filter::{PathRewrite, Rewrite};

impl Filter for Rewrite {
    fn on_request<'f>(
        &'f self,
        request: &mut dyn RequestHead,
        run: &mut FilterRun<'_, 'f>,
    ) -> Result<Verdict, Reason> {
        if let Some(host) = &self.hostname {
            request.set_host(host)?;
        }
        if let Some(rewrite) = &self.path {
            let view = request.view();
            let path = rewrite_read_path(rewrite, &run.at, view.path, view.readings)?;
            request.set_path(&path)?;
        }
        Ok(Verdict::Continue)
    }
}

/// The path after a rewrite. It begins with a slash.
///
/// # Errors
/// [`Reason::FilterFailed`] for a regular expression that did not compile.
pub(crate) fn rewrite_path(rewrite: &PathRewrite, at: &Matched<'_>, path: &str) -> Result<String, Reason> {
    let rest = path.get(at.prefix_len..).unwrap_or("");
    let rewritten = match rewrite {
        PathRewrite::Full(replacement) => replacement.to_string(),
        PathRewrite::Prefix(replacement) if rest.is_empty() => replacement.to_string(),
        PathRewrite::Prefix(replacement) => {
            format!("{}/{}", replacement.trim_end_matches('/'), rest.strip_prefix('/').unwrap_or(rest))
        }
        PathRewrite::StringPrefix(replacement) => format!("{replacement}{rest}"),
        PathRewrite::Regex { pattern, substitution } => {
            replace(at.patterns.part(pattern).ok_or(Reason::FilterFailed)?, path, substitution)
        }
    };
    Ok(if rewritten.starts_with('/') { rewritten } else { format!("/{rewritten}") })
}

/// The same for a path that may be read as `readings`: what was read as below the old prefix must be read as
/// below the new one.
///
/// # Errors
/// [`Reason::AmbiguousPath`] where it would not be; [`Reason::BadPath`] where that cannot be said.
pub(crate) fn rewrite_read_path(
    rewrite: &PathRewrite,
    at: &Matched<'_>,
    path: &str,
    readings: &[String],
) -> Result<String, Reason> {
    let rewritten = rewrite_path(rewrite, at, path)?;
    if readings.is_empty() {
        return Ok(rewritten);
    }
    let is_kept = match rewrite {
        PathRewrite::Full(_) | PathRewrite::Regex { .. } => true,
        PathRewrite::Prefix(prefix) => is_within(&rewritten, prefix)?,
        PathRewrite::StringPrefix(prefix) => begins_with(&rewritten, prefix)?,
    };
    if is_kept { Ok(rewritten) } else { Err(Reason::AmbiguousPath) }
}
