//! What the callee's side may do to us, and what is remembered of it.

use super::bed::{
    Application, Authority, Proxy, SERVICE, SOON, endpoints, fresh_ip, get, native, plain, service, story,
};
use super::edge::{edge, rule};
use super::mesh::{Cluster, client, deny_client};
use crate::accept::listen;
use crate::failure::HEADER_FAILURE;
use crate::mesh_tls::Accepted;
use crate::testing::{host, id};
use crate::upstream::attempt_error::{AttemptError, EndpointVerdict};
use crate::upstream::retry_state::{CONNECT, RetryState};
use bytes::Bytes;
use codec::{Body, BodyError, Reply, ServerOptions};
use decide::retry::{Next, Outcome};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use model::service::Protocol;
use model::{Reason, Resource};
use std::cell::Cell;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A body of the given frames; `Waits`: it does not end after them.
struct Frames(VecDeque<Frame<Bytes>>, End);

#[derive(PartialEq)]
enum End {
    Ends,
    Waits,
}

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.0.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None if self.1 == End::Waits => Poll::Pending,
            None => Poll::Ready(None),
        }
    }
}

fn piece(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

/// An application that writes these bytes to whoever connects, when it has heard something.
fn parrot(words: &'static [u8]) -> SocketAddr {
    let listener = listen(SocketAddr::new(fresh_ip(), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::task::spawn_local(async move {
                let mut heard = [0; 1024];
                let _ = stream.read(&mut heard).await;
                let _ = stream.write_all(words).await;
                let _ = stream.read(&mut heard).await;
            });
        }
    });
    address
}

#[test]
fn nobody_changes_the_protocol_unasked() {
    story(async {
        let backend =
            parrot(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n");
        let proxy = edge(vec![rule(0, "")], &[backend]);
        let request = Request::post("/").header("host", "a").body(Body::empty()).unwrap();
        assert_eq!(proxy.enter().await.send(request).await.status(), 502);
        assert_eq!(proxy.logged()[0]["response_code_details"], "upstream_protocol_error");
    });
}

#[test]
fn a_get_keeps_its_body_of_unknown_length() {
    story(async {
        let echo = Application::start(fresh_ip(), |request| Response::new(request.into_body()));
        let proxy = edge(vec![rule(0, "")], &[echo.address]);
        let mut caller = proxy.enter_raw();
        caller
            .write_all(
                b"GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n\
                  5\r\nhello\r\n0\r\n\r\n",
            )
            .await
            .unwrap();
        let mut heard = String::new();
        caller.read_to_string(&mut heard).await.unwrap();
        assert!(heard.starts_with("HTTP/1.1 200") && heard.contains("hello"), "{heard}");
    });
}

#[test]
fn a_response_that_outlasts_its_rules_timeout_is_cut_and_says_so() {
    story(async {
        let slow = Application::start(fresh_ip(), |_| {
            Response::new(Body::boxed(Frames(VecDeque::from([piece("begun")]), End::Waits)))
        });
        let mut timed = rule(0, "");
        timed.request_timeout = Some(Duration::from_millis(100));
        let proxy = edge(vec![timed], &[slow.address]);
        let mut caller = proxy.enter_raw();
        caller.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut heard = Vec::new();
        let _ = caller.read_to_end(&mut heard).await;
        let heard = String::from_utf8(heard).unwrap();
        assert!(heard.starts_with("HTTP/1.1 200") && heard.contains("begun"), "{heard}");
        let line = &proxy.logged()[0];
        assert_eq!((&line["response_flags"], &line["response_code"]), (&"UT".into(), &200.into()), "{line}");
    });
}

/// Answers every gRPC call with these trailers.
pub(super) fn grpc(trailers: &'static [(&'static str, &'static str)]) -> SocketAddr {
    let listener = listen(SocketAddr::new(fresh_ip(), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::task::spawn_local(async move {
                let service = |_| async move {
                    let mut fields = HeaderMap::new();
                    for (name, value) in trailers {
                        fields.insert(*name, value.parse().unwrap());
                    }
                    let frames = VecDeque::from([piece("x"), Frame::trailers(fields)]);
                    Reply::Response(Response::new(Body::boxed(Frames(frames, End::Ends))))
                };
                let options = ServerOptions::default();
                let _ = codec::http2::serve(stream, &options, std::future::pending(), service).await;
            });
        }
    });
    address
}

#[test]
fn a_grpc_status_is_told_from_the_trailers() {
    for (trailers, expected) in
        [(&[("grpc-status", "5")][..], 5), (&[("grpc-status", "4711"), ("x-leno-failure", "no")], 2)]
    {
        story(async {
            let proxy = edge(vec![rule(0, "")], &[]);
            proxy.apply(vec![service(Protocol::Http2), endpoints(vec![plain(grpc(trailers))])]);
            let request = Request::post("/").header("host", "a").header("content-type", "application/grpc");
            let response = proxy.enter().await.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!((response.status().as_u16(), response.body().as_str()), (200, "x"));
            let text = proxy.worker.shared.observe.render(0, 0);
            assert!(text.contains(&format!("grpc_response_status=\"{expected}\"")), "{text}");
            assert_eq!(proxy.logged()[0]["grpc_status"], expected);
        });
    }
}

#[test]
fn a_policy_on_trial_is_logged_and_stops_nobody() {
    story(async {
        let authority = Authority::new();
        let east = Cluster::named(&authority, "east");
        let (key, Resource::Policy(mut policy)) = deny_client() else { panic!("not a policy") };
        policy.dry_run = true;
        east.workload.apply(vec![(key, Resource::Policy(policy))]);
        let proxy = client(&authority, Protocol::Http1, vec![east.endpoint("east")]);
        let mut caller = proxy.call().await;
        assert_eq!(caller.get("/private").await.status(), 200);
        assert_eq!(caller.get("/public").await.status(), 200);
        let text = east.workload.worker.shared.observe.render(0, 0);
        assert!(
            text.contains(
                "leno_policy_dry_run_matches_total{policy=\"default/no-client\",action=\"deny\"} 1"
            )
        );
        let lines = east.workload.logged();
        assert_eq!(lines[0]["shadow_policies"], serde_json::json!(["default/no-client"]), "{}", lines[0]);
        assert_eq!(lines[0]["shadow_engine_result"], "denied");
        assert_eq!(lines[1]["shadow_engine_result"], "allowed", "{}", lines[1]);
    });
}

/// A denial is the last word of a policy. It says nothing against the endpoint, which others go on using.
#[test]
fn a_denied_tunnel_is_nothing_against_its_endpoint() {
    story(async {
        let authority = Authority::new();
        let ip = fresh_ip();
        let echo = Application::echo(ip);
        let east = Cluster::start(&authority, "east", ip, echo.port(), Protocol::Tcp);
        east.workload.apply(vec![deny_client()]);
        let proxy = client(&authority, Protocol::Tcp, vec![east.endpoint("east")]);
        let mut caller = proxy.call_tcp();
        assert_eq!(caller.read(&mut [0; 8]).await.unwrap_or(0), 0);
        assert!(!proxy.entry().states.is_ejected(0, proxy.worker.uptime.now_ms()));
        let line = &proxy.logged()[0];
        assert_eq!(
            (&line["response_code_details"], &line["attempts"]),
            (&"upstream_rbac_access_denied".into(), &1.into()),
            "{line}"
        );
    });
}

/// The one who began to connect is gone; who comes later must not wait for nobody.
#[test]
fn an_aborted_connect_leaves_nothing_behind() {
    story(async {
        let authority = Authority::new();
        // Accepted by the kernel; shakes no hands.
        let silent = fresh_ip();
        let _listener = std::net::TcpListener::bind((silent, model::address::PORT_MESH)).unwrap();
        let endpoint = native("west", silent);
        let proxy = client(&authority, Protocol::Http1, vec![endpoint.clone()]);
        let name = host(SERVICE);
        let aborted = async {
            while proxy.worker.upstream.http2().len() == 0 {
                tokio::task::yield_now().await;
            }
            proxy.worker.upstream.tasks().drain(Duration::ZERO).await
        };
        let (leased, drained) =
            tokio::join!(proxy.worker.upstream.http2().lease(&endpoint, &name, 80, 0), aborted);
        assert_eq!(drained.aborted, ["mesh connect"]);
        assert_eq!(leased.err(), Some(Reason::ConnectFailed));
        assert_eq!(proxy.worker.upstream.http2().len(), 0);
    });
}

/// Two configurations at once: whoever waits for a connection that another began gets it only when it shows
/// the server that they expect, and is not harmed by what the other expected.
#[test]
fn who_waits_for_a_connection_keeps_their_own_expectation() {
    story(async {
        let authority = Authority::new();
        let name = host(SERVICE);
        for is_right_first in [true, false] {
            let east = Cluster::named(&authority, "east");
            let proxy = client(&authority, Protocol::Http1, Vec::new());
            let right = east.endpoint("east");
            let mut wrong = right.clone();
            std::sync::Arc::make_mut(&mut wrong.profile).identities = vec![id("somebody-else")];
            let (first, second) = if is_right_first { (&right, &wrong) } else { (&wrong, &right) };
            let lease = |endpoint| proxy.worker.upstream.http2().lease(endpoint, &name, 80, 0);
            let both = async { tokio::join!(lease(first), lease(second)) };
            let (first, second) = tokio::time::timeout(SOON, both).await.unwrap();
            let (right, wrong) = if is_right_first { (first, second) } else { (second, first) };
            assert_eq!(
                right.ok().and_then(|leased| leased.connection.peer.as_ref().map(|peer| peer.id.clone())),
                Some(id("shop"))
            );
            assert_eq!(wrong.err(), Some(Reason::TlsFailed));
        }
    });
}

#[test]
fn what_is_decided_on_is_what_is_logged() {
    story(async {
        let application = Application::named(fresh_ip(), "shop");
        let proxy = edge(vec![rule(0, "")], &[application.address]);
        let mut request = get("/x/../%61?q");
        request.headers_mut().insert("host", "Shop.Example.:080".parse().unwrap());
        let response = proxy.enter().await.send(request).await;
        assert_eq!(response.headers()["x-asked"], "GET /a?q");
        let line = &proxy.logged()[0];
        assert_eq!(
            (&line["path"], &line["authority"]),
            (&"/a?q".into(), &"shop.example:80".into()),
            "{line}"
        );
    });
}

/// Bytes after the end of a response belong to nobody, least of all to the next request.
#[test]
fn what_follows_a_response_is_never_the_next_ones_answer() {
    story(async {
        let backend = parrot(
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        );
        let proxy = edge(vec![rule(0, "")], &[backend]);
        let mut caller = proxy.enter().await;
        for _ in 0..10 {
            assert_eq!(caller.get("/").await.body(), "ok");
        }
    });
}

/// An old connection that had ended says nothing of its endpoint: the same one is asked again, once.
#[test]
fn a_stale_connection_does_not_send_a_caller_elsewhere() {
    story(async {
        let authority = Authority::new();
        let all = vec![native("west", fresh_ip()), native("east", fresh_ip())];
        let proxy = client(&authority, Protocol::Tcp, all);
        let entry = proxy.entry();
        let mut retries = RetryState::begin(&proxy.worker.upstream, &entry);
        let first = retries.choose().unwrap();
        assert_eq!(&*entry.endpoints[first].cluster, "west");
        let stale =
            Err::<(), _>(AttemptError { reason: Reason::Refused, verdict: EndpointVerdict::StaleConnection });
        for (expected, number) in [(first, 1), (1 - first, 2)] {
            let next = retries.next(first, CONNECT, Outcome::Failed(Reason::Refused), &stale);
            assert!(matches!(next, Next::Again { .. }));
            assert_eq!((retries.choose(), retries.number()), (Some(expected), number));
        }
    });
}

/// The callee's proxy says what is safe to repeat by refusing the stream; in an answer it is not believed.
#[test]
fn an_answer_cannot_make_a_delivered_request_safe_to_repeat() {
    story(async {
        let authority = Authority::new();
        let asked = Rc::new(Cell::new(0));
        let liar = liar(&authority, &asked);
        let proxy =
            client(&authority, Protocol::Http1, vec![native("west", liar), native("east", fresh_ip())]);
        let request = Request::post("/order").header("host", "shop").body(Body::empty()).unwrap();
        assert_eq!(proxy.call().await.send(request).await.status(), 503);
        assert_eq!(asked.get(), 1);
        let line = &proxy.logged()[0];
        assert_eq!(line["response_code_details"], "upstream_reset_before_response", "{line}");
    });
}

/// A callee's proxy that took the request and claims that it never connected.
fn liar(authority: &Authority, asked: &Rc<Cell<u32>>) -> IpAddr {
    let proxy = Proxy::new("west", authority.identity("shop"), Vec::new());
    let listener = listen(SocketAddr::new(proxy.ip, model::address::PORT_MESH)).unwrap();
    let (ip, asked) = (proxy.ip, Rc::clone(asked));
    tokio::task::spawn_local(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(Accepted { tls, .. }) = proxy.worker.tls.accept(stream).await else { continue };
            let asked = Rc::clone(&asked);
            tokio::task::spawn_local(async move {
                let service = |_| {
                    asked.set(asked.get() + 1);
                    let claim = Response::builder().header(HEADER_FAILURE, "upstream_connect_failure");
                    async move { Reply::Response(claim.status(503).body(Body::empty()).unwrap()) }
                };
                let options = ServerOptions::default();
                let _ = codec::http2::serve(tls, &options, std::future::pending(), service).await;
            });
        }
    });
    ip
}
