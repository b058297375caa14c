//! Callers beyond a worker's limit are refused by name, and only they.

use super::bed::{Application, Authority, Proxy, endpoints, fresh_ip, plain, service, story, wait_until};
use super::edge::{edge, edge_resources, rule};
use super::mesh::{Cluster, client};
use crate::accept::listen;
use crate::flow;
use crate::limits::{SharedPermit, Whose};
use crate::worker::Worker;
use codec::Body;
use http::Response;
use identity::Identity;
use model::service::Protocol;
use model::{MeshSettings, Reason, Resource, ResourceKey};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn refusals(worker: &Worker) -> u64 {
    refusals_for(worker, Reason::TooManyConnections)
}

fn refusals_for(worker: &Worker, reason: Reason) -> u64 {
    let text = worker.shared.observe.render(0, 0);
    let name = format!("leno_refused_connections_total{{reason=\"{}\"}} ", reason.row().code);
    text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0)
}

/// All permits for callers, each taken by another address.
fn take_all(worker: &Worker) -> Vec<SharedPermit> {
    let mut addresses = (0..=u32::MAX).map(|ip| std::net::Ipv4Addr::from(ip).into());
    std::iter::from_fn(|| worker.limits.callers.take(addresses.next()?)).collect()
}

#[test]
fn more_callers_than_seats_are_refused_and_counted() {
    story(async {
        let authority = Authority::new();
        let east = Cluster::named(&authority, "east");
        let gateway = &east.gateway.worker;
        let proxy = client(&authority, Protocol::Http1, vec![east.endpoint("east")]);
        let mut caller = proxy.call().await;
        let limits = &gateway.limits;
        let before = refusals(gateway);
        let taken = take_all(gateway);
        assert_eq!(caller.get("/").await.status(), 503);
        assert!(refusals(gateway) > before);
        drop(taken);
        let before = refusals(gateway);
        let mut others = (0..=u32::MAX).map(|ip| limits.handshakes.take(std::net::Ipv4Addr::from(ip).into()));
        let taken: Vec<_> = std::iter::from_fn(|| others.next().flatten()).collect();
        assert_eq!(caller.get("/").await.status(), 503);
        assert!(refusals(gateway) > before);
        drop(taken);
        // The control run: the permits that were taken were all that was missing. What failed is ejected for a
        // while, so somebody else asks.
        let other = client(&authority, Protocol::Http1, vec![east.endpoint("east")]);
        assert_eq!(other.call().await.get("/").await.status(), 200);
        assert!(limits.handshakes.take(fresh_ip()).is_some());
    });
}

#[test]
fn a_gateway_refuses_callers_beyond_its_seats() {
    story(async {
        let application = Application::named(fresh_ip(), "shop");
        let resources = edge_resources(vec![rule(0, "")], &[application.address]);
        let identity = Identity::new(Vec::new());
        let proxy = Proxy::new("west", identity, resources);
        let taken = take_all(&proxy.worker);
        let (_ours, theirs) = tokio::io::duplex(1024);
        let address = std::net::SocketAddr::new(fresh_ip(), 4321);
        flow::gateway(
            Rc::clone(&proxy.worker),
            theirs,
            address,
            SocketAddr::from(([0, 0, 0, 0], 80)),
            proxy.drain.clone(),
        )
        .await;
        assert_eq!(refusals(&proxy.worker), 1);
        drop(taken);
        assert_eq!(proxy.enter().await.get("/").await.status(), 200);
    });
}

/// Upstream connections are for all callers: who finds none free is told so at once, and asks nobody.
#[test]
fn a_request_that_would_need_one_upstream_connection_too_many_is_refused() {
    story(async {
        let application = Application::named(fresh_ip(), "shop");
        let proxy = edge(vec![rule(0, "")], &[application.address]);
        let share = || proxy.worker.limits.share(Whose::Own);
        let greedy: Vec<_> = std::iter::from_fn(|| share().take()).collect();
        let mut caller = proxy.enter().await;
        assert_eq!(caller.get("/").await.status(), 503);
        let line = &proxy.logged()[0];
        let told = [&line["response_flags"], &line["response_code_details"]];
        assert_eq!(told, ["UO", "connection_limit"]);
        assert_eq!(line["upstream_host"], serde_json::Value::Null);
        drop(greedy);
        assert_eq!(caller.get("/").await.status(), 200);
        // It gave its own back, too.
        assert!(share().take().is_some());
    });
}

/// Places that are free.
fn free(worker: &Worker) -> usize {
    std::iter::from_fn(|| worker.limits.share(Whose::Own).take()).collect::<Vec<_>>().len()
}

/// A tunnel between networks is an upstream connection like any other.
#[test]
fn a_tunnel_through_a_gateway_takes_a_place() {
    story(async {
        let authority = Authority::new();
        let east = Cluster::named(&authority, "east");
        let gateway = &east.gateway.worker;
        let greedy: Vec<_> = std::iter::from_fn(|| gateway.limits.share(Whose::Own).take()).collect();
        let all = greedy.len();
        let proxy = client(&authority, Protocol::Http1, vec![east.endpoint("east")]);
        assert_eq!(proxy.call().await.get("/").await.status(), 503);
        drop(greedy);
        let other = client(&authority, Protocol::Http1, vec![east.endpoint("east")]);
        assert_eq!(other.call().await.get("/").await.status(), 200);
        assert_eq!(free(gateway), all - 1);
        other.worker.upstream.http2().clear();
        wait_until("it is free again", || free(gateway) == all).await;
        assert_eq!(east.gateway.logged()[0]["response_code_details"], "connection_limit");
    });
}

/// A caller's stream must move within so long.
fn set_stream_idle(proxy: &Proxy, time: Duration) {
    let mut settings = MeshSettings::default();
    settings.http.stream_idle_timeout = time;
    proxy.apply(vec![(ResourceKey::Settings, Resource::Settings(settings))]);
}

/// In a time of its own, which passes as soon as nobody has anything to do.
fn timeless(story: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    tokio::task::LocalSet::new().block_on(&runtime.unwrap(), story);
}

#[test]
fn a_caller_who_stops_in_the_middle_of_a_body_gets_408() {
    for wait in [MeshSettings::default().http.stream_idle_timeout, Duration::from_secs(7)] {
        timeless(async {
            // Accepted by the kernel, never answered.
            let listener = std::net::TcpListener::bind((fresh_ip(), 0)).unwrap();
            let proxy = edge(vec![rule(0, "")], &[listener.local_addr().unwrap()]);
            set_stream_idle(&proxy, wait);
            let mut caller = proxy.enter_raw();
            let begun = "POST / HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 10\r\n\r\nabc";
            let since = tokio::time::Instant::now();
            caller.write_all(begun.as_bytes()).await.unwrap();
            let mut answer = [0; 13];
            caller.read_exact(&mut answer).await.unwrap();
            assert_eq!(since.elapsed().as_secs(), wait.as_secs());
            let mut rest = String::new();
            caller.read_to_string(&mut rest).await.unwrap();
            assert!(&answer == b"HTTP/1.1 408 " && rest.ends_with("request_body_timeout"), "{rest}");
            let line = &proxy.logged()[0];
            let told = (line["response_flags"].as_str(), line["bytes_received"].as_u64());
            assert_eq!(told, (Some("SI"), Some(3)));
        });
    }
}

/// Answers everybody at once, and never reads on.
fn hasty() -> SocketAddr {
    let listener = listen(SocketAddr::new(fresh_ip(), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        let mut held = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_exact(&mut [0; 16]).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            held.push(stream);
        }
    });
    address
}

/// Also one of gRPC, which may be silent for long while it is answered.
#[test]
fn an_upload_keeps_its_place_after_the_answer_but_not_for_ever() {
    const GRPC: &[u8] = b"\x0f\x10\x10application/grpc";
    for fields in [&[][..], GRPC] {
        timeless(async {
            let proxy = edge(vec![rule(0, "")], &[hasty()]);
            set_stream_idle(&proxy, Duration::from_secs(7));
            let all = free(&proxy.worker);
            let mut caller = proxy.enter_raw();
            let post = [&[0x83, 0x86, 0x84, 0x41, 12][..], b"shop.example", fields].concat();
            let begun = [frame(4, 0, 0, &[]), frame(1, 4, 1, &post), frame(0, 0, 1, b"abc")].concat();
            caller.write_all(&[&codec::HTTP2_PREFACE[..], &begun].concat()).await.unwrap();
            loop {
                let mut head = [0; 9];
                caller.read_exact(&mut head).await.unwrap();
                let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
                caller.read_exact(&mut vec![0; len as usize]).await.unwrap();
                let [_, _, _, kind, flags, .., stream] = head;
                if kind < 2 && flags & 1 == 1 && stream == 1 {
                    break;
                }
            }
            pass(Duration::from_secs(6)).await;
            assert_eq!(free(&proxy.worker), all - 1, "the response is over, the upload is not");
            pass(Duration::from_secs(2)).await;
            assert_eq!(free(&proxy.worker), all);
        });
    }
}

/// An HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Those, too, that the HTTP/2 library cuts before our own counts do.
#[test]
fn floods_and_broken_frames_are_counted_by_reason() {
    const GET: &[u8] = &[0x82, 0x86, 0x84, 0x41, 1, b'a'];
    let many = |frames: &dyn Fn(u32) -> Vec<u8>| (1..4000).step_by(2).flat_map(frames).collect::<Vec<u8>>();
    let rapid_reset = many(&|stream| [frame(1, 5, stream, GET), frame(3, 0, stream, &[0, 0, 0, 8])].concat());
    let made_you_reset =
        many(&|stream| [frame(1, 5, stream, GET), frame(8, 0, stream, &[0x7f, 0xff, 0xff, 0xff])].concat());
    let post = [&[0x83], &GET[1..]].concat();
    let empty_data = [frame(1, 4, 1, &post), frame(0, 0, 1, &[]).repeat(2000)].concat();
    // Who says goodbye in anger is no better.
    let and_goaway = [&rapid_reset[..], &frame(7, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 2])].concat();
    let data_on_zero = frame(0, 0, 0, b"x");
    for (frames, reason) in [
        (rapid_reset, Reason::BudgetExhausted),
        (made_you_reset, Reason::BudgetExhausted),
        (empty_data, Reason::BudgetExhausted),
        (and_goaway, Reason::BudgetExhausted),
        (data_on_zero, Reason::BadRequest),
    ] {
        story(async move {
            let proxy = edge(Vec::new(), &[]);
            let (mut read, mut write) = tokio::io::split(proxy.enter_raw());
            let hello = [&codec::HTTP2_PREFACE[..], &frame(4, 0, 0, &[]), &frames].concat();
            tokio::task::spawn_local(async move {
                let _ = write.write_all(&hello).await;
                std::future::pending::<()>().await;
            });
            let _ = read.read_to_end(&mut Vec::new()).await;
            wait_until("it is counted", || refusals_for(&proxy.worker, reason) == 1).await;
        });
    }
}

/// In a time of its own. The promise is ten seconds, for who says nothing, too little, or no whole head.
#[test]
fn who_sends_no_request_is_closed_when_its_time_is_over() {
    for begun in ["", "G", "PRI * HTTP", "GET / HTTP/1.1\r\nhost: shop.exam"] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        tokio::task::LocalSet::new().block_on(&runtime.unwrap(), async {
            let proxy = edge(Vec::new(), &[]);
            let mut caller = proxy.enter_raw();
            let since = tokio::time::Instant::now();
            caller.write_all(begun.as_bytes()).await.unwrap();
            assert_eq!(caller.read_to_end(&mut Vec::new()).await.unwrap(), 0);
            assert_eq!(since.elapsed().as_secs(), 10, "{begun:?}");
            wait_until("it is counted", || refusals_for(&proxy.worker, Reason::HeaderTimeout) == 1).await;
        });
    }
}

/// Virtual time.
async fn pass(time: Duration) {
    let _ = tokio::time::timeout(time, std::future::pending::<()>()).await;
}

/// In a time of its own. Ten callers' responses wait behind shut windows: for most there is no room, the others may
/// wait five minutes, in HTTP/2 as in HTTP/1. Each is logged with its reason, the connection once.
#[test]
fn responses_that_nobody_reads_are_given_up_by_name() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    tokio::task::LocalSet::new().block_on(&runtime.unwrap(), async {
        let application = Application::start(fresh_ip(), |_| Response::new(Body::full(vec![b'x'; 100_000])));
        let proxy = edge(vec![rule(0, "")], &[application.address]);
        let (mut read, mut caller) = tokio::io::split(proxy.enter_raw());
        // It takes what comes; it only opens no window.
        tokio::task::spawn_local(async move { tokio::io::copy(&mut read, &mut tokio::io::sink()).await });
        let get = [&[0x82, 0x86, 0x84, 0x41, 12][..], b"shop.example"].concat();
        let requests: Vec<u8> = (0..10).flat_map(|n| frame(1, 5, 2 * n + 1, &get)).collect();
        let small_windows = frame(4, 0, 0, &[0, 4, 0, 0, 0x40, 0]);
        let wide = frame(8, 0, 0, &[0x3f, 0, 0, 0]);
        caller
            .write_all(&[&codec::HTTP2_PREFACE[..], &small_windows, &wide, &requests].concat())
            .await
            .unwrap();
        pass(Duration::from_secs(299)).await;
        assert_eq!(refusals_for(&proxy.worker, Reason::BudgetExhausted), 1);
        pass(Duration::from_secs(9)).await;
        let lines = proxy.logged();
        let with = |reason: Reason| {
            lines.iter().filter(|line| line["response_code_details"] == reason.row().code).count()
        };
        let (shed, idle) = (with(Reason::BudgetExhausted), with(Reason::StreamIdle));
        assert!(shed > 0 && idle > 0 && shed + idle == 10, "{lines:?}");
    });
}

/// An HTTP/2 backend that opens its window after `shut`, and answers when it has had the request.
fn shut_backend(shut: Duration) -> SocketAddr {
    let listener = listen(SocketAddr::new(fresh_ip(), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (mut read, mut write) = stream.into_split();
        let hello = [frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]), frame(4, 1, 0, &[])].concat();
        write.write_all(&hello).await.unwrap();
        read.read_exact(&mut [0; 24]).await.unwrap();
        let mut head = [0; 9];
        while read.read_exact(&mut head).await.is_ok() {
            let len = usize::from(head[1]) << 8 | usize::from(head[2]);
            read.read_exact(&mut vec![0; len]).await.unwrap();
            match (head[3], head[4] & 1) {
                (1, _) => {
                    pass(shut).await;
                    write.write_all(&frame(8, 0, 1, &[0, 0, 0x10, 0])).await.unwrap();
                }
                (0, 1) => write.write_all(&frame(1, 5, 1, &[0x88])).await.unwrap(),
                _ => {}
            }
        }
    });
    address
}

/// What a backend takes to make room is not the caller's silence.
#[test]
fn a_caller_is_not_blamed_for_a_backend_that_takes_nothing() {
    for len in [20, 1500] {
        timeless(async move {
            let (limit, shut) = (Duration::from_secs(7), Duration::from_secs(20));
            let proxy = edge(vec![rule(0, "")], &[]);
            proxy.apply(vec![service(Protocol::Http2), endpoints(vec![plain(shut_backend(shut))])]);
            set_stream_idle(&proxy, limit);
            let mut caller = proxy.enter_raw();
            let chunk = format!("{len:x}\r\n{}\r\n", "x".repeat(len));
            let head = "POST / HTTP/1.1\r\nhost: shop.example\r\ntransfer-encoding: chunked\r\n\r\n";
            caller.write_all(format!("{head}{chunk}").as_bytes()).await.unwrap();
            pass(Duration::from_secs(1)).await;
            caller.write_all(chunk.as_bytes()).await.unwrap();
            pass(shut).await;
            caller.write_all(b"0\r\n\r\n").await.unwrap();
            let mut status = [0; 12];
            caller.read_exact(&mut status).await.unwrap();
            assert_eq!(&status, b"HTTP/1.1 200", "pieces of {len}");
        });
    }
}
