//! Time-outs that are said of a listener's callers, each in a time of its own.

use super::bed::{Application, Proxy, fresh_ip};
use super::client::with_clients;
use super::edge::{edge_resources, rule};
use crate::accept::listen;
use http::Response;
use identity::Identity;
use model::client_traffic::ClientTraffic;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep_until};

fn in_own_time(story: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    tokio::task::LocalSet::new().block_on(&runtime.unwrap(), story);
}

/// So much of the test's own time, which nobody waits for.
pub(super) async fn passes(time: Duration) {
    sleep_until(Instant::now() + time).await;
}

fn seconds(count: u64) -> Option<Duration> {
    Some(Duration::from_secs(count))
}

/// A gateway before an application that answers at once.
fn edge(settings: &ClientTraffic) -> Proxy {
    edge_to(Application::start(fresh_ip(), |_| Response::new(codec::Body::full("shop"))).address, settings)
}

fn edge_to(application: SocketAddr, settings: &ClientTraffic) -> Proxy {
    let resources = edge_resources(vec![rule(0, "")], &[application]);
    Proxy::new("west", Identity::new(Vec::new()), with_clients(resources, settings))
}

/// An application that takes all that comes, and never answers.
fn silent() -> SocketAddr {
    let listener = listen(SocketAddr::new(fresh_ip(), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::task::spawn_local(
                async move { tokio::io::copy(&mut stream, &mut tokio::io::sink()).await },
            );
        }
    });
    address
}

/// What a caller who says this hears until its connection ends, and after how many seconds that is.
async fn heard(proxy: &Proxy, said: &str) -> (String, u64) {
    let mut caller = proxy.enter_raw();
    let since = Instant::now();
    caller.write_all(said.as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    let _ = caller.read_to_end(&mut heard).await;
    (String::from_utf8(heard).unwrap(), since.elapsed().as_secs())
}

const GET: &str = "GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n";

#[test]
fn a_head_has_its_time() {
    in_own_time(async {
        let settings = ClientTraffic { request_headers_timeout: seconds(3), ..ClientTraffic::default() };
        let (_, time) = heard(&edge(&settings), "GET / HTTP/1.1\r\nhost: shop").await;
        assert_eq!(time, 3);
    });
}

#[test]
fn a_connection_without_a_request_has_its_time() {
    in_own_time(async {
        let settings = ClientTraffic { http_idle_timeout: seconds(7), ..ClientTraffic::default() };
        let (said, time) = heard(&edge(&settings), GET).await;
        assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
        assert_eq!(time, 7);
    });
}

/// `request_overall_timeout`, however fast its bytes come.
#[test]
fn a_request_that_does_not_come_in_time_is_answered_with_408() {
    in_own_time(async {
        let settings = ClientTraffic { request_received_timeout: seconds(20), ..ClientTraffic::default() };
        let proxy = edge_to(silent(), &settings);
        let (mut read, mut write) = tokio::io::split(proxy.enter_raw());
        let head = "POST / HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 1000\r\n\r\n";
        write.write_all(head.as_bytes()).await.unwrap();
        let since = Instant::now();
        tokio::task::spawn_local(async move {
            while write.write_all(b"x").await.is_ok() {
                passes(Duration::from_secs(1)).await;
            }
        });
        let mut heard = [0; 12];
        read.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"HTTP/1.1 408");
        assert_eq!(since.elapsed().as_secs(), 20);
        drop(read);
        let lines = proxy.logged();
        assert_eq!(lines[0]["response_code_details"], model::Reason::RequestReceivedTimeout.row().code);
    });
}

/// It is told so with its next response.
#[test]
fn a_connection_has_its_time() {
    in_own_time(async {
        let settings = ClientTraffic { max_connection_duration: seconds(60), ..ClientTraffic::default() };
        let proxy = edge(&settings);
        let mut caller = proxy.enter_raw();
        let mut responses = Vec::new();
        for _ in 0..2 {
            caller.write_all(GET.as_bytes()).await.unwrap();
            let mut said = Vec::new();
            while !said.ends_with(b"shop") {
                assert_ne!(caller.read_buf(&mut said).await.unwrap(), 0);
            }
            responses.push(String::from_utf8(said).unwrap());
            passes(Duration::from_secs(59)).await;
        }
        assert!(responses.iter().all(|said| !said.contains("connection: close")), "{responses:?}");
        passes(Duration::from_millis(1500)).await;
        let since = Instant::now();
        caller.write_all(GET.as_bytes()).await.unwrap_or_default();
        let mut said = Vec::new();
        let _ = caller.read_to_end(&mut said).await;
        let said = String::from_utf8(said).unwrap();
        assert!(said.is_empty() || said.contains("connection: close"), "{said}");
        assert!(since.elapsed() < Duration::from_secs(5), "it ends");
    });
}
