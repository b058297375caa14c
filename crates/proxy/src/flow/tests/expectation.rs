//! Callers that wait with their body until somebody wants it (`Expect: 100-continue`).

use super::bed::{Proxy, endpoints, fresh_ip, plain, service, story};
use super::edge::{edge, rule};
use crate::accept::listen;
use crate::body::{Expectation, Expecting};
use ::http::{Request, Response, StatusCode};
use codec::{Body, InterimSink, Reply, ServerOptions};
use model::service::Protocol;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const ASKED: &[u8] = b"POST /up HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n";

/// What comes up to the end of a head, and nothing more.
async fn head(io: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") {
        text.push(char::from(io.read_u8().await.unwrap()));
    }
    text
}

fn backend() -> (TcpListener, Proxy) {
    let listener = listen(SocketAddr::new(fresh_ip(), 0)).unwrap();
    let proxy = edge(vec![rule(0, "/")], &[listener.local_addr().unwrap()]);
    (listener, proxy)
}

#[test]
fn the_body_is_sent_when_the_upstream_says_so() {
    story(async {
        let (listener, proxy) = backend();
        let mut caller = proxy.enter_raw();
        caller.write_all(ASKED).await.unwrap();
        let (mut upstream, _) = listener.accept().await.unwrap();
        assert!(head(&mut upstream).await.contains("\r\nexpect: 100-continue\r\n"));
        upstream
            .write_all(b"HTTP/1.1 103 Early Hints\r\na: b\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
            .await
            .unwrap();
        assert!(head(&mut caller).await.starts_with("HTTP/1.1 103 "));
        assert_eq!(head(&mut caller).await, "HTTP/1.1 100 Continue\r\n\r\n");
        caller.write_all(b"body").await.unwrap();
        let mut body = [0; 4];
        upstream.read_exact(&mut body).await.unwrap();
        assert_eq!(&body, b"body");
        // The connections are good for more.
        for _ in 0..2 {
            upstream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            let answer = head(&mut caller).await;
            assert!(answer.starts_with("HTTP/1.1 200 ") && !answer.contains("close"), "{answer}");
            caller.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
            assert!(head(&mut upstream).await.starts_with("GET / "));
        }
    });
}

#[test]
fn an_answer_before_the_body_is_the_end() {
    story(async {
        let (listener, proxy) = backend();
        let mut caller = proxy.enter_raw();
        caller.write_all(ASKED).await.unwrap();
        let (mut upstream, _) = listener.accept().await.unwrap();
        head(&mut upstream).await;
        upstream.write_all(b"HTTP/1.1 401 No\r\ncontent-length: 2\r\n\r\nno").await.unwrap();
        let answer = head(&mut caller).await;
        assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("connection: close"), "{answer}");
        let mut rest = String::new();
        caller.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "no");
        // What comes next there would be taken for the body.
        assert_eq!(upstream.read(&mut [0]).await.unwrap(), 0);
    });
}

#[test]
fn an_upstream_that_does_not_know_of_it_is_sent_the_body_all_the_same() {
    story(async {
        let (listener, proxy) = backend();
        let mut caller = proxy.enter_raw();
        caller.write_all(ASKED).await.unwrap();
        let (mut upstream, _) = listener.accept().await.unwrap();
        head(&mut upstream).await;
        assert_eq!(head(&mut caller).await, "HTTP/1.1 100 Continue\r\n\r\n");
        caller.write_all(b"body").await.unwrap();
        let mut body = [0; 4];
        upstream.read_exact(&mut body).await.unwrap();
        upstream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        assert!(head(&mut caller).await.starts_with("HTTP/1.1 200 "));
    });
}

#[test]
fn who_has_sent_all_is_not_made_to_wait() {
    story(async {
        let (listener, proxy) = backend();
        let mut caller = proxy.enter_raw();
        caller.write_all(&[ASKED, b"body"].concat()).await.unwrap();
        let (mut upstream, _) = listener.accept().await.unwrap();
        assert!(!head(&mut upstream).await.contains("expect"));
        let mut body = [0; 4];
        upstream.read_exact(&mut body).await.unwrap();
        upstream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        assert!(head(&mut caller).await.starts_with("HTTP/1.1 200 "));
    });
}

/// Notes the interim responses, and sends its body after 100.
#[derive(Default)]
struct Noted(RefCell<Vec<StatusCode>>, Rc<Expectation>);

impl InterimSink for Noted {
    fn interim(&self, head: Response<()>) {
        self.0.borrow_mut().push(head.status());
        self.1.invited();
    }
}

/// Over HTTP/2, a backend that wants the body of `/up` alone.
fn backend2() -> SocketAddr {
    let listener = listen(SocketAddr::new(fresh_ip(), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let service = |request: Request<Body>, interims: codec::Interims| async move {
            assert_eq!(request.headers()["expect"], "100-continue");
            if request.uri().path() != "/up" {
                let refusal = Response::builder().status(401).body(Body::full("no"));
                return Reply::Response(refusal.unwrap());
            }
            interims.invite();
            let body = request.into_body().collect(100).await.unwrap();
            Reply::Response(Response::new(Body::full(body)))
        };
        let options = ServerOptions::default();
        let _ = codec::http2::serve_with_interims(stream, &options, std::future::pending(), service).await;
    });
    address
}

#[test]
fn it_is_the_same_over_http2() {
    story(async {
        let proxy = edge(vec![rule(0, "/")], &[]);
        proxy.apply(vec![service(Protocol::Http2), endpoints(vec![plain(backend2())])]);
        let io = proxy.enter_raw();
        let (sender, connection) = codec::http2::connect(io, &codec::ClientOptions::default()).await.unwrap();
        tokio::task::spawn_local(connection);
        for (path, said, status, text) in [
            ("http://a/up", &[StatusCode::CONTINUE][..], 200, "body"),
            ("http://a/no", &[], 401, "no"),
            ("http://a/up", &[StatusCode::CONTINUE], 200, "body"),
        ] {
            let request = Request::post(path).header("expect", "100-continue");
            let noted = Noted::default();
            let body = Body::boxed(crate::testing::Pieces::new(&["bo", "dy"], None));
            let body = Expecting::body(body, Rc::clone(&noted.1), || ());
            let sent = sender.send_with_interims(request.body(body).unwrap(), &noted);
            let response = sent.await.unwrap();
            assert_eq!((response.status().as_u16(), &**noted.0.borrow()), (status, said), "{path}");
            assert_eq!(response.into_body().collect(100).await.unwrap(), text);
        }
    });
}
