//! What went wrong with a request, and what the caller is told. The table of reasons (`model::reason`) says
//! status, gRPC status, blame and whether it may be tried again; this file only turns a row into a reply.

#[cfg(test)]
mod tests;

use codec::{Body, Reply, ResetCode};
use decide::authz::Denial;
use decide::grpc::web::WebForm;
use decide::plan::Refusal;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use model::Reason;
use model::reason::Retry;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

/// Protected response header between proxies: the reason of a reply that the callee's proxy made itself, by
/// its code alone.
pub(crate) const HEADER_FAILURE: &str = "x-leno-failure";

/// Why a request or an attempt ended without an answer of the application.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// The row of the table.
    pub(crate) reason: Reason,
    /// Which policies denied it. For the access log only: it is told to nobody.
    pub(crate) denial: Option<Box<Denial>>,
}

/// What a defect of ours becomes: a reply and a record that say so. The panic hook has logged its place.
///
/// Takes the story where it is pinned: it is some kilobytes, and each request would move them.
///
/// # Errors
/// Those of `story`, else [`Reason::Internal`].
pub(crate) async fn guard<T>(
    mut story: Pin<&mut impl Future<Output = Result<T, Failure>>>,
) -> Result<T, Failure> {
    poll_fn(|cx| {
        // Nothing of a request outlives it but counts, and cells that unwinding gives back.
        let turn = catch_unwind(AssertUnwindSafe(|| story.as_mut().poll(cx)));
        turn.unwrap_or_else(|_| Poll::Ready(Err(Reason::Internal.into())))
    })
    .await
}

impl From<Reason> for Failure {
    fn from(reason: Reason) -> Self {
        Self { reason, denial: None }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let reason = refusal.reason();
        let denial = match refusal {
            Refusal::Denied(denial) => Some(Box::new(denial)),
            Refusal::Ambiguous | Refusal::For(_) => None,
        };
        Self { reason, denial }
    }
}

/// What the proxy that answered says of its answer, as the caller's proxy sees it; `None`: nothing, it is an
/// application's.
pub(crate) fn told(headers: &HeaderMap) -> Option<Reason> {
    let code = headers.get(HEADER_FAILURE)?;
    Some(match code.to_str().ok().and_then(Reason::by_code) {
        Some(Reason::Denied) => Reason::DeniedUpstream,
        // What is safe to repeat is said by REFUSED_STREAM, never by an answer.
        Some(reason) if reason.row().retry != Retry::Safe => reason,
        _ => Reason::UpstreamReset,
    })
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
pub(crate) enum ResponseFormat {
    /// Ordinary HTTP.
    Http,
    /// gRPC: errors are trailers-only responses with status 200.
    Grpc,
    /// gRPC-Web: the same, and all that comes from a backend of gRPC is translated.
    GrpcWeb {
        /// How its request is written.
        asked: WebForm,
        /// How its answer is to be.
        answer: WebForm,
    },
}

impl Failure {
    /// The reply to this failure. A reason that is safe to repeat becomes `REFUSED_STREAM` between proxies,
    /// so that the caller's proxy may try any method elsewhere.
    pub(crate) fn reply(&self, to: ReplyTo, response_format: ResponseFormat) -> Reply {
        let row = self.reason.row();
        if to == ReplyTo::Proxy && row.retry == Retry::Safe {
            return Reply::Reset(ResetCode::RefusedStream);
        }
        let Ok(status) = StatusCode::from_u16(row.status) else {
            // Status 0 in the table: nothing may be said any more.
            return Reply::Reset(ResetCode::Cancel);
        };
        let mut response = match response_format {
            ResponseFormat::Http => self.plain(status),
            ResponseFormat::Grpc => self.grpc(row.grpc, HeaderValue::from_static("application/grpc")),
            ResponseFormat::GrpcWeb { answer: WebForm::Binary, .. } => {
                self.grpc(row.grpc, HeaderValue::from_static("application/grpc-web+proto"))
            }
            ResponseFormat::GrpcWeb { answer: WebForm::Text, .. } => {
                self.grpc(row.grpc, HeaderValue::from_static("application/grpc-web-text+proto"))
            }
        };
        if to == ReplyTo::Proxy {
            response.headers_mut().insert(HEADER_FAILURE, HeaderValue::from_static(row.code));
        }
        Reply::Response(response)
    }

    fn plain(&self, status: StatusCode) -> Response<Body> {
        let text = match self.reason {
            // Istio's text, which people search for.
            Reason::Denied | Reason::DeniedUpstream => "RBAC: access denied",
            other => other.row().code,
        };
        let mut response = Response::new(Body::full(text));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        if self.reason == Reason::BadRequest {
            // Who sends what has no reading, or several, may mean something else with what comes next (HTTP/1).
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn grpc(&self, code: u8, content_type: HeaderValue) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, content_type);
        headers.insert("grpc-status", HeaderValue::from(u16::from(code)));
        headers.insert("grpc-message", HeaderValue::from_static(self.reason.row().code));
        response
    }
}
