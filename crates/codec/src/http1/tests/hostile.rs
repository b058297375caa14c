//! Upstreams that answer in two ways at once, expectations, and clients that do not read.

use super::*;

async fn answered(head: &'static str) -> Result<Response<Body>, SendErrorKind> {
    let (mut sender, driver) = connect(scripted(head.as_bytes())).await.unwrap();
    spawn_local(driver);
    let answer = sender.send(get("/")).await.map_err(|error| error.kind);
    if answer.is_err() {
        assert!(!sender.is_ready(), "{head:?} left a connection for the next request");
    }
    answer
}

#[test]
fn a_response_with_two_readings_is_refused() {
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nhello",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
        "HTTP/1.1 200 OK\r\nX: a\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\nhello",
    ] {
        let answer = run(answered(head));
        assert!(matches!(answer, Err(SendErrorKind::Protocol)), "{head:?}: {answer:?}");
    }
    let ok = run(answered("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n"));
    assert_eq!(ok.unwrap().status(), 200);
}

#[test]
fn a_chunk_with_two_readings_breaks_the_body() {
    for body in ["5 \r\nhello\r\n0\r\n\r\n", "5;a\0\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\n\n"] {
        let head = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        let broken = run(async {
            let (mut sender, driver) = connect(scripted(head)).await.unwrap();
            spawn_local(driver);
            let response = sender.send(get("/")).await.unwrap();
            (response.into_body().collect(10).await.is_err(), sender.ready().await.is_err())
        });
        assert_eq!(broken, (true, true), "{body:?}");
    }
}

/// Answers 417 without a look at the body.
async fn refuses(_request: Request<Body>) -> Reply {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = http::StatusCode::EXPECTATION_FAILED;
    Reply::Response(response)
}

#[test]
fn what_follows_a_refused_expectation_is_never_a_request() {
    run(async {
        for (head, behind) in [
            // The client waits, is refused, and goes on with its next request.
            ("Content-Length: 500", "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("Transfer-Encoding: chunked", "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"),
            // It does not wait, and the body looks like a request.
            ("Content-Length: 32", "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"),
        ] {
            let (mut client, server) = duplex(1 << 16);
            let options = ServerOptions::default();
            let serving =
                spawn_local(async move { serve(server, &options, std::future::pending(), refuses).await });
            let head = format!("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{head}\r\n\r\n");
            client.write_all(head.as_bytes()).await.unwrap();
            let mut first = [0; 12];
            client.read_exact(&mut first).await.unwrap();
            assert_eq!(&first, b"HTTP/1.1 417");
            // Fails if the server has closed already.
            let _ = client.write_all(behind.as_bytes()).await;
            let mut rest = Vec::new();
            client.read_to_end(&mut rest).await.unwrap();
            assert!(!String::from_utf8_lossy(&rest).contains("HTTP/1.1"), "{head:?}");
            let _ = serving.await.unwrap();
        }
    });
}

#[test]
fn a_client_behind_a_stream_that_buffers_is_cut_too() {
    run(async {
        let (mut client, server) = duplex(64);
        let full = |_| async { Reply::Response(Response::new(Body::full(vec![b'x'; 1_000]))) };
        let serving = spawn_local(async move {
            // Like TLS: it takes what its socket does not.
            let server = tokio::io::BufStream::new(server);
            serve(server, &ServerOptions::default(), std::future::pending(), full).await
        });
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(3_600), serving).await;
        assert!(matches!(ended, Ok(Ok(Err(ServeError::Io(_))))), "{ended:?}");
    });
}

#[test]
fn a_client_that_reads_nothing_is_cut() {
    // More than is taken ahead, so that the exchange stays open; and so little that it is over but for its bytes.
    for len in [10_000_000, 1_000] {
        run(async move {
            let (mut client, server) = duplex(64);
            let options = ServerOptions::default();
            let full = move |_| async move { Reply::Response(Response::new(Body::full(vec![b'x'; len]))) };
            let serving =
                spawn_local(async move { serve(server, &options, std::future::pending(), full).await });
            client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            let ended = serving.await.unwrap();
            assert!(matches!(ended, Err(ServeError::Io(_))), "{ended:?}");
        });
    }
}

#[test]
fn an_upgrade_that_is_refused_before_its_body_came_holds_nobody() {
    run(async {
        let (mut client, server) = duplex(1 << 16);
        let back = |request: Request<Body>| async { Reply::Response(Response::new(request.into_body())) };
        spawn_local(
            async move { serve(server, &ServerOptions::default(), std::future::pending(), back).await },
        );
        let head =
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 2\r\n\r\n";
        client.write_all(head.as_bytes()).await.unwrap();
        let mut byte = [0; 1];
        client.read_exact(&mut byte).await.unwrap();
        client.write_all(b"hiGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut rest = String::new();
        client.read_to_string(&mut rest).await.unwrap();
        assert!(
            rest.contains("connection: close") && rest.ends_with("\r\n\r\nhi"),
            "one answer, whole: {rest}"
        );
    });
}
