//! What a rule's filters do to whole requests, beside what `edge` tells.

use super::bed::{Application, endpoints, fresh_ip, plain, service, story, wait_until};
use super::edge::{edge, rule};
use crate::testing::host;
use codec::Body;
use http::{Request, Response};
use model::filter::{
    AbortStatus, Cors, FaultAbort, FaultDelay, FaultInjection, FilterConfig, Fraction, HeaderEdit, Mirror,
    OriginMatch, PathRewrite, RequestHeaders, ResponseHeaders, Rewrite,
};
use model::route::RouteBackend;
use model::service::{Protocol, Service};
use model::{Reason, Resource, ResourceKey};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const NONE: Fraction = Fraction { numerator: 0, denominator: 1 };

fn fault(delay: Option<(Duration, Fraction)>, with: AbortStatus, share: Fraction) -> FilterConfig {
    FilterConfig::Fault(Box::new(FaultInjection {
        delay: delay.map(|(fixed, share)| FaultDelay { fixed, share }),
        abort: Some(FaultAbort { with, share }),
    }))
}

/// In a time of its own, which passes as soon as nobody has anything to do.
fn in_its_own_time(story: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    tokio::task::LocalSet::new().block_on(&runtime.unwrap(), story);
}

#[test]
fn faults_are_injected_and_told_by_their_flags() {
    in_its_own_time(async {
        let hour = Duration::from_secs(3600);
        let mut late = rule(0, "/late");
        late.filters = vec![fault(Some((hour, Fraction::ALL)), AbortStatus::Http(418), Fraction::ALL)];
        let mut grpc = rule(1, "/grpc");
        grpc.filters = vec![fault(None, AbortStatus::Grpc(8), Fraction::ALL)];
        let mut never = rule(2, "/never");
        never.filters = vec![fault(Some((hour, NONE)), AbortStatus::Http(418), NONE)];
        never.backends.clear();
        let proxy = edge(vec![late, grpc, never], &[]);
        let mut caller = proxy.enter().await;
        let begun = tokio::time::Instant::now();
        let response = caller.get("/late").await;
        assert_eq!((response.status().as_u16(), &**response.body()), (418, "fault filter abort"));
        assert!(begun.elapsed() >= hour);
        assert_eq!(caller.get("/grpc").await.status(), 429);
        let call = Request::post("/grpc").header("host", "a").header("content-type", "application/grpc");
        let response = caller.send(call.body(Body::empty()).unwrap()).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["grpc-status"]),
            (200, &"8".parse().unwrap())
        );
        assert_eq!(caller.get("/never").await.status(), 500);
        let lines = proxy.logged();
        let flags: Vec<_> = lines.iter().map(|line| line["response_flags"].as_str().unwrap()).collect();
        let di = Reason::DelayInjected.row().flag;
        assert_eq!(flags, [&*format!("{di},FI"), "FI", "FI", "NR"]);
        assert_eq!(lines[0]["response_code_details"], Reason::FaultInjected.row().code);
        assert!(begun.elapsed() < 2 * hour, "a share of nothing delays nothing");
    });
}

#[test]
fn a_backends_filters_are_run_for_what_goes_there_alone() {
    story(async {
        let application = Application::named(fresh_ip(), "shop");
        let set = |name: &str, value: &str| HeaderEdit {
            set: vec![(name.into(), value.into())],
            ..HeaderEdit::default()
        };
        let mut split = rule(0, "/");
        split.filters = vec![FilterConfig::ResponseHeaders(ResponseHeaders(set("x-answered", "rule")))];
        let other = RouteBackend::new(split.backends[0].host.clone(), 80, 0);
        split.backends[0].filters = [
            FilterConfig::RequestHeaders(RequestHeaders(set("x-to", "this"))),
            FilterConfig::ResponseHeaders(ResponseHeaders(set("x-answered", "backend"))),
            FilterConfig::ResponseHeaders(ResponseHeaders(set("x-from", "backend"))),
            FilterConfig::Rewrite(Rewrite { hostname: None, path: Some(PathRewrite::Full("/there".into())) }),
        ]
        .into();
        let mut elsewhere = split.clone();
        elsewhere.index = 1;
        elsewhere.matches[0].path = model::route::PathMatch::Prefix("/other".into());
        elsewhere.backends = vec![
            RouteBackend { weight: 0, ..elsewhere.backends[0].clone() },
            RouteBackend { weight: 1, ..other },
        ];
        let proxy = edge(vec![split, elsewhere], &[application.address]);
        let mut caller = proxy.enter().await;
        let response = caller.get("/a").await;
        assert_eq!(response.headers()["x-asked"], "GET /there");
        assert!(response.headers()["x-names"].to_str().unwrap().contains("x-to"));
        assert_eq!(response.headers()["x-answered"], "rule", "the rule's come last");
        assert_eq!(response.headers()["x-from"], "backend");
        let response = caller.get("/other").await;
        assert_eq!(response.headers()["x-asked"], "GET /other");
        assert!(!response.headers().contains_key("x-from"));
    });
}

#[test]
fn a_preflight_is_answered_and_a_page_may_read_what_it_asked_for() {
    story(async {
        let application = Application::named(fresh_ip(), "shop");
        let mut open = rule(0, "/");
        open.filters = vec![FilterConfig::Cors(Box::new(Cors {
            allow_origins: vec![OriginMatch::Exact("https://shop.example".into())],
            allow_methods: vec!["PUT".into()],
            allow_credentials: true,
            max_age_s: Some(7),
            ..Cors::default()
        }))];
        let proxy = edge(vec![open], &[application.address]);
        let mut caller = proxy.enter().await;
        let preflight = Request::options("/a")
            .header("host", "a")
            .header("origin", "https://shop.example")
            .header("access-control-request-method", "PUT");
        let response = caller.send(preflight.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["access-control-allow-methods"], "PUT");
        assert_eq!(response.headers()["access-control-max-age"], "7");
        assert_eq!(response.headers()["access-control-allow-origin"], "https://shop.example");
        assert_eq!(application.connections.get(), 0, "no backend is asked");
        let real = Request::get("/a").header("host", "a").header("origin", "https://shop.example");
        let response = caller.send(real.body(Body::empty()).unwrap()).await;
        assert_eq!(response.headers()["access-control-allow-credentials"], "true");
        assert_eq!(response.headers()["x-asked"], "GET /a");
    });
}

/// What an application was asked, as one line.
fn noting(seen: &Rc<RefCell<Vec<String>>>) -> Application {
    let seen = Rc::clone(seen);
    Application::start(fresh_ip(), move |request| {
        let host = request.headers()["host"].to_str().unwrap().to_owned();
        let length = request.headers().get("content-length").map_or("-", |value| value.to_str().unwrap());
        seen.borrow_mut().push(format!("{} {} {host} {length}", request.method(), request.uri().path()));
        Response::builder().status(503).body(Body::full("copied")).unwrap()
    })
}

fn mirrored(proxy: &super::bed::Proxy, outcome: &str, count: usize) -> bool {
    let text = proxy.worker.shared.observe.render(0, 0);
    text.contains(&format!("leno_mirrored_requests_total{{outcome=\"{outcome}\"}} {count}\n"))
}

#[test]
fn copies_go_to_their_service_and_their_answers_to_nobody() {
    story(async {
        let seen = Rc::<RefCell<Vec<String>>>::default();
        let copies = noting(&seen);
        let main = Application::named(fresh_ip(), "shop");
        let mut copied = rule(0, "/");
        copied.backends[0].host = Some(host("main.mesh.internal"));
        let to = host(super::bed::SERVICE);
        let mirror = |share, host_suffix: &str| {
            FilterConfig::Mirror(Mirror {
                host: to.clone(),
                port: 80,
                share,
                host_suffix: host_suffix.into(),
            })
        };
        let rewrite = Rewrite { hostname: None, path: Some(PathRewrite::Full("/new".into())) };
        copied.filters = vec![
            mirror(Fraction::ALL, "-shadow"),
            FilterConfig::Rewrite(rewrite),
            mirror(Fraction::ALL, ""),
            mirror(NONE, ""),
        ];
        let proxy = edge(vec![copied], &[copies.address]);
        let (key, Resource::Service(known)) = service(Protocol::Http1) else { panic!("no service") };
        let ResourceKey::Service(_) = key else { panic!("no service") };
        let other = host("main.mesh.internal");
        let known = Service { host: other.clone(), address: None, ..known };
        let (_, Resource::Slice(slice)) = endpoints(vec![plain(main.address)]) else { panic!("no slice") };
        let slice = model::service::EndpointSlice { host: other.clone(), ..slice };
        proxy.apply(vec![
            (ResourceKey::Service(other.clone()), Resource::Service(known)),
            (ResourceKey::Slice(other, 0), Resource::Slice(slice)),
        ]);
        let mut caller = proxy.enter().await;
        let request = Request::post("/a").header("host", "shop.example:81").header("content-length", "5");
        let response = caller.send(request.body(Body::full("hello")).unwrap()).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["x-asked"]),
            (200, &"POST /new".parse().unwrap())
        );
        wait_until("both copies are answered", || mirrored(&proxy, "answered", 2)).await;
        let mut seen = seen.borrow().clone();
        seen.sort();
        assert_eq!(seen, ["POST /new shop.example-shadow:81 5", "POST /new shop.example:81 5"]);
        assert_eq!(proxy.logged()[0]["mirrors"], 2);
    });
}

#[test]
fn a_copy_that_nobody_answers_or_that_is_too_long_harms_nothing() {
    story(async {
        let main = Application::named(fresh_ip(), "shop");
        let mut copied = rule(0, "/");
        let gone = host("gone.mesh.internal");
        copied.filters = vec![FilterConfig::Mirror(Mirror {
            host: gone,
            port: 80,
            share: Fraction::ALL,
            host_suffix: "".into(),
        })];
        let proxy = edge(vec![copied], &[main.address]);
        let mut caller = proxy.enter().await;
        assert_eq!(caller.get("/").await.status(), 200);
        wait_until("the copy failed", || mirrored(&proxy, "failed", 1)).await;
        let long =
            Request::post("/").header("host", "a").body(Body::full(vec![b'x'; (1 << 20) + 1])).unwrap();
        assert_eq!(caller.send(long).await.status(), 200);
        wait_until("the long one is not copied", || mirrored(&proxy, "dropped", 1)).await;
        // Who answered before all of it was sent closes the connection.
        let mut caller = proxy.enter().await;
        assert_eq!(caller.get("/").await.status(), 200);
        wait_until("the next one is", || mirrored(&proxy, "failed", 2)).await;
    });
}
