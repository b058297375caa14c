//! Answers that come before the request is complete, and ends that the client must see.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::*;

/// Answers without a look at the body.
async fn declines(_request: Request<Body>) -> Reply {
    let mut response = Response::new(Body::full("no"));
    *response.status_mut() = http::StatusCode::NOT_FOUND;
    Reply::Response(response)
}

/// The client's side of a connection that is served by `declines`, and how serving ended.
fn declining(buffer: usize) -> (DuplexStream, tokio::task::JoinHandle<Result<(), ServeError>>) {
    let (client, server) = duplex(buffer);
    let options = ServerOptions::default();
    let serving = spawn_local(async move { serve(server, &options, std::future::pending(), declines).await });
    (client, serving)
}

#[test]
fn an_answer_before_the_body_came_says_that_it_is_the_last() {
    for head in
        ["Content-Length: 100000", "Transfer-Encoding: chunked", "Expect: 100-continue\r\nContent-Length: 9"]
    {
        run(async {
            let (mut client, _serving) = declining(1 << 16);
            let head = format!("POST / HTTP/1.1\r\nHost: h\r\n{head}\r\n\r\n");
            client.write_all(head.as_bytes()).await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("connection: close"), "{answer}");
        });
    }
}

#[test]
fn an_answer_after_the_body_came_keeps_the_connection() {
    let request = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi";
    run(async {
        let (mut client, _serving) = declining(1 << 16);
        client.write_all(request.repeat(2).as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(statuses(&answer), ["404", "404"], "{answer}");
        assert!(!answer.contains("connection"), "{answer}");
    });
}

#[test]
fn a_client_that_writes_all_before_it_reads_gets_the_early_answer() {
    run(async {
        let (mut client, serving) = declining(1 << 12);
        client.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\n").await.unwrap();
        client.write_all(&vec![b'x'; 10_000_000]).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
        drop(client);
        assert!(serving.await.unwrap().is_ok());
    });
}

#[test]
fn the_rest_of_a_declined_request_is_awaited_within_limits() {
    // Silence, and a trickle.
    for (every, expected) in [(60, 5), (4, 30)] {
        run(async move {
            let (mut client, serving) = declining(1 << 12);
            client.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n").await.unwrap();
            let begun = tokio::time::Instant::now();
            spawn_local(async move {
                let mut ticks = tokio::time::interval(Duration::from_secs(every));
                while client.write_all(b"x").await.is_ok() {
                    ticks.tick().await;
                }
            });
            let _ = serving.await.unwrap();
            assert_eq!(begun.elapsed().as_secs(), expected);
        });
    }
}

/// An upstream that ends its connection behind its answer.
fn brief(answer: &'static [u8]) -> DuplexStream {
    let (client, mut server) = duplex(1 << 16);
    spawn_local(async move {
        let _ = server.read(&mut [0; 1024]).await;
        server.write_all(answer).await.unwrap();
    });
    client
}

/// Asks once as `version` with `keep-alive`, of a service whose upstream answers `answer`; returns all bytes that
/// come until the server closes or is idle.
async fn relayed(version: &str, answer: &'static [u8]) -> String {
    let service = move |request: Request<Body>| async move {
        let (mut sender, driver) = connect(brief(answer)).await.unwrap();
        spawn_local(driver);
        let mut response = sender.send(request).await.unwrap();
        crate::headers::strip_hop_by_hop(response.headers_mut());
        Reply::Response(response)
    };
    let (mut client, server) = duplex(1 << 16);
    let options = ServerOptions::default();
    spawn_local(async move { serve(server, &options, std::future::pending(), service).await });
    let request = format!("GET / {version}\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    answer
}

#[test]
fn a_client_of_http_1_0_is_promised_only_what_holds() {
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
    let answer = run(relayed("HTTP/1.0", chunked));
    assert!(answer.contains("connection: close") && !answer.contains("keep-alive"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nhi"), "{answer}");
    let answer = run(relayed("HTTP/1.0", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"));
    assert!(answer.contains("connection: keep-alive") && !answer.contains("close"), "{answer}");
}

#[test]
fn the_version_of_an_upstream_is_not_passed_on() {
    for upstream in ["HTTP/1.0 200 OK\r\n\r\nhi", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi"] {
        let answer = run(relayed("HTTP/1.1", upstream.as_bytes()));
        assert!(answer.starts_with("HTTP/1.1 200 OK") && !answer.contains("close"), "{answer}");
    }
}

/// Says when it is given up.
struct Held(Rc<Cell<bool>>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

#[test]
fn a_client_that_ends_its_side_is_waited_for_only_so_long() {
    run(async {
        let (mut client, server) = duplex(1 << 16);
        let given_up = Rc::new(Cell::new(false));
        let flag = Rc::clone(&given_up);
        let service = move |_| {
            let held = Held(Rc::clone(&flag));
            async move {
                let _held = held;
                std::future::pending().await
            }
        };
        let options = ServerOptions::default();
        let serving =
            spawn_local(async move { serve(server, &options, std::future::pending(), service).await });
        // With the next one behind it, which is not looked at yet.
        client.write_all(&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2)).await.unwrap();
        let begun = tokio::time::Instant::now();
        tokio::time::advance(Duration::from_secs(100)).await;
        client.shutdown().await.unwrap();
        assert!(matches!(serving.await.unwrap(), Err(ServeError::Aborted(_))));
        assert_eq!((begun.elapsed().as_secs(), given_up.get()), (105, true));
    });
}

#[test]
fn a_half_closed_client_gets_all_that_keeps_coming() {
    run(async {
        let (mut client, server) = duplex(1 << 16);
        let service = |_| async {
            let ticks = tokio::time::interval(Duration::from_secs(4));
            let pieces = futures_util::stream::unfold((ticks, 0), |(mut ticks, count)| async move {
                ticks.tick().await;
                let piece = Ok(http_body::Frame::data(Bytes::from_static(b"x")));
                (count < 10).then_some((piece, (ticks, count + 1)))
            });
            Reply::Response(Response::new(Body::boxed(http_body_util::StreamBody::new(pieces))))
        };
        let options = ServerOptions::default();
        spawn_local(async move { serve(server, &options, std::future::pending(), service).await });
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer.matches("\r\nx\r\n").count(), 10, "{answer}");
    });
}

/// An upstream that closes once it has heard something, and whose answer is found only after writing has failed.
struct Rude {
    heard: bool,
    answer: &'static [u8],
    reader: Option<Waker>,
}

impl AsyncWrite for Rude {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if !std::mem::replace(&mut self.heard, true) {
            return Poll::Ready(Ok(buf.len()));
        }
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Rude {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.heard {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        buf.put_slice(std::mem::take(&mut self.answer));
        Poll::Ready(Ok(()))
    }
}

#[test]
fn the_answer_of_an_upstream_that_closed_in_the_middle_of_the_request_is_found() {
    run(async {
        let answer = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig";
        let (mut sender, driver) = connect(Rude { heard: false, answer, reader: None }).await.unwrap();
        spawn_local(driver);
        let piece = || Ok(http_body::Frame::data(Bytes::from_static(&[b'x'; 100_000])));
        let pieces = futures_util::stream::repeat_with(piece);
        let body = Body::boxed(http_body_util::StreamBody::new(pieces));
        let upload = Request::post("/").header(HOST, "a").body(body).unwrap();
        let response = sender.send(upload).await.unwrap();
        assert_eq!(response.status(), 413);
        assert_eq!(response.into_body().collect(10).await.unwrap(), "big");
        assert!(sender.ready().await.is_err());
    });
}
