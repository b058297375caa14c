//! Callers who go away while nothing is said: the application must learn of it, however they came.

use super::bed::{Authority, Proxy, SOON, endpoints, fresh_ip, get, native, service, story};
use super::edge::{edge, rule};
use super::mesh::{Cluster, client};
use crate::accept::listen;
use crate::flow;
use codec::{ClientOptions, http2};
use model::route::RetryPolicy;
use model::service::Protocol;
use socket2::SockRef;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::timeout;

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n";

/// An application that hears one request, says this much, and waits until its caller is gone.
struct Silent {
    address: SocketAddr,
    heard: JoinHandle<TcpStream>,
}

impl Silent {
    fn at(listener: TcpListener, words: &'static [u8]) -> Self {
        let address = listener.local_addr().unwrap();
        let heard = spawn_local(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(words).await.unwrap();
            stream
        });
        Self { address, heard }
    }

    fn new(words: &'static [u8]) -> Self {
        Self::at(listen(SocketAddr::new(fresh_ip(), 0)).unwrap(), words)
    }

    /// Does `leave` once the request has been heard; the application must notice.
    async fn notices(self, how: &str, leave: impl AsyncFnOnce()) {
        let mut stream = timeout(SOON, self.heard).await.unwrap().unwrap();
        leave().await;
        let ended = timeout(SOON, async { while matches!(stream.read(&mut [0; 4096]).await, Ok(1..)) {} });
        assert!(ended.await.is_ok(), "the application was not told: {how}");
    }
}

/// Both ends of a connection.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = listen(SocketAddr::new(fresh_ip(), 0)).unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (ours, listener.accept().await.unwrap().0)
}

/// A caller at the gateway who has sent `words`.
async fn enters(proxy: &Proxy, words: &[u8]) -> (TcpStream, JoinHandle<()>) {
    let (mut ours, theirs) = pair().await;
    let (worker, address) = (Rc::clone(&proxy.worker), ours.local_addr().unwrap());
    let serving = spawn_local(flow::gateway(
        worker,
        theirs,
        address,
        SocketAddr::from(([0, 0, 0, 0], 80)),
        proxy.drain.clone(),
    ));
    ours.write_all(words).await.unwrap();
    (ours, serving)
}

/// The local application's connection to the service, on which it has sent `words`.
async fn calls(proxy: &Proxy, words: &[u8]) -> (TcpStream, JoinHandle<()>) {
    let (mut ours, theirs) = pair().await;
    let (worker, entry, drain) = (Rc::clone(&proxy.worker), proxy.entry(), proxy.drain.clone());
    let address = ours.local_addr().unwrap();
    let serving = spawn_local(async move {
        flow::serve_service(&worker, theirs, address, &entry, 80, drain).await;
    });
    ours.write_all(words).await.unwrap();
    (ours, serving)
}

fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

#[test]
fn a_reset_at_the_edge_reaches_a_silent_application() {
    let begun = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n";
    let sized = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi";
    let upload = b"POST / HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 9\r\n\r\nhi";
    for words in [&b""[..], begun, sized] {
        for request in [GET.to_vec(), GET.repeat(2), upload.to_vec()] {
            story(async {
                let application = Silent::new(words);
                let proxy = edge(vec![rule(0, "")], &[application.address]);
                let (caller, _) = enters(&proxy, &request).await;
                let how = String::from_utf8_lossy(&request);
                application.notices(&how, async || reset(caller)).await;
            });
        }
    }
}

#[test]
fn a_reset_in_the_mesh_reaches_a_silent_application() {
    for words in [&b""[..], b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"] {
        story(async {
            let authority = Authority::new();
            let ip = fresh_ip();
            let application = Silent::at(listen(SocketAddr::new(ip, 0)).unwrap(), words);
            let port = application.address.port();
            let east = Cluster::start(&authority, "east", ip, port, Protocol::Http1);
            let proxy = client(&authority, Protocol::Http1, vec![east.endpoint("east")]);
            let (caller, _) = calls(&proxy, GET).await;
            application.notices("through both proxies", async || reset(caller)).await;
        });
    }
}

#[test]
fn a_cancelled_stream_reaches_a_silent_application() {
    story(async {
        let application = Silent::new(b"");
        let proxy = edge(vec![rule(0, "")], &[application.address]);
        let (sender, connection) =
            http2::connect(proxy.enter_raw(), &ClientOptions::default()).await.unwrap();
        spawn_local(connection);
        let sending = spawn_local(async move { sender.send(get("http://shop.example/")).await.map(drop) });
        application.notices("RST_STREAM", async || sending.abort()).await;
    });
}

#[test]
fn a_reset_of_opaque_bytes_reaches_a_silent_application() {
    story(async {
        let authority = Authority::new();
        let (east, listener) = Cluster::by_hand(&authority);
        let application = Silent::at(listener, b"");
        let proxy = client(&authority, Protocol::Tcp, vec![east.endpoint("east")]);
        let (caller, _) = calls(&proxy, b"hello\r\n\r\n").await;
        application.notices("opaque bytes", async || reset(caller)).await;
    });
}

#[test]
fn a_reset_ends_the_wait_before_a_retry() {
    story(async {
        let application = Silent::new(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
        let mut again = rule(0, "");
        again.retry = Some(Box::new(RetryPolicy {
            attempts: 3,
            codes: vec![503],
            backoff: SOON * 10,
            ..RetryPolicy::default()
        }));
        let proxy = edge(vec![again], &[application.address]);
        let (caller, serving) = enters(&proxy, GET).await;
        application.heard.await.unwrap();
        reset(caller);
        assert!(timeout(SOON, serving).await.is_ok(), "still waits for its next attempt");
        assert_eq!(proxy.logged()[0]["response_flags"], "DC");
    });
}

#[test]
fn a_reset_ends_the_search_for_an_endpoint() {
    story(async {
        let authority = Authority::new();
        let ip = fresh_ip();
        // Accepted by the kernel; no handshake will ever be answered.
        let _deaf = listen(SocketAddr::new(ip, model::address::PORT_MESH)).unwrap();
        let known = vec![service(Protocol::Tcp), endpoints(vec![native("west", ip)])];
        let proxy = Proxy::new("west", authority.identity("client"), known);
        let (caller, serving) = calls(&proxy, b"hello").await;
        tokio::task::yield_now().await;
        reset(caller);
        assert!(timeout(SOON, serving).await.is_ok());
        assert_eq!(proxy.logged()[0]["response_flags"], "DC");
    });
}
