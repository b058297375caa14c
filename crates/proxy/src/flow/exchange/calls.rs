//! What an exchange does where its request is a call of gRPC, or of gRPC-Web.

use super::Exchange;
use crate::failure::ResponseFormat;
use crate::grpc::{GrpcCall, web};
use crate::request::Head;
use codec::Body;
use http::{HeaderMap, Response};
use model::Reason;
use std::rc::Rc;

/// Largest status that gRPC defines (UNAUTHENTICATED).
const GRPC_STATUS_MAX: u16 = 16;
/// What any other counts as.
const GRPC_UNKNOWN: u16 = 2;

impl Exchange {
    /// Makes a request of gRPC-Web one of gRPC, if it goes to a backend that speaks HTTP/2.
    pub(crate) fn translate(self: &Rc<Self>, head: &mut Head, body: Body, speaks_http2: bool) -> Body {
        let ResponseFormat::GrpcWeb { asked, answer } = self.response_format else { return body };
        if !speaks_http2 {
            return body;
        }
        self.translated.set(Some(answer));
        let exchange = Rc::clone(self);
        web::to_grpc(&mut head.headers, body, asked, move || exchange.failed(Reason::BadRequest))
    }

    /// Makes the answer to one that was translated gRPC-Web, if it is gRPC. Its body follows with
    /// [`Exchange::watch`], behind what counts and notes.
    pub(crate) fn translate_answer(&self, response: &mut Response<Body>) {
        if let Some(form) = self.translated.get()
            && !web::from_grpc(response, form)
        {
            self.translated.set(None);
        }
    }

    /// What there is to know of it where it is gRPC.
    ///
    /// # Errors
    /// [`Reason::GrpcTimeout`]: its time is over.
    pub(crate) fn grpc_call(&self, headers: &HeaderMap) -> Result<Option<GrpcCall>, Reason> {
        match self.response_format {
            ResponseFormat::Http => Ok(None),
            ResponseFormat::Grpc | ResponseFormat::GrpcWeb { .. } => {
                GrpcCall::read(headers, || self.downstream.worker.shared.clock.now() - self.clock).map(Some)
            }
        }
    }

    /// In the header of a response without a body, else in its trailers.
    pub(super) fn note_grpc_status(&self, fields: &HeaderMap) {
        if self.response_format == ResponseFormat::Http {
            return;
        }
        if let Some(status) = fields.get("grpc-status").and_then(|value| value.to_str().ok()?.parse().ok()) {
            // What the protocol does not know is UNKNOWN; a callee must not make up labels.
            self.grpc_status.set(Some(if status > GRPC_STATUS_MAX { GRPC_UNKNOWN } else { status }));
        }
    }
}
