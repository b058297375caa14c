//! Interim responses to the request at hand.

use std::rc::Rc;

use http::Response;

use super::line::ServerLine;
use crate::http1::write::put_interim;

/// Where those to one request are written.
pub(crate) struct InterimLine {
    line: Rc<ServerLine>,
    /// Which request.
    request: u64,
}

impl InterimLine {
    pub(super) fn new(line: &Rc<ServerLine>, request: u64) -> Self {
        InterimLine { line: Rc::clone(line), request }
    }

    /// Writes one, if that request still waits for its response.
    pub(crate) fn send(&self, head: &Response<()>) {
        let mut state = self.line.0.borrow_mut();
        if state.takes_interims_of == Some(self.request) && !state.wire.output.is_full() {
            put_interim(head, &mut state.wire.output);
            state.wake_server();
        }
    }
}
