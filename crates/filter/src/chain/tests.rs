#![allow(clippy::unwrap_used)]
//! The order holds whatever the order of construction, and an answer ends it.

use super::{Chain, Run};
use crate::order::{self, ORDER, Stage};
use crate::{Answer, Context, Filter, FilterNow, Side, Verdict, Waiting};
use codec::Body;
use http::{Request, Response, request, response};
use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::task::{self, Poll, Waker};

/// Writes its name into the request and the response; answers when it is called `stop`.
struct Named(&'static str);

impl Named {
    fn see(&self, head: &mut request::Parts) -> Verdict {
        head.headers.append("seen", self.0.parse().unwrap());
        if self.0 != "stop" {
            return Verdict::Continue;
        }
        Verdict::Reply(Box::new(Answer { response: Response::new(Body::empty()), reason: None }))
    }
}

impl FilterNow for Named {
    fn on_request(&self, _: &mut Context<'_>, head: &mut request::Parts) -> Verdict {
        self.see(head)
    }

    fn on_response(&self, _: &mut Context<'_>, head: &mut response::Parts) {
        head.headers.append("seen", self.0.parse().unwrap());
    }
}

impl Filter for Named {
    fn on_request<'f>(
        &'f self,
        _: &'f mut Context<'_>,
        head: &'f mut request::Parts,
    ) -> Waiting<'f, Verdict> {
        Box::pin(async { self.see(head) })
    }
}

fn ready<T>(future: impl Future<Output = T>) -> T {
    let Poll::Ready(value) = pin!(future).poll(&mut task::Context::from_waker(Waker::noop())) else {
        unreachable!("nothing here waits")
    };
    value
}

/// Filters `given` as `stage name`, built in that order; what request and response saw.
fn check(given: &[(Stage, &'static str)], request_saw: &str, response_saw: &str) {
    let run = |name| {
        if name == "later" { Run::Later(Arc::new(Named(name))) } else { Run::Now(Arc::new(Named(name))) }
    };
    let chain = Chain::new(given.iter().map(|(stage, name)| (*stage, run(name))));
    let mut context = Context {
        side: Side::Outbound,
        peer: None,
        peer_ip: None,
        port: 80,
        rule: None,
        policies: &[],
        denied_by: None,
    };
    let (mut request, ()) = Request::new(()).into_parts();
    let (mut response, ()) = Response::new(()).into_parts();
    let (_, seen) = ready(chain.on_request(&mut context, &mut request));
    ready(chain.on_response(seen, &mut context, &mut response));
    let names = |headers: &http::HeaderMap| {
        headers.get_all("seen").iter().map(|v| v.to_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!((&*names(&request.headers), &*names(&response.headers)), (request_saw, response_saw));
}

#[test]
fn stages_decide_the_order_and_responses_pass_in_reverse() {
    check(&[(Stage::Rewrite, "c"), (Stage::Hygiene, "a"), (Stage::Authorization, "b")], "a b c", "c b a");
}

#[test]
fn filters_of_one_stage_keep_their_order() {
    check(&[(Stage::Wasm, "a"), (Stage::Hygiene, "h"), (Stage::Wasm, "b")], "h a b", "b a h");
}

#[test]
fn an_answer_ends_the_request_and_passes_back_only_through_those_who_saw_it() {
    check(&[(Stage::Hygiene, "a"), (Stage::Redirect, "stop"), (Stage::Rewrite, "never")], "a stop", "stop a");
}

#[test]
fn filters_that_wait_stand_among_those_that_do_not() {
    check(&[(Stage::Hygiene, "a"), (Stage::Inspection, "later"), (Stage::Rewrite, "b")], "a later b", "b a");
}

#[test]
fn every_stage_has_one_position_and_a_reason() {
    let stages: HashSet<_> = order::stages().collect();
    assert_eq!(stages.len(), ORDER.len());
    assert!(order::stages().is_sorted(), "the enum lists stages in the order that they have");
    assert!(ORDER.iter().all(|position| !position.why.is_empty()));
}
