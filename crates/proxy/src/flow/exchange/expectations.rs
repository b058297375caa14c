//! What an exchange does where its caller waits with the body (`Expect: 100-continue`): it is asked for when the
//! upstream wants it.

use super::Exchange;
use crate::body::{Expectation, Expecting};
use crate::request::Head;
use codec::Body;
use std::rc::Rc;

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

    /// The upstream wants the body.
    #[cold]
    pub(super) fn is_invited(&self) {
        if let Some(expectation) = &self.facts.borrow().expectation {
            expectation.invited();
        }
    }
}
