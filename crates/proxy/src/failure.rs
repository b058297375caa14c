//! What went wrong with a request, and what the caller is told. The table of reasons (`model::reason`) says
//! status, gRPC status, blame and whether it may be tried again; this file only turns a row into a reply.

#[cfg(test)]
mod tests;

use codec::{Body, Reply, ResetCode};
use http::{HeaderValue, Response, StatusCode, header};
use model::reason::Retry;
use model::{Policy, Reason};
use std::sync::Arc;

/// Protected response header between proxies: the reason of a reply that the callee's proxy made itself
/// after something may have reached its application.
pub(crate) const HEADER_FAILURE: &str = "x-leno-failure";

/// Why a request or an attempt ended without an answer of the application.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// The row of the table.
    pub(crate) reason: Reason,
    /// Which policy denied it.
    pub(crate) policy: Option<Arc<Policy>>,
}

impl From<Reason> for Failure {
    fn from(reason: Reason) -> Self {
        Self { reason, policy: None }
    }
}

/// Who gets the reply; it decides its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplyTo {
    /// An application or a caller from outside.
    Application,
    /// Another proxy, which may try elsewhere and makes its own reply.
    Proxy,
}

/// What the caller spoke; gRPC has its own form of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    /// Ordinary HTTP.
    Http,
    /// gRPC: errors are trailers-only responses with status 200.
    Grpc,
}

impl Failure {
    /// The reply to this failure. A reason that is safe to repeat becomes `REFUSED_STREAM` between proxies,
    /// so that the caller's proxy may try any method elsewhere (design, D4).
    pub(crate) fn reply(&self, to: ReplyTo, spoken: Spoken) -> Reply {
        let row = self.reason.row();
        if to == ReplyTo::Proxy && row.retry == Retry::Safe {
            return Reply::Reset(ResetCode::RefusedStream);
        }
        let Ok(status) = StatusCode::from_u16(row.status) else {
            // Status 0 in the table: nothing may be said any more.
            return Reply::Reset(ResetCode::Cancel);
        };
        let mut response = match spoken {
            Spoken::Http => self.plain(status),
            Spoken::Grpc => self.grpc(row.grpc),
        };
        // A denial is the final word of a policy, not a failure that another endpoint could mend.
        if to == ReplyTo::Proxy && self.reason != Reason::Denied {
            response.headers_mut().insert(HEADER_FAILURE, HeaderValue::from_static(row.code));
        }
        Reply::Response(response)
    }

    fn plain(&self, status: StatusCode) -> Response<Body> {
        let text = match self.reason {
            // Istio's text, which people search for.
            Reason::Denied => "RBAC: access denied",
            other => other.row().code,
        };
        let mut response = Response::new(Body::full(text));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        response
    }

    fn grpc(&self, code: u8) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert("grpc-status", HeaderValue::from(u16::from(code)));
        headers.insert("grpc-message", HeaderValue::from_static(self.reason.row().code));
        response
    }
}
