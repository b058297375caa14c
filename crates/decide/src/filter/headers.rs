//! Header edits (Gateway API `HTTPHeaderFilter`): set, add, remove, in this order.

use super::{Filter, FilterRun, HeaderEdits, Patterns, RequestHead, Verdict};
use crate::RequestView;
use model::Reason;
use model::filter::{HeaderEdit, RequestHeaders, ResponseHeaders};

impl Filter for RequestHeaders {
    fn on_request<'f>(
        &'f self,
        request: &mut dyn RequestHead,
        _run: &mut FilterRun<'_, 'f>,
    ) -> Result<Verdict, Reason> {
        apply(&self.0, request.headers());
        Ok(Verdict::Continue)
    }
}

impl Filter for ResponseHeaders {
    fn on_response(&self, _request: &RequestView<'_>, _patterns: &Patterns, response: &mut dyn HeaderEdits) {
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
