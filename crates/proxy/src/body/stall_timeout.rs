//! A request body that must keep coming. Without a limit a caller from outside who stops in the middle of a
//! body, or trickles it, holds an application's attention for ever (`slowhttptest -B`).

use bytes::Bytes;
use codec::{Body, BodyError};
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// Ends one count of the longest wait and begins the next.
pub(crate) const PROGRESS_BYTES_MIN: usize = 16 * 1024;

/// A body that breaks off when its sender makes us wait for too long, if `gives_up` agrees.
pub(crate) struct StallTimeout<F> {
    body: Body,
    gives_up: F,
    /// How long the sender may keep us waiting for [`PROGRESS_BYTES_MIN`] or for the end, all waits taken together.
    /// Time in which we do not ask for more is not counted.
    wait_max: Duration,
    /// Waited for the current piece of progress, without the wait at hand.
    waited: Duration,
    /// Since when we wait.
    since: Option<Instant>,
    moved: usize,
    /// Made with the first wait; may fire too early, never too late.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<F: Fn() -> bool + Unpin + 'static> StallTimeout<F> {
    /// `body`, while it keeps coming: [`PROGRESS_BYTES_MIN`] or the end within `wait_max` of waiting. When it does
    /// not, `gives_up` is asked; unless it agrees, the count begins anew.
    pub(crate) fn body(body: Body, wait_max: Duration, gives_up: F) -> Body {
        // Nobody is waited for.
        if body.is_end_stream() || body.full_len().is_some() {
            return body;
        }
        let (waited, budget) = (Duration::ZERO, body.budget().cloned());
        let this = Self { body, gives_up, wait_max, waited, since: None, moved: 0, timer: None };
        Body::boxed(this).charged_to(budget)
    }
}

impl<F: Fn() -> bool> StallTimeout<F> {
    fn came(&mut self, len: usize) {
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed();
        }
        self.moved += len;
        if self.moved >= PROGRESS_BYTES_MIN {
            (self.moved, self.waited) = (0, Duration::ZERO);
        }
    }

    /// Ready when the timeout has passed.
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let since = *self.since.get_or_insert_with(Instant::now);
            let until = since + self.wait_max.saturating_sub(self.waited);
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if Instant::now() < until {
                timer.as_mut().reset(until);
            } else if (self.gives_up)() {
                return Poll::Ready(());
            } else {
                (self.moved, self.waited, self.since) = (0, Duration::ZERO, None);
            }
        }
    }
}

impl<F: Fn() -> bool + Unpin> http_body::Body for StallTimeout<F> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            if let Some(Ok(frame)) = &frame {
                this.came(frame.data_ref().map_or(0, Bytes::len));
            }
            return Poll::Ready(frame);
        }
        this.poll_wait(cx).map(|()| Some(Err(BodyError::Other("the sender stopped in the middle".into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
