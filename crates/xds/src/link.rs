//! Both ends of a control stream, whatever carries it.

use crate::proto::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use crate::status::Status;
use futures_util::{Stream, StreamExt};
use std::fmt;
use std::future::ready;
use std::pin::Pin;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

/// How the other end or the way to it failed.
pub use crate::status::Status as LinkError;

/// Messages waiting in one direction; a sender waits when they are not taken.
pub const QUEUE_MESSAGES_MAX: usize = 16;

/// Incoming messages.
pub struct Inbox<T>(Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>);

impl<T> Inbox<T> {
    pub(crate) fn new(stream: impl Stream<Item = Result<T, Status>> + Send + 'static) -> Self {
        Self(Box::pin(stream))
    }

    /// The next message; `None` when the other end closed in order. Nothing follows an error. Cancel safe.
    pub async fn recv(&mut self) -> Option<Result<T, Status>> {
        self.0.next().await
    }
}

impl<T> fmt::Debug for Inbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inbox")
    }
}

/// The client's end. Dropping it closes the stream.
#[derive(Debug)]
pub struct Link {
    /// To the control plane.
    pub tx: mpsc::Sender<DeltaDiscoveryRequest>,
    /// From the control plane.
    pub rx: Inbox<DeltaDiscoveryResponse>,
}

/// The server's end. Dropping it closes the stream in order.
#[derive(Debug)]
pub struct ServerEnd {
    /// To the client.
    pub tx: mpsc::Sender<DeltaDiscoveryResponse>,
    /// From the client.
    pub rx: Inbox<DeltaDiscoveryRequest>,
    /// How the stream is closed otherwise.
    pub closing: Closing,
}

impl ServerEnd {
    /// An end that takes `requests`, and what the client is sent.
    pub(crate) fn new(
        requests: impl Stream<Item = Result<DeltaDiscoveryRequest, Status>> + Send + 'static,
    ) -> (Self, impl Stream<Item = Result<DeltaDiscoveryResponse, Status>> + Send + 'static) {
        let (tx, closing, responses) = outbox();
        (Self { tx, rx: Inbox::new(requests), closing }, responses)
    }

    /// Closes the stream and says why, after what was sent before. Other copies of `tx` must be gone too.
    pub fn fail(self, status: Status) {
        self.closing.fail(status);
    }
}

/// The right to close a stream with a failure; dropped, it is closed in order.
#[derive(Debug)]
pub struct Closing(oneshot::Sender<Status>);

impl Closing {
    /// Says why.
    pub fn fail(self, status: Status) {
        // Nobody listens any more: fine.
        let _ = self.0.send(status);
    }
}

/// A queue towards a client: messages, then a failure if there is one.
pub(crate) fn outbox<T: Send + 'static>()
-> (mpsc::Sender<T>, Closing, impl Stream<Item = Result<T, Status>> + Send + 'static) {
    let (tx, messages) = mpsc::channel(QUEUE_MESSAGES_MAX);
    let (closing, failed) = oneshot::channel();
    let failure = futures_util::stream::once(failed).filter_map(|failed| ready(failed.ok().map(Err)));
    (tx, Closing(closing), ReceiverStream::new(messages).map(Ok).chain(failure))
}

/// Two joined ends in one process.
pub fn pair() -> (Link, ServerEnd) {
    let (request_tx, request_rx) = mpsc::channel(QUEUE_MESSAGES_MAX);
    let (server, responses) = ServerEnd::new(ReceiverStream::new(request_rx).map(Ok));
    (Link { tx: request_tx, rx: Inbox::new(responses) }, server)
}
