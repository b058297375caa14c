//! Who reads, writes and waits: bodies that are read in another task, connections that end while nobody looks, and how
//! often a stream is touched.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::*;

/// Counts what is really written.
struct Counting {
    io: DuplexStream,
    writes: Rc<Cell<usize>>,
}

impl AsyncRead for Counting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counting {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.writes.set(self.writes.get() + 1);
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writes.set(self.writes.get() + 1);
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[test]
fn head_and_body_go_out_with_one_write() {
    // Copied behind the head, and as a slice of its own; for each of three requests, and for three at once.
    for (len, at_once, expected) in [(100, 1, 3), (100, 3, 1), (50_000, 1, 3)] {
        run(async move {
            let (mut client, io) = duplex(1 << 20);
            let writes = Rc::new(Cell::new(0));
            let server = Counting { io, writes: Rc::clone(&writes) };
            let service = move |_| async move { Reply::Response(Response::new(Body::full(vec![b'x'; len]))) };
            spawn_local(async move {
                serve(server, &ServerOptions::default(), std::future::pending(), service).await
            });
            for _ in 0..3 / at_once {
                let requests = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(at_once);
                client.write_all(requests.as_bytes()).await.unwrap();
                let mut answer = Vec::new();
                while answer.iter().filter(|byte| **byte == b'x').count() < len * at_once {
                    client.read_buf(&mut answer).await.unwrap();
                }
            }
            assert_eq!(writes.get(), expected, "{len} bytes, {at_once} at once");
        });
    }
}

#[test]
fn a_request_goes_out_with_one_write() {
    run(async {
        let (io, mut server) = duplex(1 << 16);
        spawn_local(async move {
            let mut request = Vec::new();
            while !request.ends_with(b"hello") {
                server.read_buf(&mut request).await.unwrap();
            }
            server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await.unwrap();
            let _ = server.read(&mut [0; 1]).await;
        });
        let writes = Rc::new(Cell::new(0));
        let (mut sender, driver) = connect(Counting { io, writes: Rc::clone(&writes) }).await.unwrap();
        spawn_local(driver);
        let request = Request::post("/").header(HOST, "a").body(Body::full("hello")).unwrap();
        let response = sender.send(request).await.unwrap();
        assert!(sender.is_ready(), "all has come with the head");
        assert_eq!(response.into_body().collect(10).await.unwrap(), "hi");
        assert_eq!(writes.get(), 1);
    });
}

/// The client's side of a connection whose service has its request bodies collected by other tasks.
fn elsewhere() -> DuplexStream {
    let (client, server) = duplex(1 << 16);
    let service = |request: Request<Body>| async {
        let reading = spawn_local(request.into_body().collect(1 << 20));
        Reply::Response(Response::new(Body::full(reading.await.unwrap().unwrap())))
    };
    spawn_local(
        async move { serve(server, &ServerOptions::default(), std::future::pending(), service).await },
    );
    client
}

#[test]
fn a_body_may_be_read_in_another_task() {
    run(async {
        let mut client = elsewhere();
        for _ in 0..2 {
            client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n").await.unwrap();
            for byte in [b"a", b"b", b"c"] {
                client.write_all(byte).await.unwrap();
                // Server and reader have their turns.
                tokio::task::yield_now().await;
            }
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\nabc") {
                assert!(client.read_buf(&mut answer).await.unwrap() > 0, "{answer:?}");
            }
        }
    });
}

#[test]
fn who_expects_to_be_asked_for_the_body_is_asked_once_it_is_wanted() {
    run(async {
        let mut client = elsewhere();
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
        client.write_all(head).await.unwrap();
        let mut asked = [0; 25];
        client.read_exact(&mut asked).await.unwrap();
        assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
        // Who does not wait is not asked.
        client.write_all(&[b"hi", &head[..], b"ho"].concat()).await.unwrap();
        client.shutdown().await.unwrap();
        let mut rest = String::new();
        client.read_to_string(&mut rest).await.unwrap();
        assert_eq!(statuses(&rest), ["200", "200"], "{rest}");
    });
}

#[test]
fn the_reader_of_a_body_finds_the_end_of_the_server() {
    run(async {
        let (mut client, server) = duplex(1 << 16);
        let (give, body) = oneshot::channel();
        let give = RefCell::new(Some(give));
        let service = move |request: Request<Body>| {
            let _ = give.borrow_mut().take().unwrap().send(request.into_body());
            std::future::pending()
        };
        let serving = spawn_local(async move {
            serve(server, &ServerOptions::default(), std::future::pending(), service).await
        });
        client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na").await.unwrap();
        let reading = spawn_local(body.await.unwrap().collect(10));
        tokio::task::yield_now().await;
        serving.abort();
        assert!(reading.await.unwrap().is_err());
        assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0, "the connection is held open");
    });
}

#[test]
fn what_was_closed_while_idle_takes_no_request_even_if_nobody_watched() {
    run(async {
        for last_words in ["", "HTTP/1.1 408 Request Timeout\r\n\r\n"] {
            let (client, mut server) = duplex(1024);
            let (mut sender, _driver) = connect(client).await.unwrap();
            server.write_all(last_words.as_bytes()).await.unwrap();
            drop(server);
            let error = sender.send(get("/")).await.unwrap_err();
            assert_eq!(error.kind, SendErrorKind::NotSent);
            assert!(error.request.is_some() && sender.is_closed());
        }
    });
}

#[test]
fn a_sender_waits_for_the_rest_of_a_request_that_was_answered_early() {
    run(async {
        let (client, mut server) = duplex(1 << 16);
        let (mut sender, driver) = connect(client).await.unwrap();
        spawn_local(driver);
        let (give, mut taken) = tokio::sync::mpsc::channel::<&'static str>(1);
        let pieces = futures_util::stream::poll_fn(move |cx| {
            let piece = |text| Ok(http_body::Frame::data(Bytes::from_static(text)));
            taken.poll_recv(cx).map(|text| text.map(|text| piece(text.as_bytes())))
        });
        let body = Body::boxed(http_body_util::StreamBody::new(pieces));
        let request = Request::post("/").header(HOST, "a").body(body).unwrap();
        give.send("one").await.unwrap();
        let mut sending = Box::pin(sender.send(request));
        let answer = async {
            let mut head = Vec::new();
            while !head.ends_with(b"3\r\none\r\n") {
                server.read_buf(&mut head).await.unwrap();
            }
            server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await.unwrap();
            server
        };
        let (response, mut server) = tokio::join!(&mut sending, answer);
        drop(sending);
        assert_eq!(response.unwrap().into_body().collect(10).await.unwrap(), "hi");
        assert!(!sender.is_ready() && !sender.is_closed(), "the request goes on");
        give.send("two").await.unwrap();
        drop(give);
        let mut rest = Vec::new();
        while !rest.ends_with(b"3\r\ntwo\r\n0\r\n\r\n") {
            assert!(server.read_buf(&mut rest).await.unwrap() > 0);
        }
        sender.ready().await.unwrap();
    });
}
