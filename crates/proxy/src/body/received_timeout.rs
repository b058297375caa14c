//! A request body that must have come by a point in time (Envoy's `request_timeout`), however fast it comes.

use bytes::Bytes;
use codec::{Body, BodyError};
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// A body that breaks off when its time is over, which is told.
pub(crate) struct ReceivedTimeout<F> {
    body: Body,
    timer: Pin<Box<Sleep>>,
    told: F,
}

impl<F: Fn() + Unpin + 'static> ReceivedTimeout<F> {
    /// `body`, if it ends within `time` from now; when it does not, `told` is called.
    pub(crate) fn body(body: Body, time: Duration, told: F) -> Body {
        // Nobody is waited for.
        if body.is_end_stream() || body.full_len().is_some() {
            return body;
        }
        let budget = body.budget().cloned();
        Body::boxed(Self { body, timer: Box::pin(sleep(time)), told }).charged_to(budget)
    }
}

impl<F: Fn() + Unpin> http_body::Body for ReceivedTimeout<F> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        // Its end counts, even if it comes at the last moment.
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx)
            && (frame.is_none() || !this.timer.is_elapsed())
        {
            return Poll::Ready(frame);
        }
        if this.timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        (this.told)();
        Poll::Ready(Some(Err(BodyError::Other("the request took too long to come".into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
