//! gRPC-Web on the way to a backend that speaks gRPC, and back: piece by piece as it comes, nothing is collected.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use codec::{Body, BodyError};
use decide::grpc::web::{self, WebForm};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderValue, Response};
use http_body::Frame;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The first byte of a frame that has trailers for its message (gRPC, "gRPC Web").
const TRAILERS: u8 = 0x80;

/// Makes a request of gRPC-Web one of gRPC. `on_garbage` hears that a body is not the base64 that it should be.
pub(crate) fn to_grpc(
    headers: &mut HeaderMap,
    body: Body,
    asked: WebForm,
    on_garbage: impl Fn() + Unpin + 'static,
) -> Body {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(web::to_grpc);
    if let Some(content_type) = content_type.and_then(|text| HeaderValue::try_from(text).ok()) {
        headers.insert(CONTENT_TYPE, content_type);
    }
    headers.insert(TE, HeaderValue::from_static("trailers"));
    if asked == WebForm::Binary || body.is_end_stream() {
        return body;
    }
    headers.remove(CONTENT_LENGTH);
    let budget = body.budget().cloned();
    let decoding = Decoding { body, rest: BytesMut::new(), on_garbage };
    Body::boxed(decoding).charged_to(budget)
}

/// Makes the head of an answer one of gRPC-Web. `false`: it is none of gRPC, and passes as it is.
pub(crate) fn from_grpc(response: &mut Response<Body>, form: WebForm) -> bool {
    let headers = response.headers_mut();
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.and_then(|text| web::from_grpc(text, form));
    let Some(content_type) = content_type.and_then(|text| HeaderValue::try_from(text).ok()) else {
        return false;
    };
    headers.insert(CONTENT_TYPE, content_type);
    headers.remove(CONTENT_LENGTH);
    true
}

/// The body of an answer of gRPC as one of gRPC-Web. An answer without a body keeps its status in its head.
pub(crate) fn body(body: Body, form: WebForm) -> Body {
    if body.is_end_stream() { body } else { Body::boxed(Encoding { body, form, is_ended: false }) }
}

/// A request's body out of base64.
struct Decoding<F> {
    body: Body,
    /// Less than four letters.
    rest: BytesMut,
    on_garbage: F,
}

impl<F: Fn()> Decoding<F> {
    /// What `data` brings; `None`: not even one byte yet.
    fn decode(&mut self, data: &[u8]) -> Option<Result<Bytes, BodyError>> {
        self.rest.extend_from_slice(data);
        let mut letters = self.rest.split_to(self.rest.len() / 4 * 4);
        let mut decoded = Vec::with_capacity(letters.len() / 4 * 3);
        while !letters.is_empty() {
            // Each piece that its sender wrote may have its own padding.
            let padded = letters.iter().position(|letter| *letter == b'=');
            let piece = letters.split_to(padded.map_or(letters.len(), |at| (at / 4 + 1) * 4));
            if BASE64_STANDARD.decode_vec(&piece, &mut decoded).is_err() {
                return Some(Err(self.garbage()));
            }
        }
        (!decoded.is_empty()).then(|| Ok(decoded.into()))
    }

    fn garbage(&self) -> BodyError {
        (self.on_garbage)();
        BodyError::Other("no base64 in a body that should be".into())
    }
}

impl<F: Fn() + Unpin> http_body::Body for Decoding<F> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let decoding = self.get_mut();
        loop {
            let frame = match ready!(Pin::new(&mut decoding.body).poll_frame(cx)) {
                None if decoding.rest.is_empty() => return Poll::Ready(None),
                None => {
                    decoding.rest.clear();
                    return Poll::Ready(Some(Err(decoding.garbage())));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => frame,
            };
            // gRPC has no trailers in requests.
            let Ok(data) = frame.into_data() else { continue };
            if let Some(decoded) = decoding.decode(&data) {
                return Poll::Ready(Some(decoded.map(Frame::data)));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }
}

/// An answer's body with its trailers as the last frame.
struct Encoding {
    body: Body,
    form: WebForm,
    is_ended: bool,
}

impl Encoding {
    fn piece(&self, data: Bytes) -> Frame<Bytes> {
        Frame::data(match self.form {
            WebForm::Binary => data,
            WebForm::Text => BASE64_STANDARD.encode(&data).into(),
        })
    }
}

impl http_body::Body for Encoding {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let encoding = self.get_mut();
        if encoding.is_ended {
            return Poll::Ready(None);
        }
        let frame = match ready!(Pin::new(&mut encoding.body).poll_frame(cx)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            Some(Ok(frame)) => frame,
        };
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                encoding.is_ended = true;
                trailers_frame(&frame.into_trailers().unwrap_or_default())
            }
        };
        Poll::Ready(Some(Ok(encoding.piece(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_ended
    }
}

fn trailers_frame(trailers: &HeaderMap) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(TRAILERS);
    frame.put_u32(0);
    for (name, value) in trailers {
        for part in [name.as_str().as_bytes(), b":", value.as_bytes(), b"\r\n"] {
            frame.extend_from_slice(part);
        }
    }
    let len = u32::try_from(frame.len() - 5).unwrap_or(u32::MAX);
    (&mut frame[1..5]).put_u32(len);
    frame.freeze()
}

#[cfg(test)]
mod tests;
