#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::RefCell;

use http::{Request, Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::task::{LocalSet, spawn_local};

use super::{InterimSink, Interims};
use crate::{Body, ClientOptions, Reply, ServerOptions, http1, http2};

/// What was told of each.
#[derive(Default)]
struct Heard(RefCell<Vec<String>>);

impl InterimSink for Heard {
    fn interim(&self, head: Response<()>) {
        let fields: Vec<_> =
            head.headers().iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
        self.0.borrow_mut().push(format!("{} {}", head.status().as_u16(), fields.join(", ")));
    }
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, test)
}

fn interim(status: u16, fields: &[(&'static str, &'static str)]) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in fields {
        response.headers_mut().append(*name, value.parse().unwrap());
    }
    response
}

/// Says what may pass and what may not, then answers.
async fn hints(interims: Interims) -> Reply {
    interims.send(interim(100, &[]));
    interims.send(interim(103, &[("link", "</a.css>"), ("connection", "x-hop"), ("x-hop", "1")]));
    interims.send(interim(101, &[("upgrade", "x")]));
    interims.send(interim(102, &[("content-length", "9"), ("transfer-encoding", "chunked")]));
    interims.send(interim(200, &[]));
    Reply::Response(Response::new(Body::full("done")))
}

const HEARD: [&str; 2] = ["103 link: \"</a.css>\"", "102 "];

#[test]
fn they_pass_in_http1() {
    run(async {
        let (near, far) = duplex(1 << 16);
        spawn_local(async move {
            let options = ServerOptions::default();
            let service = |_, interims| hints(interims);
            let _ = http1::serve_with_interims(far, &options, std::future::pending(), service).await;
        });
        let (mut sender, watching) = http1::connect(near).await.unwrap();
        spawn_local(watching);
        for _ in 0..2 {
            let heard = Heard::default();
            let request = Request::get("/").header("host", "h").body(Body::empty()).unwrap();
            let response = sender.send_with_interims(request, &heard).await.unwrap();
            assert_eq!(response.into_body().collect(99).await.unwrap(), "done");
            assert_eq!(*heard.0.borrow(), HEARD);
            sender.ready().await.unwrap();
        }
    });
}

#[test]
fn they_pass_in_http2() {
    run(async {
        let (near, far) = duplex(1 << 16);
        spawn_local(async move {
            let options = ServerOptions::default();
            let service = |_, interims| hints(interims);
            let _ = http2::serve_with_interims(far, &options, std::future::pending(), service).await;
        });
        let (sender, driver) = http2::connect(near, &ClientOptions::default()).await.unwrap();
        spawn_local(driver);
        for _ in 0..2 {
            let heard = Heard::default();
            let request = Request::get("/").header("host", "h").body(Body::empty()).unwrap();
            let response = sender.send_with_interims(request, &heard).await.unwrap();
            assert_eq!(response.into_body().collect(99).await.unwrap(), "done");
            assert_eq!(*heard.0.borrow(), HEARD);
        }
    });
}

/// All bytes that `request` is answered with.
async fn answer(request: &str) -> String {
    let (mut near, far) = duplex(1 << 16);
    spawn_local(async move {
        let options = ServerOptions::default();
        let service = |_, interims| hints(interims);
        let _ = http1::serve_with_interims(far, &options, std::future::pending(), service).await;
    });
    near.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    near.read_to_string(&mut answer).await.unwrap();
    answer
}

#[test]
fn a_client_of_http10_gets_none() {
    let answer = run(answer("GET / HTTP/1.0\r\nHost: h\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.ends_with("\r\n\r\ndone"), "{answer}");
}

#[test]
fn they_are_whole_heads_before_the_response_and_nothing_behind_it() {
    let answer = run(answer("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
    let begin = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n";
    assert!(answer.starts_with(begin) && answer.ends_with("\r\n\r\ndone"), "{answer}");
}

/// Keeps where interim responses go until its body is read.
struct Late(Option<Interims>);

impl http_body::Body for Late {
    type Data = bytes::Bytes;
    type Error = crate::BodyError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, crate::BodyError>>> {
        std::task::Poll::Ready(self.0.take().map(|interims| {
            interims.send(interim(103, &[("x-late", "1")]));
            Ok(http_body::Frame::data("late".into()))
        }))
    }
}

#[test]
fn behind_the_head_of_the_response_they_are_dropped() {
    let late = |_: Request<Body>, interims| async move {
        Reply::Response(Response::new(Body::boxed(Late(Some(interims)))))
    };
    run(async {
        let (mut near, far) = duplex(1 << 16);
        spawn_local(async move {
            let options = ServerOptions::default();
            let _ = http1::serve_with_interims(far, &options, std::future::pending(), late).await;
        });
        near.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        near.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("x-late"), "{answer}");

        let (near, far) = duplex(1 << 16);
        spawn_local(async move {
            let options = ServerOptions::default();
            let _ = http2::serve_with_interims(far, &options, std::future::pending(), late).await;
        });
        let (sender, driver) = http2::connect(near, &ClientOptions::default()).await.unwrap();
        spawn_local(driver);
        let request = Request::get("/").header("host", "h").body(Body::empty()).unwrap();
        let body = sender.send(request).await.unwrap().into_body();
        let (bytes, trailers) = body.collect_with_trailers(99).await.unwrap();
        assert_eq!((&bytes[..], trailers), (&b"late"[..], None));
    });
}

#[test]
fn of_more_than_anybody_takes_the_rest_is_dropped() {
    let many = |_: Request<Body>, interims: Interims| async move {
        let long: &'static str = Box::leak("x".repeat(1000).into_boxed_str());
        for _ in 0..1000 {
            interims.send(interim(103, &[("link", long)]));
        }
        Reply::Response(Response::new(Body::full("done")))
    };
    run(async {
        let (mut near, far) = duplex(1 << 10);
        spawn_local(async move {
            let options = ServerOptions::default();
            let _ = http1::serve_with_interims(far, &options, std::future::pending(), many).await;
        });
        near.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        near.read_to_string(&mut answer).await.unwrap();
        let count = answer.matches("HTTP/1.1 103").count();
        assert!((1..50).contains(&count), "{count} interim responses");
        assert!(answer.contains("HTTP/1.1 200") && answer.ends_with("\r\n\r\ndone"));
    });
}
