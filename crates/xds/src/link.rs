//! Both ends of a control stream, whatever carries it.

use crate::proto::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use crate::status::Status;
use futures_util::{Stream, StreamExt};
use std::fmt;
use std::pin::Pin;
use tokio::sync::mpsc;
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

/// The server's end. Dropping it closes the stream.
#[derive(Debug)]
pub struct ServerEnd {
    /// To the client.
    pub tx: mpsc::Sender<DeltaDiscoveryResponse>,
    /// From the client.
    pub rx: Inbox<DeltaDiscoveryRequest>,
}

/// Two joined ends in one process.
pub fn pair() -> (Link, ServerEnd) {
    let (request_tx, request_rx) = mpsc::channel(QUEUE_MESSAGES_MAX);
    let (response_tx, response_rx) = mpsc::channel(QUEUE_MESSAGES_MAX);
    let link = Link { tx: request_tx, rx: Inbox::new(ReceiverStream::new(response_rx).map(Ok)) };
    let server = ServerEnd { tx: response_tx, rx: Inbox::new(ReceiverStream::new(request_rx).map(Ok)) };
    (link, server)
}
