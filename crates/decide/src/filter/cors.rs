//! Cross-origin requests (Fetch standard, "CORS protocol"; Gateway API `HTTPCORSFilter`, Istio's `CorsPolicy`): preflight
//! requests are answered here, and responses say which pages may read them. Nothing is refused: browsers do that.

use super::{Filter, FilterRun, HeaderEdits, LocalReply, Patterns, RequestHead, Verdict};
use crate::RequestView;
use crate::request::first_value;
use model::Reason;
use model::filter::{Cors, OriginMatch, UnmatchedPreflights};
use std::sync::Arc;

const ANY: &str = "*";

impl Filter for Cors {
    fn on_request<'f>(
        &'f self,
        request: &mut dyn RequestHead,
        run: &mut FilterRun<'_, 'f>,
    ) -> Result<Verdict, Reason> {
        let view = request.view();
        let (Some(origin), Some(method)) =
            (text(&view, "origin"), text(&view, "access-control-request-method"))
        else {
            return Ok(Verdict::Continue);
        };
        if view.method != "OPTIONS" {
            return Ok(Verdict::Continue);
        }
        let mut reply = LocalReply { status: 200, ..LocalReply::default() };
        if !allows(self, &origin, run.at.patterns) {
            return Ok(match self.unmatched_preflights {
                UnmatchedPreflights::Answered => Verdict::Reply(reply),
                UnmatchedPreflights::Forwarded => Verdict::Continue,
            });
        }
        let headers = text(&view, "access-control-request-headers");
        // With credentials a star is a plain name to browsers, so they are told what they asked for.
        let listed = |list: &[Arc<str>], wanted: Option<&str>| match list {
            [] => None,
            [any] if **any == *ANY && self.allow_credentials => wanted.map(str::to_owned),
            list => Some(list.join(", ")),
        };
        if let Some(methods) = listed(&self.allow_methods, Some(&method)) {
            reply.set("access-control-allow-methods", &methods);
        }
        if let Some(headers) = listed(&self.allow_headers, headers.as_deref()) {
            reply.set("access-control-allow-headers", &headers);
        }
        if let Some(age) = self.max_age_s {
            reply.set("access-control-max-age", &age.to_string());
        }
        Ok(Verdict::Reply(reply))
    }

    fn on_response(&self, request: &RequestView<'_>, patterns: &Patterns, response: &mut dyn HeaderEdits) {
        let Some(origin) = text(request, "origin").filter(|origin| allows(self, origin, patterns)) else {
            return;
        };
        let is_same_for_all = self.allow_origins == [OriginMatch::Any] && !self.allow_credentials;
        if is_same_for_all {
            response.set("access-control-allow-origin", ANY);
        } else {
            response.set("access-control-allow-origin", &origin);
            // What is said to one page must not be shown to another by a cache.
            response.add("vary", "origin");
        }
        if self.allow_credentials {
            response.set("access-control-allow-credentials", "true");
        }
        let is_void = self.allow_credentials && *self.expose_headers == [ANY.into()];
        if !self.expose_headers.is_empty() && !is_void {
            response.set("access-control-expose-headers", &self.expose_headers.join(", "));
        }
    }

    fn on_local_reply(&self, request: &RequestView<'_>, patterns: &Patterns, reply: &mut dyn HeaderEdits) {
        self.on_response(request, patterns, reply);
    }
}

/// Whether a page of this origin may call. An origin has a port only where it is not the usual one.
fn allows(cors: &Cors, origin: &str, patterns: &Patterns) -> bool {
    cors.allow_origins.iter().any(|allowed| match allowed {
        OriginMatch::Any => true,
        OriginMatch::Exact(text) => origin.eq_ignore_ascii_case(text),
        OriginMatch::Prefix(text) => origin.starts_with(&**text),
        OriginMatch::Regex(pattern) => patterns.whole(pattern).is_some_and(|regex| regex.is_match(origin)),
        OriginMatch::Wildcard { before, after } => {
            origin.len() > before.len() + after.len()
                && origin.starts_with(&**before)
                && origin.ends_with(&**after)
                && is_host(&origin[before.len()..origin.len() - after.len()])
        }
    })
}

/// Whether what stands for a star can be the labels of a host: no port and no path hides in it.
fn is_host(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn text(request: &RequestView<'_>, name: &str) -> Option<String> {
    first_value(request.headers, name).and_then(|value| String::from_utf8(value).ok())
}
