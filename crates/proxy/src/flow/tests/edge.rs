//! The gateway for callers from outside, with plain backends.

use super::bed::{Application, Proxy, endpoints, fresh_ip, get, plain, service, story};
use crate::testing::host;
use codec::Body;
use http::{Request, Response};
use identity::Identity;
use model::authz::Cidr;
use model::filter::{
    DirectResponse, EchoRequestId, FilterConfig, HeaderEdit, PathRewrite, Redirect, RequestHeaders,
    ResponseHeaders, Rewrite,
};
use model::listener::{Gateway, GatewayListener, ListenerProtocol};
use model::route::{Parent, PathMatch, RetryPolicy, RouteBackend, RouteMatch, RouteRule};
use model::service::Protocol;
use model::settings::{EscapedSlashesAction, Normalization, PathNormalization};
use model::{MeshSettings, ObjectRef, Origin, Resource, ResourceKey};
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn parent() -> Parent {
    Parent::Gateway { namespace: "default".into(), name: "edge".into(), listener: "".into() }
}

pub(super) fn rule(index: u32, prefix: &str) -> RouteRule {
    let matches = RouteMatch { path: PathMatch::Prefix(prefix.into()), ..RouteMatch::default() };
    let origin = Origin { object: ObjectRef::new("HTTPRoute", "default", "shop"), file: "".into(), line: 0 };
    RouteRule {
        index,
        matches: vec![matches],
        backends: vec![RouteBackend::new(Some(host(super::bed::SERVICE)), 80, 1)],
        ..RouteRule::new(parent(), origin)
    }
}

pub(super) fn edge(rules: Vec<RouteRule>, backends: &[SocketAddr]) -> Proxy {
    Proxy::new("west", Identity::new(Vec::new()), edge_resources(rules, backends))
}

/// A gateway with one listener at port 80 and these rules.
pub(super) fn edge_resources(rules: Vec<RouteRule>, backends: &[SocketAddr]) -> Vec<(ResourceKey, Resource)> {
    let listener = GatewayListener {
        name: "http".into(),
        port: 80,
        protocol: ListenerProtocol::Http,
        host: None,
        address: None,
        tls: None,
        client: None,
    };
    let gateway = Gateway { namespace: "default".into(), name: "edge".into(), listeners: vec![listener] };
    let mut resources = vec![
        (ResourceKey::Gateway("default".into(), "edge".into()), Resource::Gateway(gateway)),
        service(Protocol::Http1),
        endpoints(backends.iter().copied().map(plain).collect()),
    ];
    for rule in rules {
        let key = ResourceKey::Rule {
            parent: parent(),
            route: model::ObjectRef::new("HTTPRoute", "default", "shop"),
            index: rule.index,
        };
        resources.push((key, Resource::Rule(rule.into())));
    }
    resources
}

#[test]
fn many_requests_share_one_connection_and_carry_clean_headers() {
    story(async {
        let application = Application::named(fresh_ip(), "shop");
        let proxy = edge(vec![rule(0, "")], &[application.address]);
        let mut caller = proxy.enter().await;
        for _ in 0..10 {
            let request = Request::get("http://shop.example/x/../y?z=1")
                .header("host", "shop.example")
                .header("connection", "x-private")
                .header("x-private", "1")
                .header("x-leno-destination", "10.0.0.1:80")
                .body(Body::empty())
                .unwrap();
            let response = caller.send(request).await;
            assert_eq!((response.status().as_u16(), response.body().as_str()), (200, "shop"));
            assert_eq!(response.headers()["x-asked"], "GET /y?z=1");
            let mut names: Vec<_> = response.headers()["x-names"].to_str().unwrap().split(' ').collect();
            names.sort_unstable();
            assert_eq!(names, ["host", "x-forwarded-for", "x-forwarded-proto", "x-request-id"]);
        }
        assert_eq!(application.connections.get(), 1);
        let lines = proxy.logged();
        assert_eq!(lines.len(), 10);
        assert_eq!(
            (&lines[0]["route_name"], &lines[0]["bytes_sent"]),
            (&"default/shop".into(), &4.into()),
            "{}",
            lines[0]
        );
    });
}

#[test]
fn rules_redirect_rewrite_and_edit() {
    story(async {
        let application = Application::named(fresh_ip(), "shop");
        let mut moved = rule(0, "/old");
        let path = Some(PathRewrite::Prefix("/new".into()));
        moved.backends.clear();
        let to = Redirect { path: path.clone(), status: 301, ..Redirect::default() };
        moved.filters = vec![FilterConfig::Redirect(to)];
        let mut edited = rule(1, "/api");
        let set = |name: &str| HeaderEdit { set: vec![(name.into(), "yes".into())], ..HeaderEdit::default() };
        edited.filters = vec![
            FilterConfig::Rewrite(Rewrite { hostname: None, path }),
            FilterConfig::RequestHeaders(RequestHeaders(set("x-asked-for"))),
            FilterConfig::ResponseHeaders(ResponseHeaders(set("x-answered"))),
        ];
        let proxy = edge(vec![moved, edited], &[application.address]);
        let mut caller = proxy.enter().await;
        let response = caller.get("/old/a").await;
        assert_eq!(response.status(), 301);
        assert!(
            response.headers()["location"].to_str().unwrap().ends_with("/new/a"),
            "{:?}",
            response.headers()
        );
        let response = caller.get("/api/b").await;
        assert_eq!(response.headers()["x-asked"], "GET /new/b");
        assert!(response.headers()["x-names"].to_str().unwrap().contains("x-asked-for"));
        assert_eq!(response.headers()["x-answered"], "yes");
        assert_eq!(caller.get("/nowhere").await.status(), 404);
        assert_eq!(caller.get("/api/%2e%2e%2fx").await.status(), 400);
    });
}

#[test]
fn a_response_carries_the_id_of_its_request_where_a_rule_says_so() {
    story(async {
        let application = Application::named(fresh_ip(), "shop");
        let mut echoed = rule(0, "/echoed");
        echoed.filters = vec![FilterConfig::EchoRequestId(EchoRequestId {})];
        let proxy = edge(vec![echoed, rule(1, "/")], &[application.address]);
        let mut caller = proxy.enter().await;
        let (made, silent) = (caller.get("/echoed").await, caller.get("/other").await);
        assert!(!silent.headers().contains_key("x-request-id"), "{:?}", silent.headers());
        let logged = proxy.logged();
        assert_eq!(made.headers()["x-request-id"].to_str().unwrap(), logged[0]["request_id"]);
        let request = Request::get("/echoed").header("host", "shop.example").header("x-request-id", "mine");
        let kept = caller.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(kept.headers()["x-request-id"], "mine");
    });
}

#[test]
fn a_rule_answers_by_itself() {
    story(async {
        let application = Application::named(fresh_ip(), "shop");
        let mut closed = rule(0, "/closed");
        let body = "back at noon";
        closed.filters =
            vec![FilterConfig::DirectResponse(DirectResponse { status: 503, body: body.into() })];
        let proxy = edge(vec![closed, rule(1, "/")], &[application.address]);
        let mut caller = proxy.enter().await;
        let response = caller.get("/closed/a").await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (503, &"text/plain".parse().unwrap())
        );
        assert_eq!(response.body(), body);
        assert_eq!(application.connections.get(), 0, "no backend is asked");
        assert_eq!(caller.get("/open").await.status(), 200, "the connection goes on");
    });
}

#[test]
fn a_rule_retries_on_its_codes_and_gives_up_in_time() {
    story(async {
        let count = Rc::new(Cell::new(0));
        let counter = Rc::clone(&count);
        let application = Application::start(fresh_ip(), move |_| {
            counter.set(counter.get() + 1);
            let status = if counter.get() < 3 { 503 } else { 200 };
            Response::builder().status(status).body(Body::empty()).unwrap()
        });
        let mut again = rule(0, "");
        again.retry = Some(Box::new(RetryPolicy {
            attempts: 3,
            codes: vec![503],
            backoff: Duration::from_millis(1),
            ..RetryPolicy::default()
        }));
        let proxy = edge(vec![again], &[application.address]);
        let mut caller = proxy.enter().await;
        assert_eq!(caller.get("/").await.status(), 200);
        assert_eq!(count.get(), 3);
    });
}

#[test]
fn a_silent_backend_meets_the_rules_timeout() {
    story(async {
        // Accepted by the kernel, never answered.
        let listener = std::net::TcpListener::bind((fresh_ip(), 0)).unwrap();
        let mut timed = rule(0, "");
        timed.request_timeout = Some(Duration::from_millis(50));
        let proxy = edge(vec![timed], &[listener.local_addr().unwrap()]);
        let mut caller = proxy.enter().await;
        assert_eq!(caller.get("/").await.status(), 504);
        assert_eq!(proxy.logged()[0]["response_flags"], "UT");
    });
}

#[test]
fn a_backend_that_is_gone_is_passed_over() {
    story(async {
        let ip = fresh_ip();
        let gone = Application::nobody(ip).await;
        let application = Application::named(ip, "shop");
        let proxy = edge(vec![rule(0, "")], &[gone, application.address]);
        let mut caller = proxy.enter().await;
        for _ in 0..10 {
            assert_eq!(caller.send(get("/")).await.body(), "shop");
        }
        assert!(
            proxy.entry().states.is_ejected(0, proxy.worker.uptime.now_ms())
                || proxy.entry().states.health(0).failures() == 0
        );
    });
}

/// A server may close an idle connection at the moment when the next request is on its way.
#[test]
fn a_connection_closed_by_the_server_costs_no_request() {
    story(async {
        let application = Application::start(fresh_ip(), |_| {
            Response::builder().header("connection", "close").body(Body::full("bye")).unwrap()
        });
        let proxy = edge(vec![rule(0, "")], &[application.address]);
        let mut caller = proxy.enter().await;
        for _ in 0..5 {
            assert_eq!(caller.get("/").await.body(), "bye");
        }
        assert_eq!(application.connections.get(), 5);
    });
}

/// The body of an answer to HEAD is never sent; that is no caller who went away.
#[test]
fn an_own_answer_to_head_keeps_its_reason() {
    story(async {
        let proxy = edge(Vec::new(), &[]);
        let head = || Request::head("http://shop.example/").header("host", "shop.example");
        let mut caller = proxy.enter().await;
        let mut request = head().body(Body::empty()).unwrap();
        *request.uri_mut() = "/".parse().unwrap();
        assert_eq!(caller.send(request).await.status(), 404);
        let (sender, connection) =
            codec::http2::connect(proxy.enter_raw(), &codec::ClientOptions::default()).await.unwrap();
        tokio::task::spawn_local(connection);
        assert_eq!(sender.send(head().body(Body::empty()).unwrap()).await.unwrap().status(), 404);
        let lines = proxy.logged();
        let flags: Vec<_> = lines.iter().map(|line| line["response_flags"].as_str().unwrap()).collect();
        assert_eq!(flags, ["NR", "NR"], "{lines:?}");
    });
}

/// How long an idle connection at the edge stays open after its first response.
fn idle_for(resources: Vec<(ResourceKey, Resource)>) -> Duration {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let proxy = edge(Vec::new(), &[]);
        proxy.apply(resources);
        let mut caller = proxy.enter_raw();
        caller.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut answer = [0; 4096];
        let count = caller.read(&mut answer).await.unwrap();
        assert!(answer[..count].starts_with(b"HTTP/1.1 404"));
        let begun = tokio::time::Instant::now();
        assert_eq!(caller.read(&mut answer).await.unwrap(), 0);
        begun.elapsed()
    })
}

#[test]
fn an_idle_connection_outlives_a_load_balancers_and_can_be_set() {
    assert_eq!(idle_for(Vec::new()).as_secs(), 620);
    let mut settings = MeshSettings::default();
    settings.http.idle_timeout = Duration::from_secs(90);
    assert_eq!(idle_for(vec![(ResourceKey::Settings, Resource::Settings(settings))]).as_secs(), 90);
}

fn settings(normalization: Normalization, escaped_slashes: EscapedSlashesAction) -> (ResourceKey, Resource) {
    let path = PathNormalization { normalization, escaped_slashes };
    (ResourceKey::Settings, Resource::Settings(MeshSettings { path, ..MeshSettings::default() }))
}

/// What the application and, at `/old`, the caller learn about the caller (`192.0.2.7`) and how; the log too.
async fn told(proxy: &Proxy) -> [String; 3] {
    let ask = |path: &str| {
        let mut request = get(path);
        for (name, value) in [
            ("x-forwarded-for", "6.6.6.6, 1.1.1.1"),
            ("x-forwarded-proto", "https"),
            ("x-real-ip", "6.6.6.6"),
            ("x_forwarded_for", "6.6.6.6"),
        ] {
            request.headers_mut().append(name, value.parse().unwrap());
        }
        request
    };
    let mut caller = proxy.enter().await;
    let seen = caller.send(ask("/")).await.into_body();
    let location = caller.send(ask("/old")).await.headers()["location"].to_str().unwrap().to_owned();
    let logged = proxy.logged().last().unwrap()["downstream_remote_address"].as_str().unwrap().to_owned();
    [seen, location, logged]
}

#[test]
fn a_caller_is_told_of_by_trusted_proxies_only() {
    let here = ["192.0.2.7|http|2", "http://shop.example/old", "192.0.2.7:4321"];
    let there = ["6.6.6.6, 1.1.1.1, 192.0.2.7|https|2", "https://shop.example/old", "1.1.1.1:0"];
    let cidrs = |blocks: &[&str]| blocks.iter().map(|block| Cidr::parse(block).unwrap()).collect();
    for (hops, blocks, expected) in [
        (0, vec![], here),
        (1, vec![], there),
        (0, cidrs(&["192.0.2.0/24"]), there),
        (0, cidrs(&["192.0.3.0/24", "1.1.1.1"]), here),
    ] {
        story(async move {
            let application = Application::start(fresh_ip(), |request| {
                let value = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
                let is_claim = |name: &&http::HeaderName| {
                    let name = name.as_str();
                    name.starts_with("x-forwarded") || name.starts_with("x_") || name == "x-real-ip"
                };
                let claims = request.headers().keys().filter(is_claim).count();
                let text = format!("{}|{}|{claims}", value("x-forwarded-for"), value("x-forwarded-proto"));
                Response::new(Body::full(text))
            });
            let mut moved = rule(1, "/old");
            let to = Redirect { status: 301, ..Redirect::default() };
            moved.filters = vec![FilterConfig::Redirect(to)];
            let proxy = edge(vec![rule(0, ""), moved], &[application.address]);
            let mut settings = MeshSettings::default();
            settings.http.xff_num_trusted_hops = hops;
            settings.http.xff_trusted_cidrs = blocks;
            proxy.apply(vec![(ResourceKey::Settings, Resource::Settings(settings))]);
            assert_eq!(told(&proxy).await, expected);
        });
    }
}

/// Status and what the application was asked for, or where the caller was sent.
async fn ask(proxy: &Proxy, path: &str) -> (u16, String) {
    let response = proxy.enter().await.get(path).await;
    let told = response.headers().get("x-asked").or(response.headers().get("location"));
    (response.status().as_u16(), told.map_or("", |value| value.to_str().unwrap()).replace("GET ", ""))
}

#[test]
fn a_path_goes_on_as_it_came_unless_rules_read_it_differently() {
    story(async {
        let application = Application::named(fresh_ip(), "shop");
        let proxy = edge(vec![rule(0, ""), rule(1, "/api")], &[application.address]);
        for path in
            ["/cart;id=8F2A/x", "/group%2fproject", "/a//b", "/100%25ab", "/%28x%29+", "/api/a%2Fb;c//"]
        {
            assert_eq!(ask(&proxy, path).await, (200, path.to_owned()));
        }
        for path in ["/api;x/y", "/api%2Fx", "//api", "/x/..%2fapi", "/api%3Fx", "/%2561pi", "/api/..%2f"] {
            assert_eq!(ask(&proxy, path).await.0, 400, "{path}");
        }
        let lines = proxy.logged();
        assert_eq!(lines.last().unwrap()["response_code_details"], "path_is_ambiguous");
    });
}

#[test]
fn the_mesh_says_how_paths_are_normalised() {
    story(async {
        let application = Application::named(fresh_ip(), "shop");
        let proxy = edge(vec![rule(0, ""), rule(1, "/api")], &[application.address]);
        let path = "/x%2Fy//z/../%61";
        for (normalization, expected) in [
            (Normalization::None, "/x%2Fy//z/../%61"),
            (Normalization::Base, "/x%2Fy//a"),
            (Normalization::MergeSlashes, "/x%2Fy/a"),
            (Normalization::DecodeAndMergeSlashes, "/x/y/a"),
        ] {
            proxy.apply(vec![settings(normalization, EscapedSlashesAction::KeepUnchanged)]);
            assert_eq!(ask(&proxy, path).await, (200, expected.to_owned()));
        }
        proxy.apply(vec![settings(Normalization::Base, EscapedSlashesAction::RejectRequest)]);
        assert_eq!(ask(&proxy, path).await.0, 400);
        proxy.apply(vec![settings(Normalization::Base, EscapedSlashesAction::UnescapeAndForward)]);
        assert_eq!(ask(&proxy, path).await, (200, "/x/y//a".to_owned()));
        proxy.apply(vec![settings(Normalization::Base, EscapedSlashesAction::UnescapeAndRedirect)]);
        assert_eq!(ask(&proxy, "/x%2Fy?a=%2F").await, (307, "/x/y?a=%2F".to_owned()));
        assert_eq!(ask(&proxy, "/%2fevil.example/").await, (307, "/.//evil.example/".to_owned()));
        let call = Request::post("/a%2Fb").header("host", "a").header("content-type", "application/grpc");
        let response = proxy.enter().await.send(call.body(Body::empty()).unwrap()).await;
        assert_ne!(response.headers().get("grpc-status").unwrap(), "0");
    });
}

#[test]
fn a_rewrite_changes_the_prefix_and_nothing_else_and_lets_nobody_out() {
    story(async {
        let application = Application::named(fresh_ip(), "shop");
        let mut all = rule(0, "");
        let rewrite =
            |prefix: &str| Rewrite { hostname: None, path: Some(PathRewrite::Prefix(prefix.into())) };
        all.filters = vec![FilterConfig::Rewrite(rewrite("/v1"))];
        let mut cut = rule(1, "/äpi");
        cut.filters = vec![FilterConfig::Rewrite(rewrite("/"))];
        let proxy = edge(vec![all, cut], &[application.address]);
        for (path, expected) in [
            ("/x%2Fy;z", "/v1/x%2Fy;z"),
            ("//x", "/v1//x"),
            ("/%c3%a4pi/a%2Fb//c%28", "/a%2Fb//c%28"),
            ("/%C3%A4pi", "/"),
        ] {
            assert_eq!(ask(&proxy, path).await, (200, expected.to_owned()));
        }
        for path in ["/..%2Fadmin", "/..;/admin", "/%252e%252e/admin", "/x/..%2f..%2fadmin"] {
            assert_eq!(ask(&proxy, path).await.0, 400, "{path}");
        }
    });
}

/// Who cannot be understood may mean something else with what comes next.
#[test]
fn a_host_without_a_reading_ends_the_connection() {
    story(async {
        let application = Application::named(fresh_ip(), "shop");
        let proxy = edge(vec![rule(0, "")], &[application.address]);
        for host in ["a:99999", "[::1", "a:", ":80", "[a]b", "a:80:80", "..", "a..b", "127.1"] {
            let mut caller = proxy.enter_raw();
            let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n");
            caller.write_all(request.repeat(2).as_bytes()).await.unwrap();
            let mut answer = String::new();
            caller.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("connection: close"), "{answer}");
            assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
        }
        assert_eq!(application.connections.get(), 0);
    });
}
