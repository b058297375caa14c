//! How long a request's body is waited for, and what an exchange does where its caller waits with it (`Expect:
//! 100-continue`): it is asked for when the upstream wants it.

use super::Exchange;
use crate::body::{Expectation, Expecting, ReceivedTimeout};
use crate::request::Head;
use codec::Body;
use model::Reason;
use std::rc::Rc;
use std::time::Duration;

impl Exchange {
    /// The body, which waits if its sender does.
    pub(crate) fn when_wanted(self: &Rc<Self>, head: &Head, body: Body) -> Body {
        if !head.expects_continue {
            return body;
        }
        let expectation = Rc::<Expectation>::default();
        self.facts.borrow_mut().expectation = Some(Rc::clone(&expectation));
        let exchange = Rc::clone(self);
        Expecting::body(body, expectation, move || exchange.interims.invite())
    }

    /// Waits for all of the request's body no longer than `time`, counted from now.
    pub(crate) fn with_received_timeout(self: &Rc<Self>, body: Body, time: Duration) -> Body {
        let late = Rc::clone(self);
        ReceivedTimeout::body(body, time, move || {
            if !late.is_recorded.get() {
                late.failed(Reason::RequestReceivedTimeout);
            }
        })
    }

    /// The upstream wants the body.
    #[cold]
    pub(super) fn is_invited(&self) {
        if let Some(expectation) = &self.facts.borrow().expectation {
            expectation.invited();
        }
    }
}
