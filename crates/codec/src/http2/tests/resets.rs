//! Bursts of resets that are nobody's fault, on a connection that many share.

use super::raw::{Answer, answer_in};
use super::*;
use crate::{FloodLimits, ResetLimits};

const RST_STREAM: u8 = 3;
const REFUSED_STREAM: [u8; 4] = [0, 0, 0, 7];

/// A server that allows as many streams as there are; `say` says what to answer to a frame of a kind on a stream.
fn server(io: DuplexStream, say: impl Fn(u8, u32) -> Option<Vec<u8>> + 'static) {
    let (mut read, mut write) = tokio::io::split(io);
    spawn_local(async move {
        write.write_all(&[frame(4, 0, 0, &[]), frame(4, 1, 0, &[])].concat()).await.unwrap();
        let _ = read.read_exact(&mut [0; HTTP2_PREFACE.len()]).await;
        let mut head = [0; 9];
        while read.read_exact(&mut head).await.is_ok() {
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            read.read_exact(&mut payload).await.unwrap();
            let [.., a, b, c, d] = head;
            if let Some(frames) = say(head[3], u32::from_be_bytes([a, b, c, d])) {
                let _ = write.write_all(&frames).await;
            }
        }
    });
}

#[test]
fn a_server_may_refuse_all_that_it_is_asked() {
    run(async {
        let (near, far) = duplex(1 << 16);
        server(far, |kind, stream| (kind == 1).then(|| frame(RST_STREAM, 0, stream, &REFUSED_STREAM)));
        let (sender, _) = client(near).await;
        for _ in 0..3_000 {
            let refused = sender.send(request("/", Body::empty())).await;
            assert_eq!(refused.unwrap_err().kind, SendErrorKind::Refused);
        }
        assert!(!sender.is_closed());
    });
}

#[test]
fn a_server_that_resets_what_nobody_asked_is_cut() {
    run(async {
        let (near, far) = duplex(1 << 16);
        let resets = |stream| frame(RST_STREAM, 0, stream, &REFUSED_STREAM).repeat(2_000);
        server(far, move |kind, stream| (kind == 1).then(|| resets(stream)));
        let (sender, driver) = client(near).await;
        sender.send(request("/", Body::empty())).await.unwrap_err();
        driver.await.unwrap();
        assert!(sender.is_closed());
    });
}

/// Their answers were on their way.
#[test]
fn callers_may_go_away_all_at_once() {
    run(async {
        let (near, far) = duplex(1 << 20);
        let (told, gone) = (Rc::new(std::cell::Cell::new(0)), 2_000);
        let count = Rc::clone(&told);
        server(far, move |kind, stream| {
            (kind == RST_STREAM).then(|| {
                count.set(count.get() + 1);
                frame(0, 0, stream, &[b'x'; 300])
            })
        });
        let (sender, _driver) = client(near).await;
        sender.settled().await;
        let callers: Vec<_> = (0..gone)
            .map(|_| {
                let sender = sender.clone();
                spawn_local(async move { drop(sender.send(request("/", Body::empty())).await) })
            })
            .collect();
        while sender.active_streams() < gone {
            tokio::task::yield_now().await;
        }
        for caller in &callers {
            caller.abort();
        }
        while told.get() < gone && !sender.is_closed() {
            tokio::task::yield_now().await;
        }
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(!sender.is_closed());
    });
}

/// Requests and their ends, read at once.
#[test]
fn what_callers_take_back_at_once_costs_others_nothing() {
    for (options, is_served) in [
        (ServerOptions::default(), false),
        (
            ServerOptions {
                floods: FloodLimits::shared(),
                resets: ResetLimits::shared(),
                ..ServerOptions::default()
            },
            true,
        ),
    ] {
        run(async {
            let (mut near, far) = duplex(1 << 20);
            let _ended = spawn_local(async move { serve(far, &options, std::future::pending(), echo).await });
            let mut frames = frame(1, 0x4, 1, &GET);
            for stream in (3..4_000).step_by(2) {
                frames.extend(frame(1, 0x5, stream, &GET));
                frames.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
            }
            frames.extend(frame(0, 0x1, 1, b"end"));
            near.write_all(&[&HTTP2_PREFACE[..], &frame(4, 0, 0, &[]), &frames].concat()).await.unwrap();
            let expected = if is_served { Answer::Head(0x88) } else { Answer::GoAway };
            assert_eq!(answer_in(&mut near).await, expected);
        });
    }
}

/// Fields with a path among them, which trailers must not have.
const BAD_TRAILERS: [u8; 1] = [0x84];

#[test]
fn bad_trailers_that_nobody_waits_for_are_not_remembered() {
    run(async {
        let (near, far) = duplex(1 << 20);
        server(far, |kind, stream| match kind {
            1 => Some(frame(1, 0x4, stream, &[0x88])),
            RST_STREAM => Some(frame(1, 0x5, stream, &BAD_TRAILERS)),
            _ => None,
        });
        let (sender, _driver) = client(near).await;
        for _ in 0..1_100 {
            drop(sender.send(request("/", Body::empty())).await.unwrap());
        }
        assert!(sender.send(request("/", Body::empty())).await.is_ok());
    });
}

#[test]
fn bad_trailers_of_tunnels_are_forgotten_with_them() {
    run(async {
        let (mut near, far) = duplex(1 << 16);
        let ended = serving(far, std::future::pending(), |_| async {
            let run: crate::TunnelRun = Box::new(|mut tunnel| {
                Box::pin(async move {
                    // To its end.
                    let _ = tunnel.read(&mut [0]).await;
                })
            });
            Reply::Tunnel { headers: HeaderMap::new(), run }
        });
        near.write_all(&[&HTTP2_PREFACE[..], &frame(4, 0, 0, &[])].concat()).await.unwrap();
        let connect = [&[0x02, 7][..], b"CONNECT", &[0x41, 3], b"a:1"].concat();
        for stream in (1..2_200).step_by(2) {
            near.write_all(&frame(1, 0x4, stream, &connect)).await.unwrap();
            let mut head = [0; 9];
            while head[3] != 1 {
                near.read_exact(&mut head).await.unwrap();
                near.read_exact(&mut vec![0; usize::from(head[2])]).await.unwrap();
            }
            near.write_all(&frame(1, 0x5, stream, &BAD_TRAILERS)).await.unwrap();
        }
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(!ended.is_finished());
    });
}

/// So many bytes, one at a time, and all of them there.
struct Crumbs(usize);

impl http_body::Body for Crumbs {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let left = self.0.checked_sub(1);
        self.0 = left.unwrap_or(0);
        Poll::Ready(left.map(|_| Ok(Frame::data(Bytes::from_static(b"x")))))
    }
}

/// A caller sends crumbs to an application that reads none of them.
#[test]
fn crumbs_of_one_caller_do_not_cut_the_connection_of_all() {
    run(async {
        let (sender, ended) = pair(|request: Request<Body>| async move {
            if request.uri() == "/read" {
                return echo(request).await;
            }
            let _unread = request;
            std::future::pending().await
        })
        .await;
        let crumbs = |count| Body::boxed(Crumbs(count));
        let _waiting = {
            let (sender, body) = (sender.clone(), crumbs(100_000));
            spawn_local(async move { drop(sender.send(request("/", body)).await) })
        };
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        assert!(!ended.is_finished());
        let response = sender.send(request("/read", crumbs(5_000))).await.unwrap();
        let read = response.into_body().collect(1 << 20).await.unwrap();
        assert_eq!(read.iter().filter(|byte| **byte == b'x').count(), 5_000);
    });
}

/// As many streams as the connection's window has room for, each full of small frames.
#[test]
fn responses_in_small_frames_that_nobody_reads_do_not_cut_the_connection_of_all() {
    run(async {
        let (near, far) = duplex(1 << 20);
        let small = |stream| frame(0, 0, stream, &[b'x'; 100]).repeat(256 * 1024 / 100);
        server(far, move |kind, stream| {
            (kind == 1).then(|| [frame(1, 0x4, stream, &[0x88]), small(stream)].concat())
        });
        let (sender, _driver) = client(near).await;
        let mut unread = Vec::new();
        for _ in 0..60 {
            unread.push(sender.send(request("/", Body::empty())).await.unwrap());
        }
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        assert!(!sender.is_closed());
    });
}
