#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::{LocalSet, spawn_local};

use super::Upgrade;
use crate::{Body, ClientOptions, Reply, ServerOptions, Tunnel, http1, http2};

fn run<T>(story: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, story)
}

fn options() -> ServerOptions {
    ServerOptions { takes_upgrades: true, ..ServerOptions::default() }
}

type Asked = Rc<RefCell<Vec<String>>>;

/// Echoes what is upgraded to `echo`, refuses what is to `no`, and ignores all else. What it was asked is noted.
fn service(asked: &Asked) -> impl Fn(Request<Body>) -> std::future::Ready<Reply> + use<> {
    let asked = Rc::clone(asked);
    move |request| {
        let upgrade = request.extensions().get::<Upgrade>();
        let to = upgrade.map_or("-", |upgrade| upgrade.protocols().to_str().unwrap());
        asked.borrow_mut().push(format!("{} {} {to}", request.method(), request.uri()));
        std::future::ready(match upgrade.and_then(|upgrade| upgrade.first(|to| to == "echo" || to == "no")) {
            Some(upgrade) if upgrade.protocols() == "echo" => {
                let mut headers = HeaderMap::new();
                headers.insert("connection", "upgrade".parse().unwrap());
                headers.insert("upgrade", upgrade.protocols().clone());
                headers.insert("x-kept", "1".parse().unwrap());
                Reply::Tunnel { headers, run: Box::new(|tunnel| Box::pin(echo(tunnel))) }
            }
            Some(_) => {
                let mut response = Response::new(Body::full("no"));
                *response.status_mut() = StatusCode::FORBIDDEN;
                Reply::Response(response)
            }
            None => Reply::Response(Response::new(Body::full("plain"))),
        })
    }
}

async fn echo(tunnel: Tunnel) {
    let (mut read, mut write) = tokio::io::split(tunnel);
    let _ = tokio::io::copy(&mut read, &mut write).await;
    let _ = write.shutdown().await;
}

fn asking(method: &str, to: &str) -> Request<Body> {
    let mut request =
        Request::builder().method(method).uri("/x?y").header("host", "h").body(Body::empty()).unwrap();
    request.extensions_mut().insert(Upgrade::try_from(to).unwrap());
    request
}

/// Status, what is behind it, and what the server saw.
async fn check_both(request: impl Fn() -> Request<Body>, expected: (u16, &str), seen: [&str; 2]) {
    let asked = Asked::default();
    let (client, server) = duplex(64 * 1024);
    let serving = service(&asked);
    spawn_local(async move { http1::serve(server, &options(), std::future::pending(), serving).await });
    let (mut sender, driver) = http1::connect(client).await.unwrap();
    spawn_local(driver);
    let first = outcome(sender.send(request()).await.unwrap()).await;

    let (client, server) = duplex(64 * 1024);
    let serving = service(&asked);
    spawn_local(async move { http2::serve(server, &options(), std::future::pending(), serving).await });
    let (sender, driver) = http2::connect(client, &ClientOptions::default()).await.unwrap();
    spawn_local(driver);
    sender.settled().await;
    assert!(sender.takes_upgrades());
    let second = outcome(sender.send(request()).await.unwrap()).await;
    for (status, text) in [first, second] {
        assert_eq!((status, text.as_str()), expected);
    }
    assert_eq!(*asked.borrow(), seen);
}

async fn outcome(mut response: Response<Body>) -> (u16, String) {
    let status = response.status().as_u16();
    let Some(mut tunnel) = response.body_mut().take_tunnel() else {
        let text = response.into_body().collect(100).await.unwrap();
        return (status, String::from_utf8(text.to_vec()).unwrap());
    };
    assert_eq!(response.headers()["x-kept"], "1");
    tunnel.write_all(b"hello").await.unwrap();
    tunnel.shutdown().await.unwrap();
    let mut text = String::new();
    // The other half is still open.
    tunnel.read_to_string(&mut text).await.unwrap();
    (status, text)
}

#[test]
fn both_versions_upgrade_in_one_form() {
    run(async {
        check_both(|| asking("GET", "echo"), (101, "hello"), ["GET /x?y echo", "GET /x?y echo"]).await;
        // HTTP/2 has no other method for it.
        check_both(|| asking("POST", "echo"), (101, "hello"), ["POST /x?y echo", "GET /x?y echo"]).await;
    });
}

#[test]
fn a_refusal_is_an_ordinary_response() {
    run(check_both(|| asking("GET", "no"), (403, "no"), ["GET /x?y no", "GET /x?y no"]));
}

async fn converse(bytes: &str, options: ServerOptions) -> (String, Vec<String>) {
    let asked = Asked::default();
    let (mut client, server) = duplex(64 * 1024);
    let serving = service(&asked);
    spawn_local(async move { http1::serve(server, &options, std::future::pending(), serving).await });
    client.write_all(bytes.as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    let asked = asked.borrow().clone();
    (answer, asked)
}

#[test]
fn what_comes_with_the_request_is_the_first_of_the_tunnel() {
    let text =
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: other, echo\r\n\r\nearly";
    let (answer, asked) = run(converse(text, options()));
    assert!(answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{answer}");
    assert!(answer.contains("\r\nupgrade: echo\r\n") && answer.contains("connection: upgrade"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nearly") && !answer.contains("content-length"), "{answer}");
    assert_eq!(asked, ["GET / other, echo"]);
}

/// Nothing that may be a message to somebody becomes bytes of a tunnel, nor the other way about.
#[test]
fn a_request_that_asks_oddly_is_an_ordinary_one() {
    let behind = "GET /behind HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    for fields in [
        "Upgrade: echo\r\n",
        "Connection: x-upgrade\r\nUpgrade: echo\r\n",
        "Connection: upgrade\r\nUpgrade: echo\r\nUpgrade: echo\r\n",
        "Connection: upgrade\r\nUpgrade: none\r\n",
        "Connection: upgrade\r\nUpgrade:\r\n",
        "Connection: upgrade\r\nUpgrade: e(cho\r\n",
        "Connection: upgrade\r\n",
    ] {
        let (answer, asked) =
            run(converse(&format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n{behind}"), options()));
        assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{fields} -> {answer}");
        assert_eq!(asked[1], "GET /behind -", "{fields}");
    }
    for head in [
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: echo\r\nContent-Length: 2\r\n\r\nhi",
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: echo\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive, upgrade\r\nUpgrade: echo\r\n\r\n",
    ] {
        let (answer, asked) = run(converse(&format!("{head}{behind}"), options()));
        assert_eq!(answer.matches(" 200 OK").count(), 2, "{head} -> {answer}");
        assert_eq!(asked[1], "GET /behind -", "{head}");
    }
    let closing = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close, upgrade\r\nUpgrade: echo\r\n\r\n";
    let (answer, asked) = run(converse(closing, options()));
    assert!(answer.contains(" 200 OK") && asked == ["GET / -"], "{answer}");
    // And of whoever takes none.
    let text = "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    let (answer, asked) = run(converse(text, ServerOptions::default()));
    assert!(answer.contains(" 200 OK") && asked == ["GET / -"], "{answer}");
}

/// A server that answers with `answer` to whatever comes.
fn scripted(answer: &'static [u8]) -> DuplexStream {
    let (client, mut server) = duplex(64 * 1024);
    spawn_local(async move {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            server.read_buf(&mut head).await.unwrap();
        }
        server.write_all(answer).await.unwrap();
        std::future::pending::<()>().await;
    });
    client
}

#[test]
fn a_client_asks_as_http_1_does_and_takes_no_change_that_it_did_not_ask_for() {
    run(async {
        let (client, mut server) = duplex(1024);
        let (mut sender, driver) = http1::connect(client).await.unwrap();
        spawn_local(driver);
        let asked = spawn_local(async move { sender.send(asking("GET", "foo/2")).await.map(drop) });
        let mut head = vec![0; 1024];
        let len = server.read(&mut head).await.unwrap();
        let head = String::from_utf8_lossy(&head[..len]);
        assert!(head.contains("\r\nconnection: upgrade\r\nupgrade: foo/2\r\n"), "{head}");
        drop(server);
        assert!(asked.await.unwrap().is_err());

        let unasked = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: foo\r\n\r\n";
        let (mut sender, driver) = http1::connect(scripted(unasked)).await.unwrap();
        spawn_local(driver);
        let mut request = asking("GET", "foo");
        request.extensions_mut().clear();
        assert!(sender.send(request).await.is_err());
    });
}

/// By HTTP/2's rules a peer must not send what nobody offered.
#[test]
fn http_2_does_not_ask_a_server_that_does_not_offer_it() {
    run(async {
        let (client, server) = duplex(64 * 1024);
        let serving = service(&Asked::default());
        spawn_local(async move {
            http2::serve(server, &ServerOptions::default(), std::future::pending(), serving).await
        });
        let (sender, driver) = http2::connect(client, &ClientOptions::default()).await.unwrap();
        spawn_local(driver);
        sender.settled().await;
        assert!(!sender.takes_upgrades());
        let error = sender.send(asking("GET", "echo")).await.unwrap_err();
        assert_eq!(error.kind, crate::SendErrorKind::NotSent);
        assert_eq!(error.request.unwrap().method(), "GET");
    });
}

#[test]
fn names_of_protocols_are_tokens() {
    for good in ["websocket", "h2c", "SPDY/3.1", "TLS/1.0"] {
        assert!(Upgrade::try_from(good).is_ok(), "{good}");
        assert!(Upgrade::of_pseudo_field(Bytes::copy_from_slice(good.as_bytes())).is_some(), "{good}");
    }
    for bad in ["", "/", "a/", "/1", "a/b/c", "a b", "a,b", "a\r\nb", "ä"] {
        assert!(Upgrade::try_from(bad).is_err(), "{bad:?}");
        assert!(Upgrade::of_pseudo_field(Bytes::copy_from_slice(bad.as_bytes())).is_none(), "{bad:?}");
    }
    assert_eq!(Method::GET, *asking("GET", "a").method());
}
