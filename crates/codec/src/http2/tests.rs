#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{COOKIE, HOST, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::{JoinHandle, LocalSet, spawn_local};

use super::{Http2Sender, connect, serve};
use crate::{
    Body, BodyError, ClientOptions, Flood, HTTP2_PREFACE, Reply, ResetCode, SendErrorKind, ServeError,
    ServerOptions,
};

/// Runs on one thread; time jumps to the next deadline whenever nothing else can happen.
fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, test)
}

type Ended = JoinHandle<Result<(), ServeError>>;

fn serving<S, F>(io: DuplexStream, drain: impl Future<Output = ()> + 'static, service: S) -> Ended
where
    S: Fn(Request<Body>) -> F + 'static,
    F: Future<Output = Reply> + 'static,
{
    spawn_local(async move { serve(io, &ServerOptions::default(), drain, service).await })
}

async fn client(io: DuplexStream) -> (Http2Sender, JoinHandle<()>) {
    let (sender, driver) = connect(io, &ClientOptions::default()).await.unwrap();
    (sender, spawn_local(driver))
}

/// A sender whose connection ends at `service`.
async fn pair<S, F>(service: S) -> (Http2Sender, Ended)
where
    S: Fn(Request<Body>) -> F + 'static,
    F: Future<Output = Reply> + 'static,
{
    let (near, far) = duplex(1 << 16);
    let ended = serving(far, std::future::pending(), service);
    (client(near).await.0, ended)
}

async fn echo(request: Request<Body>) -> Reply {
    let line = format!("{} {} {:?} ", request.method(), request.uri(), request.headers().get(HOST));
    match request.into_body().collect_with_trailers(1 << 26).await {
        Ok((body, trailers)) => {
            let trailers = trailers.map(|trailers| format!("{:?}", trailers["t"])).unwrap_or_default();
            let body = [line.as_bytes(), &body, trailers.as_bytes()].concat();
            Reply::Response(Response::new(Body::full(body)))
        }
        Err(_) => Reply::Reset(ResetCode::Cancel),
    }
}

fn request(path: &str, body: Body) -> Request<Body> {
    Request::builder().method("POST").uri(path).header(HOST, "a.b:80").body(body).unwrap()
}

/// Frames that come from a channel.
struct Frames(mpsc::Receiver<Frame<Bytes>>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

fn stream() -> (mpsc::Sender<Frame<Bytes>>, Body) {
    let (sender, receiver) = mpsc::channel(1);
    (sender, Body::boxed(Frames(receiver)))
}

#[test]
fn requests_become_canonical_and_share_a_connection() {
    run(async {
        let (sender, _) = pair(echo).await;
        let (one, two) = tokio::join!(
            sender.send(request("/x?y", Body::full("one"))),
            sender.send(request("/z", Body::empty()))
        );
        let one = one.unwrap();
        assert_eq!(sender.active_streams(), 2);
        let (one, two) = (one.into_body().collect(99).await, two.unwrap().into_body().collect(99).await);
        assert_eq!(one.unwrap(), "POST /x?y Some(\"a.b:80\") one");
        assert_eq!(two.unwrap(), "POST /z Some(\"a.b:80\") ");
        assert_eq!(sender.active_streams(), 0);
    });
}

/// A body of a few bytes with trailers of about `len` bytes, the last of them small.
fn with_trailers(len: usize) -> Body {
    let (frames, body) = stream();
    spawn_local(async move {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-detail", HeaderValue::from_str(&"d".repeat(len)).unwrap());
        trailers.insert("t", HeaderValue::from_static("end"));
        frames.send(Frame::data(Bytes::from_static(b"hi"))).await.unwrap();
        // Nobody reads them if the stream was reset.
        let _ = frames.send(Frame::trailers(trailers)).await;
    });
    body
}

/// Many a library passes on what fits, as if that were all.
#[test]
fn trailers_are_whole_or_a_failure() {
    for (len, is_whole) in [(60_000, true), (66_000, false), (200_000, false)] {
        run(async {
            let (sender, _) =
                pair(move |_| async move { Reply::Response(Response::new(with_trailers(len))) }).await;
            let response = sender.send(request("/", Body::empty())).await.unwrap();
            let read = response.into_body().collect_with_trailers(99).await;
            assert_eq!(read.is_ok(), is_whole, "{len}: {read:?}");
            assert!(read.is_err() || read.unwrap().1.unwrap()["t"] == "end");
            assert_eq!(sender.send(request("/", Body::empty())).await.unwrap().status(), 200, "next stream");

            let (sender, _) = pair(echo).await;
            let answer = sender.send(request("/", with_trailers(len))).await;
            assert_eq!(answer.is_ok(), is_whole, "{len}: {answer:?}");
        });
    }
}

#[test]
fn large_bodies_pass_through_small_windows_with_trailers() {
    run(async {
        let (sender, _) = pair(echo).await;
        let (frames, body) = stream();
        let piece = Bytes::from(vec![b'x'; 100_000]);
        let writing = spawn_local(async move {
            for _ in 0..50 {
                frames.send(Frame::data(piece.clone())).await.unwrap();
            }
            let mut trailers = HeaderMap::new();
            trailers.insert("t", HeaderValue::from_static("end"));
            frames.send(Frame::trailers(trailers)).await.unwrap();
        });
        let response = sender.send(request("/", body)).await.unwrap();
        let body = response.into_body().collect(1 << 26).await.unwrap();
        assert!(body.len() > 5_000_000 && body.ends_with(b"x\"end\""));
        writing.await.unwrap();
    });
}

#[test]
fn a_stream_goes_both_ways_at_once() {
    run(async {
        let (sender, _) = pair(|request| async { Reply::Response(Response::new(request.into_body())) }).await;
        let (frames, body) = stream();
        let mut back = sender.send(request("/", body)).await.unwrap().into_body();
        for text in ["one", "two"] {
            frames.send(Frame::data(Bytes::from(text))).await.unwrap();
            assert_eq!(back.frame().await.unwrap().unwrap().into_data().unwrap(), text);
        }
        drop(frames);
        assert!(back.frame().await.is_none());
    });
}

#[test]
fn a_refused_stream_is_told_from_a_reset_one() {
    run(async {
        let (sender, _) = pair(|request: Request<Body>| async move {
            match request.uri().path() {
                "/refuse" => Reply::Reset(ResetCode::RefusedStream),
                _ => Reply::Reset(ResetCode::InternalError),
            }
        })
        .await;
        let kind = |path: &'static str| {
            let sender = sender.clone();
            async move { sender.send(request(path, Body::empty())).await.unwrap_err().kind }
        };
        assert_eq!(kind("/refuse").await, SendErrorKind::Refused);
        assert_eq!(kind("/fail").await, SendErrorKind::Reset);
        assert_eq!(sender.active_streams(), 0);
    });
}

#[test]
fn a_closed_connection_takes_nothing() {
    run(async {
        let (near, far) = duplex(1 << 16);
        let (sender, driver) = client(near).await;
        drop(far);
        driver.await.unwrap();
        assert!(sender.is_closed());
        let error = sender.send(request("/x", Body::full("kept"))).await.unwrap_err();
        assert_eq!(error.kind, SendErrorKind::NotSent);
        assert_eq!(error.request.unwrap().into_body().collect(9).await.unwrap(), "kept");
    });
}

#[test]
fn a_drain_finishes_open_streams_and_takes_no_new_ones() {
    run(async {
        let (near, far) = duplex(1 << 16);
        let (drain, draining) = oneshot::channel::<()>();
        let (at_hand, go_on) = (Rc::new(Notify::new()), Rc::new(Notify::new()));
        let service = {
            let (at_hand, go_on) = (Rc::clone(&at_hand), Rc::clone(&go_on));
            move |_| {
                let (at_hand, go_on) = (Rc::clone(&at_hand), Rc::clone(&go_on));
                async move {
                    at_hand.notify_one();
                    go_on.notified().await;
                    Reply::Response(Response::new(Body::full("done")))
                }
            }
        };
        let ended = serving(far, async { drop(draining.await) }, service);
        let (sender, driver) = client(near).await;
        let open = {
            let sender = sender.clone();
            spawn_local(async move { sender.send(request("/", Body::empty())).await })
        };
        at_hand.notified().await;
        drain.send(()).unwrap();
        while !sender.is_closed() {
            tokio::task::yield_now().await;
        }
        let late = sender.send(request("/", Body::empty())).await.unwrap_err();
        assert_eq!(late.kind, SendErrorKind::NotSent);
        go_on.notify_one();
        let body = open.await.unwrap().unwrap().into_body().collect(9).await.unwrap();
        assert_eq!(body, "done");
        assert!(ended.await.unwrap().is_ok());
        driver.await.unwrap();
    });
}

#[test]
fn an_idle_connection_ends_quietly() {
    run(async {
        let (sender, ended) = pair(echo).await;
        let begun = tokio::time::Instant::now();
        assert!(ended.await.unwrap().is_ok());
        assert_eq!(begun.elapsed().as_secs(), 300);
        assert!(sender.is_closed());
    });
}

#[test]
fn giving_up_a_request_ends_its_service_and_its_body() {
    run(async {
        let at_hand = Rc::new(Notify::new());
        let started = Rc::clone(&at_hand);
        let (gone, seen_gone) = mpsc::channel::<()>(1);
        let (sender, _) = pair(move |_| {
            let (started, gone) = (Rc::clone(&started), gone.clone());
            async move {
                let _gone = gone;
                started.notify_one();
                std::future::pending().await
            }
        })
        .await;
        let (frames, body) = stream();
        let sending = spawn_local({
            let sender = sender.clone();
            async move { drop(sender.send(request("/", body)).await) }
        });
        at_hand.notified().await;
        sending.abort();
        frames.closed().await;
        assert_eq!(sender.active_streams(), 0);
        // Only the service itself holds the channel once the stream's own clone is gone.
        while seen_gone.sender_strong_count() > 1 {
            tokio::task::yield_now().await;
        }
    });
}

async fn tunnels(request: Request<Body>) -> Reply {
    if request.headers()[HOST] == "no:1" {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::FORBIDDEN;
        response.headers_mut().insert("x-why", HeaderValue::from_static("because"));
        return Reply::Response(response);
    }
    Reply::Tunnel {
        headers: HeaderMap::new(),
        run: Box::new(|tunnel| {
            Box::pin(async move {
                let (mut read, mut write) = tokio::io::split(tunnel);
                tokio::io::copy(&mut read, &mut write).await.unwrap();
                write.write_all(b" and the end").await.unwrap();
                write.shutdown().await.unwrap();
            })
        }),
    }
}

#[test]
fn a_tunnel_carries_bytes_and_half_closes() {
    run(async {
        let (sender, _) = pair(tunnels).await;
        let tunnel = sender.tunnel("10.0.0.1:80", HeaderMap::new()).await.unwrap();
        assert_eq!(sender.active_streams(), 1);
        let (mut read, mut write) = tokio::io::split(tunnel);
        let sent = vec![b'x'; 3_000_000];
        let writing = {
            let sent = sent.clone();
            spawn_local(async move {
                write.write_all(&sent).await.unwrap();
                write.shutdown().await.unwrap();
                write
            })
        };
        let mut back = Vec::new();
        read.read_to_end(&mut back).await.unwrap();
        assert_eq!(back.len(), sent.len() + 12);
        drop((read, writing.await.unwrap()));
        assert_eq!(sender.active_streams(), 0);
    });
}

#[test]
fn a_refused_tunnel_says_why() {
    run(async {
        let (sender, _) = pair(tunnels).await;
        let error = sender.tunnel("no:1", HeaderMap::new()).await.unwrap_err();
        assert_eq!(error.kind, SendErrorKind::Status(403));
        assert_eq!(error.headers.unwrap()["x-why"], "because");
        assert_eq!(sender.active_streams(), 0);
    });
}

#[test]
fn cookie_crumbs_are_joined() {
    run(async {
        let (sender, _) = pair(|request: Request<Body>| async move {
            let cookie = request.headers().get(COOKIE).unwrap().to_str().unwrap().to_owned();
            Reply::Response(Response::new(Body::full(cookie)))
        })
        .await;
        let mut crumbs = request("/", Body::empty());
        crumbs.headers_mut().append(COOKIE, HeaderValue::from_static("a=1"));
        crumbs.headers_mut().append(COOKIE, HeaderValue::from_static("b=2"));
        let body = sender.send(crumbs).await.unwrap().into_body().collect(99).await.unwrap();
        assert_eq!(body, "a=1; b=2");
    });
}

#[test]
fn silence_instead_of_a_preface_ends_the_connection() {
    run(async {
        let (mut near, far) = duplex(1024);
        let ended = serving(far, std::future::pending(), echo);
        near.write_all(&HTTP2_PREFACE[..9]).await.unwrap();
        let begun = tokio::time::Instant::now();
        assert!(matches!(ended.await.unwrap(), Err(ServeError::HeaderTimeout)));
        assert_eq!(begun.elapsed(), Duration::from_secs(10));
    });
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![len[1], len[2], len[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Sends the preface and `frames` and returns how the connection ended, and whether GOAWAY said to calm down.
async fn flood(frames: Vec<u8>) -> (Result<(), ServeError>, bool) {
    let (near, far) = duplex(1 << 16);
    let ended = serving(far, std::future::pending(), echo);
    let (mut read, mut write) = tokio::io::split(near);
    spawn_local(async move {
        let _ = write.write_all(&[&HTTP2_PREFACE[..], &frame(4, 0, 0, &[])].concat()).await;
        let _ = write.write_all(&frames).await;
        // Kept open: the server has to end it.
        std::future::pending::<()>().await;
    });
    let mut answer = Vec::new();
    let _ = read.read_to_end(&mut answer).await;
    let calm = answer.windows(4).any(|code| code == [0, 0, 0, 0xb]);
    (ended.await.unwrap(), calm)
}

fn check_flood(frames: Vec<u8>, expected: Flood) {
    let (ended, calm) = run(flood(frames));
    assert!(matches!(ended, Err(ServeError::Flood(flood)) if flood == expected), "{ended:?}");
    assert!(calm, "no ENHANCE_YOUR_CALM for {expected:?}");
}

/// `:method GET, :scheme http, :path /, :authority a`.
const GET: [u8; 6] = [0x82, 0x86, 0x84, 0x41, 1, b'a'];

#[test]
fn floods_are_cut() {
    check_flood(frame(6, 0, 0, &[0; 8]).repeat(2_000), Flood::Pings);
    check_flood(frame(4, 0, 0, &[]).repeat(200), Flood::Settings);
    check_flood(frame(2, 0, 1, &[0, 0, 0, 0, 1]).repeat(3_000), Flood::Priorities);
    check_flood(frame(0x77, 0, 0, &[]).repeat(2_000), Flood::Others);
    check_flood(frame(8, 0, 0, &[0, 0, 0, 1]).repeat(30_000), Flood::WindowUpdates);
}

#[test]
fn rapid_reset_is_cut() {
    let mut frames = Vec::new();
    for stream in (1..4_000).step_by(2) {
        frames.extend(frame(1, 0x5, stream, &GET));
        frames.extend(frame(3, 0, stream, &[0, 0, 0, 8]));
    }
    check_flood(frames, Flood::Resets);
}

/// Requests of which each makes us reset it, in the ways of CVE-2025-8671.
#[test]
fn made_you_reset_is_cut() {
    let provoking = [frame(8, 0, 1, &[0x7f, 0xff, 0xff, 0xff]), frame(2, 0, 1, &[0, 0, 0, 0, 0])];
    for mut last in provoking {
        let mut frames = Vec::new();
        for stream in (1u32..4_000).step_by(2) {
            frames.extend(frame(1, 0x5, stream, &GET));
            last[5..9].copy_from_slice(&stream.to_be_bytes());
            frames.extend(&last);
        }
        let expected = if last[3] == 2 { Flood::Priorities } else { Flood::StreamErrors };
        check_flood(frames, expected);
    }
    // What depends on itself would be reset in HTTP/2 of old, and ends the connection.
    let itself = [frame(1, 0x5, 1, &GET), frame(2, 0, 1, &[0, 0, 0, 1, 0])].concat();
    let (ended, _) = run(flood(itself));
    assert!(matches!(ended, Err(ServeError::Protocol(_))), "{ended:?}");
}

#[test]
fn who_breaks_the_protocol_is_told_apart_from_who_leaves() {
    let (ended, _) = run(flood(frame(0, 0, 0, b"x")));
    assert!(matches!(ended, Err(ServeError::Protocol(_))), "{ended:?}");
    let (ended, _) = run(flood(frame(7, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 2])));
    assert!(matches!(ended, Err(ServeError::Aborted(_))), "{ended:?}");
}

#[test]
fn endless_header_blocks_are_cut() {
    let mut frames = frame(1, 0, 1, &GET);
    frames.extend(frame(9, 0, 1, &[]).repeat(20));
    check_flood(frames, Flood::Continuation);
}

#[test]
fn empty_data_is_cut() {
    let mut frames = frame(1, 0x4, 1, &[0x83, 0x86, 0x84, 0x41, 1, b'a']);
    frames.extend(frame(0, 0, 1, &[]).repeat(2_000));
    check_flood(frames, Flood::EmptyFrames);
}

#[test]
fn a_polite_client_is_not_cut() {
    run(async {
        let (sender, _) = pair(echo).await;
        for _ in 0..3_000 {
            let response = sender.send(request("/", Body::full("hi"))).await.unwrap();
            response.into_body().collect(99).await.unwrap();
        }
    });
}

mod interop;
mod keepalive;
mod raw;
mod resets;
mod responses;
mod stall;
mod streams;
