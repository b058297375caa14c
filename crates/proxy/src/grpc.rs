//! Calls of gRPC, as far as a proxy has to know of them.

pub(crate) mod web;

use codec::Body;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Request};
use model::Reason;
use std::time::Duration;
use tokio::time::Instant;

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// One call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GrpcCall {
    /// What is left of the time that its caller gave it; `None`: it has as much as it likes.
    pub(crate) left: Option<Duration>,
}

impl GrpcCall {
    /// Of a request that came so long ago.
    ///
    /// # Errors
    /// [`Reason::GrpcTimeout`]: its time is over.
    pub(crate) fn read(headers: &HeaderMap, ago: impl FnOnce() -> Duration) -> Result<Self, Reason> {
        let asked = headers.get(GRPC_TIMEOUT).and_then(|value| decide::grpc::timeout(value.as_bytes()));
        let left = asked.map(|asked| asked.checked_sub(ago()).ok_or(Reason::GrpcTimeout)).transpose()?;
        Ok(Self { left })
    }

    /// Tells in `request` how long it may take, if it is a call and somebody limits it.
    #[inline]
    pub(crate) fn timed(
        call: Option<Self>,
        until: Option<Instant>,
        mut request: Request<Body>,
    ) -> Request<Body> {
        if let (Some(_), Some(until)) = (call, until) {
            let left = decide::grpc::timeout_value(until.saturating_duration_since(Instant::now()));
            if let Ok(value) = HeaderValue::try_from(left) {
                request.headers_mut().insert(GRPC_TIMEOUT, value);
            }
        }
        request
    }
}
