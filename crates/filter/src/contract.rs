//! What a filter is that may wait. One that only computes is `decide::filter::Filter`.

use crate::order::{FailMode, Side, Stage};
use codec::Body;
use decide::RequestView;
use decide::authz::Facts;
use decide::filter::{HeaderEdits, RequestHead, Verdict};
use http::{Request, Response};
use model::{Hostname, Reason};
use std::fmt::Debug;
use std::future::{Future, ready};
use std::pin::Pin;
use std::time::Duration;

/// A filter's work. It stays on its worker's thread.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, Reason>> + 'a>>;

/// One filter, as it is configured. Workers share it.
pub trait HttpFilter: Debug + Send + Sync {
    /// Its place in [`crate::ORDER`]; only stages that are open to filters.
    fn stage(&self) -> Stage;

    /// When it cannot tell; by default as its stage.
    fn fail_mode(&self) -> FailMode {
        self.stage().row().fail_mode
    }

    /// What it needs of the request's body before [`HttpFilter::on_request`].
    fn body(&self) -> BodyNeed {
        BodyNeed::Nothing
    }

    /// Changes the request, or answers it. Before the rule is found it may edit header fields alone: host and path have
    /// been read by then. Errors say why it cannot tell; where it fails closed the request ends.
    fn on_request<'a>(
        &'a self,
        context: &'a Context<'a>,
        request: &'a mut dyn RequestHead,
    ) -> Pending<'a, Verdict>;

    /// Changes the response on its way back. `request` is as it was sent.
    fn on_response<'a>(
        &'a self,
        _context: &'a Context<'a>,
        _request: &'a RequestView<'a>,
        _response: &'a mut dyn HeaderEdits,
    ) -> Pending<'a, ()> {
        Box::pin(ready(Ok(())))
    }
}

/// What a filter needs of a body. Nothing but [`BodyNeed::Nothing`] is given yet: a chain refuses the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyNeed {
    /// It decides on the head.
    Nothing,
    /// It sees the pieces as they pass.
    Pieces,
    /// It waits for the whole, up to so many bytes; more: 413.
    Whole {
        /// Limit in bytes.
        bytes_max: usize,
    },
}

/// Where a filter runs, and by what it may ask.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Where the request is.
    pub side: Side,
    /// What is known of the caller by its connection.
    pub facts: Facts<'a>,
    /// The way to other services.
    pub outcall: &'a dyn Outcall,
}

/// A filter's call to another service, balanced and encrypted like those of applications. It is no request of theirs,
/// so it has no line in the access log and counts in no metric of requests.
pub trait Outcall {
    /// Sends a request and waits for the head of its response. Errors say why there is none.
    fn call<'a>(&'a self, to: &'a OutcallTarget, request: Request<Body>) -> Pending<'a, Response<Body>>;
}

/// Whom a filter asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutcallTarget {
    /// The service.
    pub host: Hostname,
    /// Its port.
    pub port: u16,
    /// How long its answer is waited for; then it counts as [`Reason::RequestTimeout`].
    pub timeout: Duration,
}
