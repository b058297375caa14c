//! Other protocols: from callers of either version to applications of either version, at the edge and through the mesh.

use super::bed::{Authority, Proxy, SERVICE, SOON, endpoints, fresh_ip, plain, service, story, wait_until};
use super::edge::{edge_resources, rule};
use super::mesh::{Cluster, client, deny_client};
use super::policy::{on, policy};
use crate::accept::listen;
use codec::{Body, ClientOptions, Reply, ServerOptions, Upgrade, http1, http2};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use identity::Identity;
use model::authz::{Action, Glob, Operation, Policy, Rule};
use model::service::Protocol;
use model::{MeshSettings, Resource, ResourceKey};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::spawn_local;
use tokio::time::timeout;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// What an application answers: to `/echo` with an echo, to `/late` with a greeting before it, to `/plain` as if it
/// had not been asked, to `/no` with 403. It says what it was asked for in `x-asked`.
fn answer(request: Request<Body>, version: u8) -> Reply {
    let field = |name: &str| request.headers().get(name).map_or("-", |value| value.to_str().unwrap());
    let upgrade = request.extensions().get::<Upgrade>().cloned();
    let to = upgrade.as_ref().map_or("-", |upgrade| upgrade.protocols().to_str().unwrap());
    let key = if field("sec-websocket-key").len() == KEY.len() { "key" } else { "-" };
    let asked = format!("{version} {} {} {to} {key}", request.method(), request.uri().path());
    let asked = HeaderValue::try_from(asked).unwrap();
    let path = request.uri().path().to_owned();
    let (Some(upgrade), "/echo" | "/late" | "/wrong") = (upgrade, path.as_str()) else {
        let status = if path == "/no" { 403 } else { 200 };
        return Reply::Response(
            Response::builder().status(status).header("x-asked", asked).body(Body::full("plain")).unwrap(),
        );
    };
    let mut headers = HeaderMap::new();
    headers.insert("connection", HeaderValue::from_static("upgrade"));
    let to = if path == "/wrong" { HeaderValue::from_static("other") } else { upgrade.protocols().clone() };
    headers.insert("upgrade", to);
    headers.insert("x-asked", asked);
    if version == 1 && field("sec-websocket-key") == KEY {
        headers.insert("sec-websocket-accept", HeaderValue::from_static(ACCEPT));
    }
    let run = move |tunnel| async move {
        let (mut read, mut write) = tokio::io::split(tunnel);
        if path == "/late" {
            write.write_all(b"hello ").await.unwrap();
        }
        let _ = tokio::io::copy(&mut read, &mut write).await;
        let _ = write.shutdown().await;
    };
    Reply::Tunnel { headers, run: Box::new(|tunnel| Box::pin(run(tunnel))) }
}

/// An application that speaks this version.
fn application(ip: IpAddr, version: u8) -> SocketAddr {
    let listener = listen(SocketAddr::new(ip, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    spawn_local(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            spawn_local(async move {
                let options = ServerOptions { takes_upgrades: true, ..ServerOptions::default() };
                let service = move |request| std::future::ready(answer(request, version));
                let never = std::future::pending;
                let _ = match version {
                    1 => http1::serve(stream, &options, never(), service).await,
                    _ => http2::serve(stream, &options, never(), service).await,
                };
            });
        }
    });
    address
}

fn edge(backend: SocketAddr, protocol: Protocol) -> Proxy {
    let mut resources = edge_resources(vec![rule(0, "")], &[]);
    resources.push(service(protocol));
    resources.push(endpoints(vec![plain(backend)]));
    Proxy::new("west", Identity::new(Vec::new()), resources)
}

fn handshake(path: &str, to: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: shop.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: {to}\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

/// Reads a head of HTTP/1.
async fn head(caller: &mut DuplexStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        assert_eq!(caller.read(&mut byte).await.unwrap(), 1, "{}", String::from_utf8_lossy(&head));
        head.extend_from_slice(&byte);
    }
    String::from_utf8(head).unwrap()
}

/// What comes to the end of the other side, which is heard although ours was said before.
async fn rest(caller: &mut DuplexStream) -> String {
    caller.shutdown().await.unwrap();
    let mut rest = String::new();
    caller.read_to_string(&mut rest).await.unwrap();
    rest
}

/// A WebSocket of HTTP/1.1: bytes behind the request and behind the 101 pass, and each half ends for itself.
async fn websocket(mut caller: DuplexStream, asked: &str) {
    caller.write_all(format!("{}early ", handshake("/late", "websocket")).as_bytes()).await.unwrap();
    let head = head(&mut caller).await;
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    for field in ["upgrade: websocket", "connection: upgrade", &format!("x-asked: {asked}")] {
        assert!(head.contains(&format!("\r\n{field}\r\n")), "{field} in {head}");
    }
    assert!(head.contains(&format!("\r\nsec-websocket-accept: {ACCEPT}\r\n")), "{head}");
    assert!(!head.contains("content-length") && !head.contains("x-leno"), "{head}");
    caller.write_all(b"late").await.unwrap();
    assert_eq!(rest(&mut caller).await, "hello early late");
}

fn check_line(line: &serde_json::Value, bytes: (u64, u64)) {
    let expected = (101.into(), "GET".into(), bytes.0.into(), bytes.1.into());
    let seen = (
        line["response_code"].clone(),
        line["method"].clone(),
        line["bytes_received"].clone(),
        line["bytes_sent"].clone(),
    );
    assert_eq!(seen, expected, "{line}");
}

#[test]
fn a_websocket_passes_the_gateway() {
    story(async {
        for (version, protocol) in [(1, Protocol::Http1), (1, Protocol::Undeclared), (2, Protocol::Http2)] {
            let proxy = edge(application(fresh_ip(), version), protocol);
            websocket(proxy.enter_raw(), &format!("{version} GET /late websocket key")).await;
            wait_until("it is recorded", || requests(&proxy, 101) == 1).await;
            check_line(&proxy.logged()[0], (10, 16));
        }
    });
}

/// How many requests have ended with this status.
fn requests(proxy: &Proxy, status: u16) -> usize {
    let text = proxy.worker.shared.observe.render(0, 0);
    let is_it = |line: &&str| {
        line.starts_with("istio_requests_total") && line.contains(&format!("response_code=\"{status}\""))
    };
    text.lines().filter(is_it).count()
}

/// A caller of HTTP/2 (RFC 8441).
async fn caller(io: DuplexStream) -> http2::Http2Sender {
    let (sender, driver) = http2::connect(io, &ClientOptions::default()).await.unwrap();
    spawn_local(driver);
    sender.settled().await;
    assert!(sender.takes_upgrades());
    sender
}

fn asking(path: &str, to: &str) -> Request<Body> {
    let mut request = Request::get(path).header("host", "shop.example").body(Body::empty()).unwrap();
    request.extensions_mut().insert(Upgrade::try_from(to).unwrap());
    request
}

/// Upgrades to a WebSocket, without a key as RFC 8441 has it; the answer is what the application was asked.
async fn extended_connect(sender: &http2::Http2Sender) -> String {
    let mut response = sender.send(asking("/late", "websocket")).await.unwrap();
    assert_eq!(response.status(), 101);
    assert!(!response.headers().contains_key("sec-websocket-accept"), "{:?}", response.headers());
    let mut tunnel = response.body_mut().take_tunnel().unwrap();
    tunnel.write_all(b"you").await.unwrap();
    tunnel.shutdown().await.unwrap();
    let mut text = String::new();
    tunnel.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "hello you");
    response.headers()["x-asked"].to_str().unwrap().to_owned()
}

/// An application of HTTP/1 that answers any key as RFC 6455 has it, or with `accept`.
fn by_the_book(ip: IpAddr, accept: Option<&'static str>) -> SocketAddr {
    let listener = listen(SocketAddr::new(ip, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    spawn_local(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut head).await.unwrap();
            }
            let head = String::from_utf8(head).unwrap();
            let field = |name: &str| {
                let line = head.lines().find(|line| line.starts_with(name)).unwrap_or_default();
                line.rsplit(": ").next().unwrap().to_owned()
            };
            let (key, version) = (field("sec-websocket-key"), field("sec-websocket-version"));
            let proved = accept.map_or_else(|| crate::upstream::websocket_accept(&key), str::to_owned);
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nconnection: Upgrade\r\n\
                 x-asked: {version}\r\nsec-websocket-accept: {proved}\r\n\r\nhello you"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    address
}

#[test]
fn extended_connect_is_spoken_down_to_http_1_and_up_again() {
    story(async {
        let proxy = edge(by_the_book(fresh_ip(), None), Protocol::Undeclared);
        assert_eq!(extended_connect(&caller(proxy.enter_raw()).await).await, "13");
        let proxy = edge(application(fresh_ip(), 2), Protocol::Http2);
        let asked = extended_connect(&caller(proxy.enter_raw()).await).await;
        assert_eq!(asked, "2 GET /late websocket -");
        wait_until("it is recorded", || requests(&proxy, 101) == 1).await;
        check_line(&proxy.logged()[0], (3, 9));
    });
}

#[test]
fn a_success_of_another_kind_opens_no_tunnel() {
    story(async {
        let proxy = edge(application(fresh_ip(), 1), Protocol::Http1);
        let sender = caller(proxy.enter_raw()).await;
        let (mut statuses, mut raw) = (Vec::new(), proxy.enter_raw());
        for path in ["/plain", "/no", "/wrong"] {
            let response = sender.send(asking(path, "websocket")).await.unwrap();
            statuses.push(response.status().as_u16());
            raw.write_all(handshake(path, "websocket").as_bytes()).await.unwrap();
            statuses.push(head(&mut raw).await[9..12].parse().unwrap());
            if path != "/wrong" {
                raw.read_exact(&mut [0; 5]).await.unwrap();
            }
        }
        // Over HTTP/1 nobody need heed the question, and the connection goes on.
        assert_eq!(statuses, [502, 200, 403, 403, 502, 502]);
        let codes: Vec<_> = proxy
            .logged()
            .iter()
            .map(|line| line["response_code_details"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(codes[0], "upgrade_ignored", "{codes:?}");
        assert_eq!(codes[4..], ["upstream_protocol_error", "upstream_protocol_error"]);

        let proxy = edge(by_the_book(fresh_ip(), Some("bm8=")), Protocol::Http1);
        let response = caller(proxy.enter_raw()).await.send(asking("/", "websocket")).await.unwrap();
        assert_eq!(response.status(), 502, "a proof of nothing");
    });
}

fn settings(change: impl FnOnce(&mut MeshSettings)) -> (ResourceKey, Resource) {
    let mut settings = MeshSettings::default();
    change(&mut settings);
    (ResourceKey::Settings, Resource::Settings(settings))
}

#[test]
fn what_is_not_allowed_is_refused_or_goes_on_as_an_ordinary_request() {
    story(async {
        let proxy = edge(application(fresh_ip(), 1), Protocol::Http1);
        let first = |text: String| {
            let mut raw = proxy.enter_raw();
            async move {
                raw.write_all(text.as_bytes()).await.unwrap();
                head(&mut raw).await
            }
        };
        let head = first(handshake("/echo", "spdy/3.1")).await;
        assert!(head.contains(" 200 ") && head.contains("x-asked: 1 GET /echo - key"), "{head}");
        assert!(
            first(handshake("/echo", "spdy/3.1, websocket")).await.contains("\r\nupgrade: websocket\r\n")
        );
        let refused = caller(proxy.enter_raw()).await.send(asking("/echo", "spdy/3.1")).await.unwrap();
        assert_eq!(refused.status(), 403);

        proxy.apply(vec![settings(|all| all.http.upgrade_types = vec!["spdy/3.1".into()])]);
        assert!(first(handshake("/echo", "SPDY/3.1")).await.contains("\r\nupgrade: SPDY/3.1\r\n"));
        assert!(first(handshake("/echo", "websocket")).await.contains(" 403 "));
        let reasons = proxy.logged();
        let refused = reasons.iter().filter(|line| line["response_code_details"] == "upgrade_failed");
        assert_eq!(refused.count(), 2);
    });
}

#[test]
fn a_silent_stream_is_ended_and_called_that() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    tokio::task::LocalSet::new().block_on(&runtime.unwrap(), async {
        let proxy = edge(application(fresh_ip(), 1), Protocol::Http1);
        proxy.apply(vec![settings(|all| all.http.upgrade_idle_timeout = Duration::from_secs(7))]);
        let mut raw = proxy.enter_raw();
        raw.write_all(handshake("/echo", "websocket").as_bytes()).await.unwrap();
        head(&mut raw).await;
        let begun = tokio::time::Instant::now();
        assert_eq!(raw.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(begun.elapsed().as_secs(), 7);
        let line = &proxy.logged()[0];
        assert_eq!((&line["response_code"], &line["response_flags"]), (&101.into(), &"SI".into()), "{line}");
    });
}

#[test]
fn a_websocket_passes_the_mesh() {
    story(async {
        let authority = Authority::new();
        for (version, protocol) in [(1, Protocol::Http1), (2, Protocol::Http2)] {
            let ip = fresh_ip();
            let port = application(ip, version).port();
            let east = Cluster::start(&authority, "east", ip, port, protocol);
            let proxy = client(&authority, protocol, vec![east.endpoint("east")]);
            websocket(proxy.call_tcp(), &format!("{version} GET /late websocket key")).await;
            for side in [&proxy, &east.workload] {
                wait_until("it is recorded", || requests(side, 101) == 1).await;
                let line = &side.logged()[0];
                check_line(line, (10, 16));
                assert!(line["destination_principal"].as_str().unwrap().ends_with("/sa/shop"), "{line}");
            }
        }
    });
}

/// As of Docker and of Kubernetes, which upgrade with POST.
#[test]
fn the_mesh_keeps_method_and_status() {
    story(async {
        let authority = Authority::new();
        let ip = fresh_ip();
        let port = application(ip, 1).port();
        let east = Cluster::start(&authority, "east", ip, port, Protocol::Http1);
        let proxy = client(&authority, Protocol::Http1, vec![east.endpoint("east")]);
        for side in [&proxy, &east.workload] {
            side.apply(vec![settings(|all| all.http.upgrade_types = vec!["tcp".into()])]);
        }
        let (mut sender, driver) = http1::connect(proxy.call_tcp()).await.unwrap();
        spawn_local(driver);
        for (path, status) in [("/plain", 200), ("/no", 403)] {
            let mut request = asking(path, "tcp");
            *request.method_mut() = Method::POST;
            let response = sender.send(request).await.unwrap();
            assert_eq!(response.status(), status);
            assert_eq!(response.headers()["x-asked"], format!("1 POST {path} tcp -"));
            assert!(!response.headers().keys().any(|name| name.as_str().starts_with("x-leno")));
            assert_eq!(response.into_body().collect(100).await.unwrap(), "plain");
            sender.ready().await.unwrap();
        }
        let mut request = asking("/echo", "tcp");
        *request.method_mut() = Method::POST;
        let mut response = sender.send(request).await.unwrap();
        assert_eq!(response.headers()["x-asked"], "1 POST /echo tcp -");
        drop(response.body_mut().take_tunnel());
        let seen: Vec<_> = east.workload.logged().iter().map(|line| line["response_code"].clone()).collect();
        assert_eq!(seen[..2], [200, 403]);
    });
}

/// Only another proxy is to be asked for the method, and it opens no tunnel of another kind.
#[test]
fn what_only_proxies_say_is_not_taken_from_applications() {
    story(async {
        let authority = Authority::new();
        let ip = fresh_ip();
        let port = application(ip, 1).port();
        let east = Cluster::start(&authority, "east", ip, port, Protocol::Http1);
        let proxy = client(&authority, Protocol::Http1, vec![east.endpoint("east")]);
        for told in ["CONNECT", "POST"] {
            let mut raw = proxy.call_tcp();
            let asked = handshake("/echo", "websocket");
            let asked = asked.replace("\r\n\r\n", &format!("\r\nx-leno-method: {told}\r\n\r\n"));
            raw.write_all(asked.as_bytes()).await.unwrap();
            let head = head(&mut raw).await;
            assert!(head.contains("\r\nx-asked: 1 GET /echo websocket key\r\n"), "{head}");
        }
    });
}

/// A proof is the application's, or of HTTP/2, where there is none; never ours for it.
#[test]
fn a_proof_that_the_application_does_not_give_is_not_made_up() {
    story(async {
        let authority = Authority::new();
        let (east, application) = Cluster::by_hand(&authority);
        let inbound = super::bed::inbound_port(application.local_addr().unwrap().port(), Protocol::Http1);
        east.workload.apply(vec![inbound]);
        spawn_local(async move {
            let (mut stream, _) = application.accept().await.unwrap();
            stream.read_buf(&mut Vec::new()).await.unwrap();
            let answer =
                b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            std::future::pending::<()>().await;
        });
        let proxy = client(&authority, Protocol::Http1, vec![east.endpoint("east")]);
        let mut raw = proxy.call_tcp();
        raw.write_all(handshake("/", "websocket").as_bytes()).await.unwrap();
        let head = head(&mut raw).await;
        assert!(head.contains(" 101 ") && !head.contains("sec-websocket-accept"), "{head}");
    });
}

#[test]
fn policies_are_asked_as_for_any_request() {
    story(async {
        let authority = Authority::new();
        let ip = fresh_ip();
        let port = application(ip, 1).port();
        let east = Cluster::start(&authority, "east", ip, port, Protocol::Http1);
        east.workload.apply(vec![deny_client()]);
        let proxy = client(&authority, Protocol::Http1, vec![east.endpoint("east")]);
        let mut raw = proxy.call_tcp();
        raw.write_all(handshake("/private", "websocket").as_bytes()).await.unwrap();
        let head = head(&mut raw).await;
        assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
        assert_eq!(proxy.logged()[0]["response_code_details"], "upstream_rbac_access_denied");
        assert!(SERVICE.starts_with("shop"));
    });
}

/// Opens an echo, has a policy come into force, and waits for the end.
async fn ends_when_denied(mut caller: DuplexStream, judge: &Proxy, deny: (ResourceKey, Resource)) {
    caller.write_all(handshake("/echo", "websocket").as_bytes()).await.unwrap();
    assert!(head(&mut caller).await.contains(" 101 "));
    caller.write_all(b"hello").await.unwrap();
    caller.read_exact(&mut [0; 5]).await.unwrap();
    let (key, Resource::Policy(policy)) = deny else { panic!("no policy") };
    let elsewhere = Rule {
        to: vec![Operation { paths: vec![Glob::parse("/other")], ..Operation::default() }],
        ..Rule::default()
    };
    let other = Policy { rules: vec![elsewhere], ..policy.clone() };
    judge.apply(vec![(key.clone(), Resource::Policy(other))]);
    caller.write_all(b"hello").await.unwrap();
    caller.read_exact(&mut [0; 5]).await.unwrap();
    judge.apply(vec![(key, Resource::Policy(policy))]);
    let ended = timeout(SOON, caller.read(&mut [0; 5])).await.expect("it ends");
    assert_eq!(ended.unwrap_or(0), 0);
    wait_until("it is recorded", || requests(judge, 101) == 1).await;
    let line = &judge.logged()[0];
    assert_eq!((&line["policy"], &line["response_flags"]), (&"default/p".into(), &"RBAC".into()), "{line}");
    check_line(line, (10, 10));
}

#[test]
fn a_policy_that_comes_later_ends_an_upgraded_stream() {
    story(async {
        let deny = || policy(Action::Deny, vec![Rule::default()]);
        let proxy = edge(application(fresh_ip(), 1), Protocol::Http1);
        ends_when_denied(proxy.enter_raw(), &proxy, on("edge", deny())).await;

        let authority = Authority::new();
        let ip = fresh_ip();
        let port = application(ip, 1).port();
        let east = Cluster::start(&authority, "east", ip, port, Protocol::Http1);
        let proxy = client(&authority, Protocol::Http1, vec![east.endpoint("east")]);
        let key = ResourceKey::Policy("default".into(), "p".into());
        ends_when_denied(proxy.call_tcp(), &east.workload, (key, Resource::Policy(deny()))).await;
    });
}
