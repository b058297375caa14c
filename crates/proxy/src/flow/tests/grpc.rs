//! Calls of gRPC: how long they may take, and those of gRPC-Web.

use super::bed::{Application, Client, Proxy, endpoints, fresh_ip, plain, service, story};
use super::edge::{edge, rule};
use crate::accept::listen;
use crate::testing::Pieces;
use ::http::{HeaderMap, HeaderValue, Request, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use codec::{Body, Reply, ServerOptions};
use model::Reason;
use model::filter::{Cors, FilterConfig, OriginMatch};
use model::service::Protocol;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

fn call(path: &str, timeout: &str) -> Request<Body> {
    let call = Request::post(path).header("host", "a").header("content-type", "application/grpc");
    let call = call.header("te", "trailers").header("grpc-timeout", timeout);
    call.body(Body::full("message")).unwrap()
}

#[test]
fn a_call_ends_when_the_time_is_over_that_its_caller_gave_it() {
    story(async {
        // Whoever connects there is never answered.
        let silent = listen(SocketAddr::new(fresh_ip(), 0)).unwrap();
        let mut short = rule(1, "/short");
        short.request_timeout = Some(Duration::from_millis(30));
        let proxy = edge(vec![rule(0, "/"), short], &[silent.local_addr().unwrap()]);
        let mut caller = proxy.enter().await;
        for (path, asked) in [("/", "30m"), ("/short", "1H"), ("/", "1n")] {
            let response = caller.send(call(path, asked)).await;
            assert_eq!(response.status(), 200, "{path}");
            assert_eq!(response.headers()["grpc-status"], "4", "{path}");
            assert_eq!(response.headers()["content-type"], "application/grpc", "{path}");
        }
        let said: Vec<_> = proxy.logged().iter().map(|line| line["response_code_details"].clone()).collect();
        assert_eq!(said, ["grpc_timeout", "response_timeout", "grpc_timeout"]);
        assert_eq!(Reason::GrpcTimeout.row().flag, "UT");
    });
}

#[test]
fn what_is_left_of_it_is_told_to_the_backend() {
    story(async {
        let heard = Rc::new(RefCell::new(Vec::new()));
        let hears = Rc::clone(&heard);
        let application = Application::start(fresh_ip(), move |request| {
            let value = request.headers().get("grpc-timeout").map(|value| value.as_bytes().to_vec());
            hears.borrow_mut().push(value);
            Response::builder().header("grpc-status", "0").body(Body::empty()).unwrap()
        });
        let (mut limited, mut each) = (rule(1, "/limited"), rule(2, "/each"));
        limited.request_timeout = Some(Duration::from_secs(20));
        each.backend_timeout = Some(Duration::from_secs(10));
        let proxy = edge(vec![rule(0, "/"), limited, each], &[application.address]);
        let mut caller = proxy.enter().await;
        for (path, asked, most) in [("/", "30S", 30), ("/limited", "1H", 20), ("/each", "1M", 10)] {
            caller.send(call(path, asked)).await;
            let value = heard.borrow_mut().pop().flatten().unwrap();
            let left = decide::grpc::timeout(&value).unwrap();
            let most = Duration::from_secs(most);
            assert!(left < most && left > most - Duration::from_secs(10), "{path} {asked}: {left:?}");
        }
        // What has no meaning limits nothing, and goes on as it came.
        caller.send(call("/", "soon")).await;
        assert_eq!(heard.borrow_mut().pop(), Some(Some(b"soon".to_vec())));
        caller.send(call("/limited", "soon")).await;
        assert_ne!(heard.borrow_mut().pop(), Some(Some(b"soon".to_vec())));
        // Nor does what is not gRPC.
        let other = Request::get("/").header("host", "a").header("grpc-timeout", "1n");
        assert_eq!(caller.send(other.body(Body::empty()).unwrap()).await.status(), 200);
        assert_eq!(heard.borrow_mut().pop(), Some(Some(b"1n".to_vec())));
    });
}

/// A backend that speaks gRPC alone: it answers what it was sent, with the content type that it saw in a trailer, and
/// `/none` without any message.
fn echo() -> SocketAddr {
    let listener = listen(SocketAddr::new(fresh_ip(), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::task::spawn_local(async move {
                let options = ServerOptions::default();
                let service = |request: Request<Body>| async move { Reply::Response(echoed(request).await) };
                let _ = codec::http2::serve(stream, &options, std::future::pending(), service).await;
            });
        }
    });
    address
}

async fn echoed(request: Request<Body>) -> Response<Body> {
    let response = Response::builder().header("content-type", "application/grpc");
    if request.uri().path() == "/none" {
        return response.header("grpc-status", "5").body(Body::empty()).unwrap();
    }
    let (parts, body) = request.into_parts();
    let message = String::from_utf8(body.collect(1000).await.unwrap().to_vec()).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers.insert("x-type", parts.headers["content-type"].clone());
    response.body(Body::boxed(Pieces::new(&[&message], Some(trailers)))).unwrap()
}

fn edge_to_echo(protocol: Protocol) -> Proxy {
    let mut with_cors = rule(0, "/");
    let origin = OriginMatch::Exact("https://page.example".into());
    let cors = Cors { allow_origins: vec![origin], ..Cors::default() };
    with_cors.filters = vec![FilterConfig::Cors(Box::new(cors))];
    let proxy = edge(vec![with_cors], &[]);
    proxy.apply(vec![service(protocol), endpoints(vec![plain(echo())])]);
    proxy
}

async fn web(caller: &mut Client, path: &str, content_type: &str, message: &'static str) -> Response<String> {
    let call = Request::post(path).header("host", "a").header("origin", "https://page.example");
    caller.send(call.header("content-type", content_type).body(Body::full(message)).unwrap()).await
}

#[test]
fn a_page_calls_a_backend_of_grpc() {
    story(async {
        let proxy = edge_to_echo(Protocol::Http2);
        let mut caller = proxy.enter().await;
        // `message`, in two pieces.
        let response = web(&mut caller, "/", "application/grpc-web-text+proto", "bWVzcw==YWdl").await;
        assert_eq!(response.headers()["content-type"], "application/grpc-web-text+proto");
        assert_eq!(response.headers()["access-control-allow-origin"], "https://page.example");
        let frame = "\u{80}\0\0\0\u{2e}grpc-status:0\r\nx-type:application/grpc+proto\r\n";
        let frame: Vec<u8> = frame.chars().map(|letter| letter as u8).collect();
        assert_eq!(*response.body(), BASE64_STANDARD.encode("message") + &BASE64_STANDARD.encode(frame));

        let response = web(&mut caller, "/none", "application/grpc-web", "message").await;
        assert_eq!(response.headers()["content-type"], "application/grpc-web+proto");
        assert_eq!((&response.headers()["grpc-status"], &**response.body()), (&HeaderValue::from(5), ""));

        let response = web(&mut caller, "/", "application/grpc-web-text", "no base64!").await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["grpc-status"], "3");
        assert_eq!(response.headers()["content-type"], "application/grpc-web-text+proto");
        let lines = proxy.logged();
        let statuses: Vec<_> = lines.iter().map(|line| line["grpc_status"].to_string()).collect();
        assert_eq!(statuses, ["0", "5", "3"]);
    });
}

#[test]
fn what_speaks_http1_gets_calls_as_they_came() {
    story(async {
        let application = Application::start(fresh_ip(), |request| {
            Response::builder()
                .header("x-type", &request.headers()["content-type"])
                .body(Body::empty())
                .unwrap()
        });
        let proxy = edge(vec![rule(0, "/")], &[application.address]);
        let response = web(&mut proxy.enter().await, "/", "application/grpc-web", "message").await;
        assert_eq!(response.headers()["x-type"], "application/grpc-web");
    });
}
