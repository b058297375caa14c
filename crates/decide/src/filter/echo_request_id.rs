//! The request's id in its response (Envoy's `always_set_request_id_in_response`).

use super::{Filter, HeaderEdits, Patterns};
use crate::RequestView;
use crate::request::first_value;
use model::filter::EchoRequestId;

const X_REQUEST_ID: &str = "x-request-id";

impl Filter for EchoRequestId {
    fn on_response(&self, request: &RequestView<'_>, _patterns: &Patterns, response: &mut dyn HeaderEdits) {
        let id = first_value(request.headers, X_REQUEST_ID).and_then(|id| String::from_utf8(id).ok());
        if let Some(id) = id {
            response.set(X_REQUEST_ID, &id);
        }
    }
}
