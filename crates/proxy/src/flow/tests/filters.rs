//! Filters that wait, at their places in the order.

use super::bed::{
    Application, Authority, Proxy, SERVICE, endpoints, fresh_ip, get, in_own_network, inbound_port, native,
    service, story, wait_until,
};
use super::edge::{edge_resources, rule};
use super::mesh::deny_client;
use crate::options::Options;
use crate::testing::host;
use codec::Body;
use decide::RequestView;
use filter::{
    Chains, Context, HeaderEdits, HttpFilter, LocalReply, OutcallTarget, Pending, RequestHead, Stage, Verdict,
};
use http::{Request, Response};
use identity::Identity;
use model::authz::{Action, Condition, ConditionKey, Glob, Policy, Rule};
use model::filter::{FilterConfig, HeaderEdit, RequestHeaders};
use model::service::{Endpoint, Protocol};
use model::{ObjectRef, Origin, Reason, Resource, ResourceKey};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Asks a service who calls, as an authorization service would be asked.
#[derive(Debug)]
struct WhoIs {
    target: OutcallTarget,
}

impl HttpFilter for WhoIs {
    fn stage(&self) -> Stage {
        Stage::Authentication
    }

    fn on_request<'a>(
        &'a self,
        context: &'a Context<'a>,
        request: &'a mut dyn RequestHead,
    ) -> Pending<'a, Verdict> {
        Box::pin(async move {
            let mut token = String::new();
            request
                .view()
                .headers
                .visit("x-token", &mut |value| token.push_str(&String::from_utf8_lossy(value)));
            let asked = Request::get("/who").header("host", SERVICE).header("x-token", token);
            let asked = asked.body(Body::empty()).map_err(|_| Reason::Internal)?;
            let answer = context.outcall.call(&self.target, asked).await?;
            if answer.status() != 200 {
                return Ok(Verdict::Reply(LocalReply { status: 401, ..LocalReply::default() }));
            }
            let user = answer.into_body().collect(64).await.map_err(|_| Reason::Internal)?;
            request.headers().set("x-user", &String::from_utf8_lossy(&user));
            Ok(Verdict::Continue)
        })
    }

    fn on_response<'a>(
        &'a self,
        _: &'a Context<'a>,
        request: &'a RequestView<'a>,
        response: &'a mut dyn HeaderEdits,
    ) -> Pending<'a, ()> {
        request.headers.visit("x-user", &mut |user| response.set("x-for", &String::from_utf8_lossy(user)));
        Box::pin(std::future::ready(Ok(())))
    }
}

/// The application and the service that is asked.
fn answer(request: Request<Body>) -> Response<Body> {
    let header = |name| request.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    let (status, body) = match (request.uri().path(), &*header("x-token")) {
        ("/who", "") => (403, String::new()),
        ("/who", token) => (200, format!("user-{token}")),
        _ => (200, format!("hello {}", header("x-user"))),
    };
    Response::builder().status(status).body(Body::full(body)).unwrap()
}

/// Nobody called `user-mallory` may come in.
fn no_mallory() -> (ResourceKey, Resource) {
    let values = vec![Glob::parse("user-mallory")];
    let when = vec![Condition { key: ConditionKey::Header("x-user".into()), values, not_values: Vec::new() }];
    let object = ObjectRef::new("AuthorizationPolicy", "default", "p");
    let origin = Origin { object, file: "".into(), line: 0 };
    let rules = vec![Rule { when, ..Rule::default() }];
    let policy = Policy { origin, action: Action::Deny, rules, dry_run: false };
    let gateway = ("default".into(), "edge".into());
    let key = ResourceKey::GatewayPolicy { gateway, namespace: "default".into(), name: "p".into() };
    (key, Resource::Policy(policy))
}

#[test]
fn a_filter_asks_a_service_before_policies_are_asked_and_sees_the_response() {
    story(async {
        let application = Application::start(fresh_ip(), answer);
        let serve = |at: &str| {
            let target = OutcallTarget { host: host(at), port: 80, timeout: Duration::from_secs(10) };
            let filters = Chains::new(&[Arc::new(WhoIs { target }) as Arc<dyn HttpFilter>]).unwrap();
            let options = Options { no_capture: true, ..Options::default() };
            let mut resources = edge_resources(vec![rule(0, "")], &[application.address]);
            resources.push(no_mallory());
            Proxy::with(options, filters, fresh_ip(), "west", Identity::new(Vec::new()), resources)
        };
        let proxy = serve(SERVICE);
        let mut caller = proxy.enter().await;
        let mut ask = async |token: &'static str| {
            let mut request = get("/");
            request.headers_mut().insert("x-token", token.parse().unwrap());
            let response = caller.send(request).await;
            let of = response.headers().get("x-for").map_or("", |value| value.to_str().unwrap()).to_owned();
            (response.status().as_u16(), of, response.into_body())
        };
        assert_eq!(ask("ann").await, (200, "user-ann".into(), "hello user-ann".into()));
        assert_eq!(ask("").await, (401, String::new(), String::new()));
        assert_eq!(ask("mallory").await.0, 403, "policies see what the filter found");
        let lines = proxy.logged();
        assert_eq!(lines.len(), 3, "its calls are no requests of the caller: {lines:?}");
        assert_eq!((&lines[0]["attempts"], &lines[1]["attempts"]), (&1.into(), &0.into()));
        let alone = serve("nowhere.example");
        let response = alone.enter().await.get("/").await;
        assert_eq!(response.status(), 500, "a server that cannot be asked lets nobody in");
        assert_eq!(alone.logged()[0]["response_code_details"], "filter_failed");
    });
}

/// Answers with what it sees of a header.
#[derive(Debug)]
struct Tell(Stage);

impl HttpFilter for Tell {
    fn stage(&self) -> Stage {
        self.0
    }

    fn on_request<'a>(
        &'a self,
        _: &'a Context<'a>,
        request: &'a mut dyn RequestHead,
    ) -> Pending<'a, Verdict> {
        let mut seen = String::new();
        request.view().headers.visit("x-rule", &mut |value| seen.push_str(&String::from_utf8_lossy(value)));
        let reply = LocalReply { status: 418, body: seen.into(), ..LocalReply::default() };
        Box::pin(std::future::ready(Ok(Verdict::Reply(reply))))
    }
}

/// `filter::ORDER` says it, the stories do it: of two stages that would both end a request, the earlier one does.
#[test]
fn stages_run_in_the_order_of_the_table() {
    story(async {
        let application = Application::start(fresh_ip(), answer);
        let serve = |stage: Option<Stage>, deny: bool| {
            let tell = stage.map(|stage| Arc::new(Tell(stage)) as Arc<dyn HttpFilter>);
            let filters = Chains::new(&Vec::from_iter(tell)).unwrap();
            let options = Options { no_capture: true, ..Options::default() };
            let mut ruled = rule(0, "/ruled");
            let set = vec![("x-rule".into(), "edited".into())];
            ruled.filters =
                vec![FilterConfig::RequestHeaders(RequestHeaders(HeaderEdit { set, ..Default::default() }))];
            let mut resources = edge_resources(vec![ruled], &[application.address]);
            if deny {
                let (key, Resource::Policy(policy)) = no_mallory() else { unreachable!() };
                let policy = Policy { rules: vec![Rule::default()], ..policy };
                resources.push((key, Resource::Policy(policy)));
            }
            Proxy::with(options, filters, fresh_ip(), "west", Identity::new(Vec::new()), resources)
        };
        let (first, last) = (Some(Stage::Authentication), Some(Stage::BeforeUpstream));
        for (before, filter, deny, path, expected) in [
            (Stage::Hygiene, first, true, "/a%5cb", (400, "")),
            (Stage::Authentication, first, true, "/ruled", (418, "")),
            (Stage::Authorization, last, true, "/nowhere", (403, "")),
            (Stage::Route, last, false, "/nowhere", (404, "")),
            (Stage::RuleFilters, last, false, "/ruled", (418, "edited")),
        ] {
            let proxy = serve(filter, deny);
            let response = proxy.enter().await.get(path).await;
            let body = if response.status() == 418 { &**response.body() } else { "" };
            assert_eq!((response.status().as_u16(), body), expected, "{before:?}: {}", before.row().why);
            let logged = &proxy.logged()[0];
            let has_id = logged["request_id"].as_str().is_some_and(|id| !id.is_empty());
            assert_eq!(has_id, before != Stage::Hygiene, "{logged}: {}", Stage::RequestId.row().why);
        }
    });
}

/// Cannot tell, once the response is there.
#[derive(Debug)]
struct Broken;

impl HttpFilter for Broken {
    fn stage(&self) -> Stage {
        Stage::BeforeUpstream
    }

    fn on_request<'a>(
        &'a self,
        _: &'a Context<'a>,
        request: &'a mut dyn RequestHead,
    ) -> Pending<'a, Verdict> {
        // Framing, and what proxies tell each other, are not theirs to write.
        for name in ["content-length", "host", "x-leno-failure"] {
            request.headers().set(name, "1");
        }
        Box::pin(std::future::ready(Ok(Verdict::Continue)))
    }

    fn on_response<'a>(
        &'a self,
        _: &'a Context<'a>,
        _: &'a RequestView<'a>,
        _: &'a mut dyn HeaderEdits,
    ) -> Pending<'a, ()> {
        Box::pin(std::future::ready(Err(Reason::ConnectFailed)))
    }
}

/// The application has answered, so nothing may look as if the request could go again.
#[test]
fn a_filter_that_fails_at_a_response_fails_the_request_for_good() {
    story(async {
        let count = Rc::new(Cell::new(0));
        let counter = Rc::clone(&count);
        let application = Application::start(fresh_ip(), move |request| {
            counter.set(counter.get() + 1);
            assert_eq!(request.headers()["host"], "shop.example");
            Response::new(Body::empty())
        });
        let filters = Chains::new(&[Arc::new(Broken) as Arc<dyn HttpFilter>]).unwrap();
        let options = Options { no_capture: true, ..Options::default() };
        let resources = edge_resources(vec![rule(0, "")], &[application.address]);
        let proxy = Proxy::with(options, filters, fresh_ip(), "west", Identity::new(Vec::new()), resources);
        let response = proxy.enter().await.get("/").await;
        assert_eq!((response.status().as_u16(), count.get()), (500, 1));
        assert_eq!(proxy.logged()[0]["response_code_details"], "filter_failed");
    });
}

/// A callee with `filter`, whose application's port declares no protocol, and a client of it; requests for
/// `/private` are denied where the client speaks HTTP.
fn called(authority: &Authority, filter: impl HttpFilter + 'static, protocol: Protocol) -> (Proxy, Proxy) {
    // One of its own, lest the callee of the story before answers.
    static NEXT: AtomicU8 = AtomicU8::new(2);
    let ip = [10, 244, 0, NEXT.fetch_add(1, Ordering::Relaxed)].into();
    let of_caller = "10.244.0.1".parse().unwrap();
    let port = Application::start(ip, answer).address.port();
    let filters = Chains::new(&[Arc::new(filter) as Arc<dyn HttpFilter>]).unwrap();
    let options = Options { no_capture: true, ..Options::default() };
    let mut resources = vec![inbound_port(port, Protocol::Undeclared)];
    if protocol == Protocol::Http1 {
        resources.push(deny_client());
    }
    let callee = Proxy::with(options, filters, ip, "west", authority.identity("shop"), resources);
    callee.serve_mesh();
    let known = vec![service(protocol), endpoints(vec![Endpoint { port, ..native("west", ip) }])];
    (Proxy::at(of_caller, "west", authority.identity("client"), known), callee)
}

#[test]
fn at_the_callee_one_authenticates_before_policies_are_asked_and_another_comes_after_them() {
    in_own_network(
        "flow::tests::filters::at_the_callee_one_authenticates_before_policies_are_asked_and_another_comes_after_them",
        || {
            story(async {
                let authority = Authority::new();
                for (stage, path, expected) in [
                    (Stage::Authentication, "/private", 418),
                    (Stage::BeforeUpstream, "/private", 403),
                    (Stage::BeforeUpstream, "/", 418),
                ] {
                    let (caller, _callee) = called(&authority, Tell(stage), Protocol::Http1);
                    let status = caller.call().await.get(path).await.status().as_u16();
                    assert_eq!(status, expected, "{stage:?} {path}");
                }
            });
        },
    );
}

/// Nobody could judge what another path would lead to.
#[test]
fn at_the_callee_none_changes_the_path() {
    in_own_network("flow::tests::filters::at_the_callee_none_changes_the_path", || {
        story(async {
            let (caller, callee) = called(&Authority::new(), Elsewhere, Protocol::Http1);
            assert_eq!(caller.call().await.get("/").await.status(), 500);
            assert_eq!(callee.logged()[0]["response_code_details"], "filter_failed");
        });
    });
}

/// Sends requests to another path.
#[derive(Debug)]
struct Elsewhere;

impl HttpFilter for Elsewhere {
    fn stage(&self) -> Stage {
        Stage::BeforeUpstream
    }

    fn on_request<'a>(
        &'a self,
        _: &'a Context<'a>,
        request: &'a mut dyn RequestHead,
    ) -> Pending<'a, Verdict> {
        Box::pin(std::future::ready(request.set_path("/private").map(|()| Verdict::Continue)))
    }
}

/// Bytes that we take for opaque, and an application perhaps for a request, would pass it by.
#[test]
fn at_the_callee_one_that_fails_closed_lets_no_opaque_bytes_pass() {
    in_own_network(
        "flow::tests::filters::at_the_callee_one_that_fails_closed_lets_no_opaque_bytes_pass",
        || {
            story(async {
                let (caller, callee) = called(&Authority::new(), Tell(Stage::Authentication), Protocol::Tcp);
                let mut bytes = caller.call_tcp();
                bytes.write_all(b"\r\nGET / HTTP/1.1\r\nhost: shop\r\n\r\n").await.unwrap();
                let mut heard = Vec::new();
                let _ = bytes.read_to_end(&mut heard).await;
                assert_eq!(heard, b"");
                wait_until("the callee logs it", || !callee.logged().is_empty()).await;
                assert_eq!(callee.logged()[0]["response_code_details"], "filter_failed");
            });
        },
    );
}
