#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! Filters run in the order of the table, and fail as they say.

use super::{Chain, Misplaced};
use crate::contract::{BodyNeed, Context, HttpFilter, Outcall, OutcallTarget, Pending};
use crate::order::{FailMode, Side, Stage};
use codec::Body;
use decide::RequestView;
use decide::authz::{Facts, RemoteIp};
use decide::filter::{HeaderEdits, LocalReply, RequestHead, Verdict};
use http::{Request, Response};
use model::Reason;
use std::future::ready;
use std::sync::Arc;

/// Adds its name to a header of requests and responses, or fails, or answers.
#[derive(Debug)]
struct Named {
    name: &'static str,
    stage: Stage,
    outcome: Result<Verdict, Reason>,
    fail_mode: FailMode,
    body: BodyNeed,
}

impl HttpFilter for Named {
    fn stage(&self) -> Stage {
        self.stage
    }

    fn fail_mode(&self) -> FailMode {
        self.fail_mode
    }

    fn body(&self) -> BodyNeed {
        self.body
    }

    fn on_request<'a>(
        &'a self,
        _: &'a Context<'a>,
        request: &'a mut dyn RequestHead,
    ) -> Pending<'a, Verdict> {
        request.headers().add("seen", self.name);
        Box::pin(ready(self.outcome.clone()))
    }

    fn on_response<'a>(
        &'a self,
        _: &'a Context<'a>,
        _: &'a RequestView<'a>,
        response: &'a mut dyn HeaderEdits,
    ) -> Pending<'a, ()> {
        response.add("seen", self.name);
        Box::pin(ready(self.outcome.clone().map(|_| ())))
    }
}

fn named(name: &'static str, stage: Stage, outcome: Result<Verdict, Reason>) -> Named {
    Named { name, stage, outcome, fail_mode: FailMode::Closed, body: BodyNeed::Nothing }
}

/// What filters saw, as one text.
#[derive(Default)]
struct Seen(String);

impl HeaderEdits for Seen {
    fn set(&mut self, _: &str, _: &str) {}
    fn add(&mut self, _: &str, value: &str) {
        self.0.push_str(value);
    }
    fn remove(&mut self, _: &str) {}
}

impl RequestHead for Seen {
    fn view(&self) -> RequestView<'_> {
        RequestView { method: "GET", host: "a", path: "/", readings: &[], query: None, headers: &() }
    }
    fn set_host(&mut self, _: &str) -> Result<(), Reason> {
        Ok(())
    }
    fn set_path(&mut self, _: &str) -> Result<(), Reason> {
        Ok(())
    }
    fn headers(&mut self) -> &mut dyn HeaderEdits {
        self
    }
}

struct Nowhere;

impl Outcall for Nowhere {
    fn call<'a>(&'a self, _: &'a OutcallTarget, _: Request<Body>) -> Pending<'a, Response<Body>> {
        Box::pin(ready(Err(Reason::NoEndpoint)))
    }
}

/// Runs an edge's filters on a request, stage by stage, then on its response.
async fn run(filters: Vec<Named>) -> (Result<Verdict, Reason>, String, String) {
    let filters = filters.into_iter().map(|filter| Arc::new(filter) as Arc<dyn HttpFilter>).collect();
    let chain = Chain::new(Side::Edge, filters).unwrap();
    let facts = Facts { peer: None, peer_ip: None, remote_ip: RemoteIp::Peer, port: 80, http: None };
    let context = Context { side: Side::Edge, facts, outcall: &Nowhere };
    let (mut request, mut response) = (Seen::default(), Seen::default());
    let mut verdict = Ok(Verdict::Continue);
    for stage in [Stage::Authentication, Stage::BeforeUpstream] {
        if verdict == Ok(Verdict::Continue) {
            verdict = chain.on_request(stage, &context, &mut request).await;
        }
    }
    let answered = chain.on_response(&context, &Seen::default().view(), &mut response).await;
    let verdict = verdict.and_then(|verdict| answered.map(|()| verdict));
    (verdict, request.0, response.0)
}

#[tokio::test]
async fn requests_meet_them_in_the_order_of_the_table_and_responses_the_other_way() {
    let go = || Ok(Verdict::Continue);
    let last = named("c", Stage::BeforeUpstream, go());
    let filters =
        vec![last, named("a", Stage::Authentication, go()), named("b", Stage::Authentication, go())];
    assert_eq!(run(filters).await, (go(), "abc".into(), "cba".into()));
}

#[tokio::test]
async fn an_answer_ends_it() {
    let reply = Verdict::Reply(LocalReply { status: 401, ..LocalReply::default() });
    let (first, last) = (
        named("a", Stage::Authentication, Ok(reply.clone())),
        named("b", Stage::BeforeUpstream, Ok(Verdict::Continue)),
    );
    let (verdict, request, _) = run(vec![first, last]).await;
    assert_eq!((verdict, &*request), (Ok(reply), "a"));
}

#[tokio::test]
async fn who_cannot_tell_ends_it_or_is_passed_by() {
    let broken = || named("a", Stage::Authentication, Err(Reason::NoEndpoint));
    assert_eq!(run(vec![broken()]).await.0, Err(Reason::NoEndpoint));
    let open = Named { fail_mode: FailMode::Open, ..broken() };
    assert_eq!(run(vec![open]).await.0, Ok(Verdict::Continue));
}

#[test]
fn what_has_no_place_makes_no_chain() {
    let check = |side, filter: Named, why| {
        assert_eq!(Chain::new(side, vec![Arc::new(filter)]).unwrap_err(), why);
    };
    let at = |stage| named("a", stage, Ok(Verdict::Continue));
    check(Side::Edge, at(Stage::Hygiene), Misplaced::BuiltIn(Stage::Hygiene));
    check(Side::Application, at(Stage::Authentication), Misplaced::OtherSide(Stage::Authentication));
    let whole = Named { body: BodyNeed::Whole { bytes_max: 1024 }, ..at(Stage::BeforeUpstream) };
    check(Side::Edge, whole, Misplaced::Body(Stage::BeforeUpstream));
}
