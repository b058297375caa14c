//! What a connection to an upstream needs beside who uses it: somebody who sees that an idle one was closed, who sends
//! the rest of a request that was answered early, and who ends the stream. For an ordinary exchange it is not woken.

use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::AsyncWriteExt;

use super::line::{ClientLine, ClientStage};
use super::upload::{UploadFault, poll_upload};

/// Watches until the connection ends.
pub(super) async fn watch(line: Rc<ClientLine>) {
    std::future::poll_fn(|cx| poll_watch(&line, cx)).await;
    let taken = line.0.borrow_mut().take_closed();
    if let Some(mut io) = taken {
        let _ = io.shutdown().await;
    }
}

/// Ready when there is nothing more to watch.
fn poll_watch(line: &ClientLine, cx: &mut Context<'_>) -> Poll<()> {
    line.0.borrow_mut().set_watcher(cx.waker());
    loop {
        let upload = {
            let mut state = line.0.borrow_mut();
            state.poll_watch(cx);
            state.upload.take()
        };
        match line.0.borrow().stage {
            ClientStage::Closed | ClientStage::Tunnel => return Poll::Ready(()),
            ClientStage::Idle | ClientStage::Busy => {}
        }
        let Some(mut upload) = upload else { return Poll::Pending };
        match poll_upload(line, &mut upload, cx) {
            Poll::Pending => {
                line.0.borrow_mut().upload = Some(upload);
                // Its body may have closed the connection while it was polled.
                if line.0.borrow().stage == ClientStage::Busy {
                    return Poll::Pending;
                }
            }
            Poll::Ready(Ok(())) => line.0.borrow_mut().end_upload(),
            Poll::Ready(Err(UploadFault::Io(error))) => line.0.borrow_mut().fall_deaf(&error),
            Poll::Ready(Err(fault)) => {
                tracing::trace!(?fault, "request not written to its end");
                line.close();
            }
        }
    }
}
