//! Interim responses (1xx, RFC 9110 section 15.2): whom a client tells of those that come, and where a service may
//! write them. `101` never passes, for nobody changes the protocol so; `100` is said by who wants the body
//! ([`Interims::invite`]).

use std::fmt;

use http::{Response, StatusCode};

use crate::http1::InterimLine;
use crate::http2::InterimStream;

/// Is told of interim responses that come before the one that counts.
pub trait InterimSink {
    /// One has come.
    fn interim(&self, head: Response<()>);
}

/// Does not want them.
impl InterimSink for () {
    fn interim(&self, _head: Response<()>) {}
}

/// Where interim responses to one request go.
pub struct Interims(Place);

enum Place {
    Nowhere,
    Http1(InterimLine),
    Http2(InterimStream),
}

impl Interims {
    /// To nobody.
    pub fn nowhere() -> Self {
        Interims(Place::Nowhere)
    }

    pub(crate) fn http1(line: InterimLine) -> Self {
        Interims(Place::Http1(line))
    }

    pub(crate) fn http2(stream: InterimStream) -> Self {
        Interims(Place::Http2(stream))
    }

    /// Writes one, without what is for one hop. It is dropped where the client knows none (HTTP/1.0), where the
    /// response itself was given already, and where the client takes nothing at present: nobody may rely on one.
    pub fn send(&self, mut head: Response<()>) {
        if !is_forwarded(head.status()) {
            return;
        }
        crate::headers::strip_interim(head.headers_mut());
        match &self.0 {
            Place::Nowhere => {}
            Place::Http1(line) => line.send(&head),
            Place::Http2(stream) => stream.send(&head),
        }
    }
}

impl Interims {
    /// Says that the client may send its body (`100 Continue`), for a request that expects that. In HTTP/1 the server
    /// says so itself where somebody reads the body and none of it has come.
    pub fn invite(&self) {
        if let Place::Http2(stream) = &self.0 {
            let mut head = Response::new(());
            *head.status_mut() = StatusCode::CONTINUE;
            stream.send(&head);
        }
    }
}

impl fmt::Debug for Interims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Interims")
    }
}

/// Whether an interim response passes a proxy.
fn is_forwarded(status: StatusCode) -> bool {
    status.is_informational() && !matches!(status, StatusCode::CONTINUE | StatusCode::SWITCHING_PROTOCOLS)
}

#[cfg(test)]
mod tests;
