//! Header edits (Gateway API `HTTPHeaderFilter`): set, add, remove, in this order.

use super::{Filter, HeaderEdits, Matched, RequestHead, Verdict};
use crate::RequestView;
use model::Reason;
use model::filter::{HeaderEdit, RequestHeaders, ResponseHeaders};

impl Filter for RequestHeaders {
    fn on_request(&self, _at: &Matched, request: &mut dyn RequestHead) -> Result<Verdict, Reason> {
        apply(&self.0, request.headers());
        Ok(Verdict::Continue)
    }
}

impl Filter for ResponseHeaders {
    fn on_response(&self, _request: &RequestView<'_>, response: &mut dyn HeaderEdits) {
        apply(&self.0, response);
    }
}

fn apply(edit: &HeaderEdit, headers: &mut dyn HeaderEdits) {
    for (name, value) in &edit.set {
        headers.set(name, value);
    }
    for (name, value) in &edit.add {
        headers.add(name, value);
    }
    for name in &edit.remove {
        headers.remove(name);
    }
}
