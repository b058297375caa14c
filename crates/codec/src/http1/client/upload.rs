//! Writing a request: by who sends it until its response begins, and then by the watcher.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::Body as _;

use super::line::{ClientLine, Upload};
use crate::BodyError;
use crate::http1::write::CutShort;

/// Pieces that are written in one turn, so that others get theirs.
const PIECES_PER_TURN: usize = 32;

/// Why a request was not written to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum UploadFault {
    /// Its sender failed.
    #[error("body of the request broke off")]
    Body(#[source] BodyError),
    /// It is shorter than it said.
    #[error("request not complete")]
    CutShort(#[source] CutShort),
    /// The upstream takes nothing any more. It may have answered before.
    #[error("upstream takes no more of the request")]
    Io(#[source] io::Error),
}

/// Writes what there is; ready when all is out.
pub(super) fn poll_upload(
    line: &ClientLine,
    upload: &mut Upload,
    cx: &mut Context<'_>,
) -> Poll<Result<(), UploadFault>> {
    // The line is not borrowed while the body is polled or dropped: its watch may look at the line.
    for _ in 0..PIECES_PER_TURN {
        let is_ended = upload.encoder.is_ended();
        {
            let wire = &mut line.0.borrow_mut().wire;
            if is_ended || wire.output.is_full() {
                ready!(wire.poll_flush(cx)).map_err(UploadFault::Io)?;
            }
        }
        if is_ended {
            drop(std::mem::take(&mut upload.body));
            return Poll::Ready(Ok(()));
        }
        let Poll::Ready(put) = poll_piece(line, upload, cx) else {
            ready!(line.0.borrow_mut().wire.poll_flush(cx)).map_err(UploadFault::Io)?;
            return Poll::Pending;
        };
        put?;
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// Takes one piece of the body into the output.
fn poll_piece(line: &ClientLine, upload: &mut Upload, cx: &mut Context<'_>) -> Poll<Result<(), UploadFault>> {
    let Upload { body, encoder } = upload;
    if let Some(piece) = body.take_full() {
        let output = &mut line.0.borrow_mut().wire.output;
        return Poll::Ready(encoder.put(piece, true, output).map_err(UploadFault::CutShort));
    }
    let frame = ready!(Pin::new(&mut *body).poll_frame(cx)).transpose().map_err(UploadFault::Body)?;
    let is_last = body.is_end_stream();
    let output = &mut line.0.borrow_mut().wire.output;
    let put = match frame.map(http_body::Frame::into_data) {
        None => encoder.end(output),
        Some(Ok(piece)) => encoder.put(piece, is_last, output),
        Some(Err(frame)) => match frame.into_trailers() {
            Ok(trailers) => encoder.put_trailers(&trailers, output),
            Err(_) => Ok(()),
        },
    };
    Poll::Ready(put.map_err(UploadFault::CutShort))
}
