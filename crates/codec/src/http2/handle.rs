//! Handles: whoever reads or writes a stream has one, and when none is left nothing is kept of the stream; whoever
//! drives the connection has one of it.

use std::cell::RefMut;
use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::Response;

use super::connection::{Multiplexer, SharedMultiplexer};
use super::stream::ConnectionLoss;
use super::streams::StreamKey;

/// One of those who hold a stream.
pub(crate) struct StreamHandle {
    connection: SharedMultiplexer,
    key: StreamKey,
}

impl StreamHandle {
    /// Of a stream whose opening counted it.
    pub(super) fn of_opened(connection: &SharedMultiplexer, key: StreamKey) -> Self {
        StreamHandle { connection: Rc::clone(connection), key }
    }

    /// The first one of a stream that the peer opened.
    pub(super) fn of_arrived(connection: &SharedMultiplexer, key: StreamKey) -> Self {
        connection.borrow_mut().hold(key);
        Self::of_opened(connection, key)
    }

    /// Another one.
    pub(super) fn again(&self) -> Self {
        Self::of_arrived(&self.connection, self.key)
    }

    /// Where interim responses on it are written.
    pub(super) fn interims(&self) -> InterimStream {
        InterimStream { connection: Rc::clone(&self.connection), key: self.key }
    }

    pub(super) fn key(&self) -> StreamKey {
        self.key
    }

    /// The connection; not to be kept.
    pub(super) fn connection(&self) -> RefMut<'_, Multiplexer> {
        self.connection.borrow_mut()
    }

    /// Ready when the stream goes no further, or is no more.
    pub(super) fn poll_broken(&self, cx: &Context<'_>) -> Poll<()> {
        let mut connection = self.connection();
        let Some(stream) = connection.stream(self.key) else { return Poll::Ready(()) };
        stream.is_looked_at = true;
        if stream.error.is_some() {
            return Poll::Ready(());
        }
        stream.listen_as_writer(cx);
        Poll::Pending
    }
}

/// Where interim responses on a stream are written. It does not hold the stream.
pub(crate) struct InterimStream {
    connection: SharedMultiplexer,
    key: StreamKey,
}

impl InterimStream {
    /// Writes one, if the stream still waits for its response.
    pub(crate) fn send(&self, head: &Response<()>) {
        self.connection.borrow_mut().send_interim(self.key, head);
    }
}

/// Ends a connection when whoever drives it is dropped: its streams wait for nothing then.
pub(super) struct EndOnDrop(pub(super) SharedMultiplexer);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.borrow_mut().end(ConnectionLoss::Closed);
    }
}

impl Drop for StreamHandle {
    fn drop(&mut self) {
        self.connection.borrow_mut().release(self.key);
    }
}

impl fmt::Debug for StreamHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamHandle({})", self.key.id)
    }
}
