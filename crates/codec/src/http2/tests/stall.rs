//! Clients that take nothing, or next to nothing. Time is virtual.

use super::raw::{Answer, answer_in, get};
use super::*;
use crate::HELD_BYTES_MAX;
use crate::options::{SEND_BUFFER_BYTES_MAX, STALLED_BYTES};

/// `INITIAL_WINDOW_SIZE` of zero.
const NO_WINDOW: [u8; 6] = [0, 4, 0, 0, 0, 0];

fn hello(settings: &[u8]) -> Vec<u8> {
    [&HTTP2_PREFACE[..], &frame(4, 0, 0, settings), &get()].concat()
}

async fn full(len: usize) -> Reply {
    Reply::Response(Response::new(Body::full(vec![b'x'; len])))
}

#[test]
fn bytes_behind_a_shut_window_are_given_up_and_the_connection_lives() {
    for len in [1, 100_000] {
        run(async {
            let (mut near, far) = duplex(1 << 16);
            let ended = serving(far, std::future::pending(), move |_| full(len));
            near.write_all(&hello(&NO_WINDOW)).await.unwrap();
            assert_eq!(answer_in(&mut near).await, Answer::Head(0x88));
            assert_eq!(answer_in(&mut near).await, Answer::Reset);
            assert!(!ended.is_finished());
        });
    }
}

#[test]
fn a_window_that_trickles_is_a_shut_one() {
    run(async {
        let (near, far) = duplex(1 << 16);
        let _ended = serving(far, std::future::pending(), |_| full(1000));
        let (mut read, mut write) = tokio::io::split(near);
        write.write_all(&hello(&NO_WINDOW)).await.unwrap();
        let trickle = spawn_local(async move {
            let mut second = tokio::time::interval(Duration::from_secs(1));
            loop {
                second.tick().await;
                write.write_all(&frame(8, 0, 1, &[0, 0, 0, 1])).await.unwrap();
            }
        });
        assert_eq!(answer_in(&mut read).await, Answer::Head(0x88));
        assert_eq!(answer_in(&mut read).await, Answer::Reset);
        trickle.abort();
    });
}

#[test]
fn a_stream_that_has_nothing_to_send_may_wait() {
    run(async {
        let (frames, body) = stream();
        let body = std::cell::RefCell::new(Some(body));
        let (mut near, far) = duplex(1 << 16);
        let _ended = serving(far, std::future::pending(), move |_| {
            let body = body.borrow_mut().take().unwrap();
            async { Reply::Response(Response::new(body)) }
        });
        near.write_all(&hello(&NO_WINDOW)).await.unwrap();
        assert_eq!(answer_in(&mut near).await, Answer::Head(0x88));
        tokio::time::advance(Duration::from_secs(250)).await;
        let mut trailers = HeaderMap::new();
        trailers.insert("t", HeaderValue::from_static("end"));
        frames.send(Frame::trailers(trailers)).await.unwrap();
        // The end needs no window.
        assert!(matches!(answer_in(&mut near).await, Answer::Head(_)));
    });
}

#[test]
fn a_client_that_reads_nothing_is_cut() {
    run(async {
        let (mut near, far) = duplex(1024);
        let ended = serving(far, std::future::pending(), |_| full(60_000));
        near.write_all(&hello(&[])).await.unwrap();
        let ended = ended.await.unwrap();
        assert!(matches!(ended, Err(ServeError::Io(_))), "{ended:?}");
    });
}

/// Time passes, and nobody reads.
async fn pass(time: Duration) {
    let _ = tokio::time::timeout(time, std::future::pending::<()>()).await;
}

/// Request `n` on its stream, for `/`.
fn request_on(stream: u32) -> Vec<u8> {
    frame(1, 0x5, stream, &GET)
}

/// Reads frames for as long as somebody can do something; the streams with a head, and those that were reset with
/// their code.
async fn outcome(read: &mut (impl tokio::io::AsyncRead + Unpin), wait: Duration) -> (Vec<u8>, Vec<(u8, u8)>) {
    let (mut heads, mut resets) = (Vec::new(), Vec::new());
    let until = tokio::time::Instant::now() + wait;
    loop {
        let next = async {
            let mut head = [0; 9];
            read.read_exact(&mut head).await.ok()?;
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            read.read_exact(&mut payload).await.ok()?;
            Some((head, payload))
        };
        let Ok(Some((head, payload))) = tokio::time::timeout_at(until, next).await else { break };
        match head[3] {
            1 => heads.push(head[8]),
            3 => resets.push((head[8], payload[3])),
            _ => {}
        }
    }
    (heads, resets)
}

/// `INITIAL_WINDOW_SIZE` of 16 KiB.
const SMALL_WINDOW: [u8; 6] = [0, 4, 0, 0, 0x40, 0];

/// A client whose settings leave no room for any response gets few, whatever window it drips on them later.
#[test]
fn who_has_no_window_for_responses_gets_few_at_a_time() {
    run(async {
        let (mut near, far) = duplex(1 << 20);
        let _ended = serving(far, std::future::pending(), |_| std::future::pending());
        let requests: Vec<u8> = (0..100).flat_map(|n| request_on(2 * n + 1)).collect();
        let hello = [&HTTP2_PREFACE[..], &frame(4, 0, 0, &NO_WINDOW), &requests].concat();
        near.write_all(&hello).await.unwrap();
        let (_, resets) = outcome(&mut near, Duration::from_secs(1)).await;
        assert_eq!(resets.len(), 100 - HELD_BYTES_MAX / STALLED_BYTES);
        assert!(resets.iter().all(|(_, code)| *code == REFUSED), "{resets:?}");
    });
}

const CALM_DOWN: u8 = 0xb;
const REFUSED: u8 = 7;

/// Each waits for its own window. What they cost is more than a connection may hold.
#[test]
fn of_many_unread_responses_the_latest_stay_and_for_as_long_as_they_may() {
    run(async {
        let (mut near, far) = duplex(1 << 20);
        let _ended = serving(far, std::future::pending(), |_| full(40_000));
        let requests: Vec<u8> = (0..40).flat_map(|n| request_on(2 * n + 1)).collect();
        let wide = frame(8, 0, 0, &[0x3f, 0, 0, 0]);
        let hello = [&HTTP2_PREFACE[..], &frame(4, 0, 0, &SMALL_WINDOW), &wide, &requests].concat();
        near.write_all(&hello).await.unwrap();
        let (heads, resets) = outcome(&mut near, Duration::from_secs(10)).await;
        assert_eq!(heads.len(), 40);
        let shed = 40 - HELD_BYTES_MAX / (STALLED_BYTES + 2 * 40_000);
        let expected: Vec<_> = (0..shed as u8).map(|n| (2 * n + 1, CALM_DOWN)).collect();
        assert_eq!(resets, expected);
        let (_, resets) = outcome(&mut near, Duration::from_secs(280)).await;
        assert_eq!(resets, []);
        // The time that each may take is over.
        let (_, resets) = outcome(&mut near, Duration::from_secs(20)).await;
        assert_eq!(resets.len(), 40 - shed);
        assert!(resets.iter().all(|(_, code)| *code == 8));
    });
}

/// A tunnel is charged as a response is, and may go unread for longer if there is room.
#[test]
fn of_many_unread_tunnels_the_latest_stay() {
    run(async {
        let (mut near, far) = duplex(1 << 20);
        let _ended = serving(far, std::future::pending(), |_| async {
            let run: crate::TunnelRun = Box::new(|mut tunnel| {
                Box::pin(async move {
                    let _ = tunnel.write_all(&[b'x'; 40_000]).await;
                    std::future::pending::<()>().await;
                })
            });
            Reply::Tunnel { headers: HeaderMap::new(), run }
        });
        let head = [&[0x02, 7][..], b"CONNECT", &[0x41, 3], b"a:1"].concat();
        let connect = |n: u32| frame(1, 0x4, 2 * n + 1, &head);
        let requests: Vec<u8> = (0..40).flat_map(connect).collect();
        let wide = frame(8, 0, 0, &[0x3f, 0, 0, 0]);
        let hello = [&HTTP2_PREFACE[..], &frame(4, 0, 0, &SMALL_WINDOW), &wide, &requests].concat();
        near.write_all(&hello).await.unwrap();
        let (heads, resets) = outcome(&mut near, Duration::from_secs(10)).await;
        assert_eq!(heads.len(), 40);
        let shed = 40 - HELD_BYTES_MAX / (STALLED_BYTES + 40_000 - 16 * 1024);
        let expected: Vec<_> = (0..shed as u8).map(|n| (2 * n + 1, CALM_DOWN)).collect();
        assert_eq!(resets, expected);
        let (_, resets) = outcome(&mut near, Duration::from_secs(600)).await;
        assert_eq!(resets, []);
    });
}

/// Each stall has its own moment, however long the one before it might have gone on.
#[test]
fn a_later_stall_is_charged_as_soon_as_the_first() {
    run(async {
        let (mut near, far) = duplex(1 << 20);
        let budget = crate::Budget::new(HELD_BYTES_MAX, || {});
        let options = ServerOptions { budget: Some(Rc::clone(&budget)), ..ServerOptions::default() };
        spawn_local(async move {
            let service = |_| endless(&Rc::default());
            let _ = serve(far, &options, std::future::pending(), service).await;
        });
        let hello = [&HTTP2_PREFACE[..], &frame(4, 0, 0, &SMALL_WINDOW), &request_on(1)].concat();
        near.write_all(&hello).await.unwrap();
        for _ in 0..3 {
            pass(Duration::from_millis(900)).await;
            assert_eq!(budget.held(), 0);
            pass(Duration::from_millis(700)).await;
            assert!(budget.held() > 0);
            near.write_all(&frame(8, 0, 1, &[0, 0, 0x50, 0])).await.unwrap();
        }
    });
}

/// All wait for the connection, which is away for a while and comes back.
#[test]
fn a_network_that_is_away_for_a_moment_costs_nobody_a_response() {
    for (away, is_shed) in [(7, false), (9, true)] {
        run(async {
            let (near, far) = duplex(1 << 12);
            let _ended = serving(far, std::future::pending(), |_| endless(&Rc::default()));
            let (mut read, mut write) = tokio::io::split(near);
            let requests: Vec<u8> = (0..20).flat_map(|n| request_on(2 * n + 1)).collect();
            let wide = frame(8, 0, 0, &[0x3f, 0, 0, 0]);
            spawn_local(async move {
                write
                    .write_all(&[&HTTP2_PREFACE[..], &frame(4, 0, 0, &[]), &wide, &requests].concat())
                    .await
                    .unwrap();
                std::future::pending::<()>().await;
            });
            pass(Duration::from_secs(away)).await;
            let (_, resets) = outcome(&mut read, Duration::from_millis(500)).await;
            assert_eq!(!resets.is_empty(), is_shed, "{away} s: {resets:?}");
        });
    }
}

/// A body that counts what was asked of it and never ends.
struct Asked(Rc<std::cell::Cell<usize>>);

impl http_body::Body for Asked {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.set(self.0.get() + 1);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 16 * 1024])))))
    }
}

fn endless(asked: &Rc<std::cell::Cell<usize>>) -> impl Future<Output = Reply> + use<> {
    let body = Body::boxed(Asked(Rc::clone(asked)));
    async { Reply::Response(Response::new(body)) }
}

/// Windows are wide and the socket is not read: what all streams have in the queue has one limit.
#[test]
fn what_nobody_reads_is_not_asked_for() {
    run(async {
        let (near, far) = duplex(1 << 12);
        let asked = Rc::new(std::cell::Cell::new(0));
        let count = Rc::clone(&asked);
        let _ended = serving(far, std::future::pending(), move |_| endless(&count));
        let (_read, mut write) = tokio::io::split(near);
        let requests: Vec<u8> = (0..100).flat_map(|n| request_on(2 * n + 1)).collect();
        let settings = frame(4, 0, 0, &[0, 4, 0x3f, 0, 0, 0]);
        let wide = frame(8, 0, 0, &[0x3f, 0, 0, 0]);
        spawn_local(async move {
            write.write_all(&[&HTTP2_PREFACE[..], &settings, &wide, &requests].concat()).await.unwrap();
            std::future::pending::<()>().await;
        });
        pass(Duration::from_secs(5)).await;
        // What the queue takes, and nothing that would wait for it in a stream's hand.
        let most = SEND_BUFFER_BYTES_MAX / (16 * 1024) + 2;
        assert!((1..=most).contains(&asked.get()), "{} pieces", asked.get());
    });
}

/// As many one-byte references to one large field as fit a head, in many requests.
fn bomb(streams: u32) -> Vec<u8> {
    let field = [&[0x40, 1, b'x', 0x7f, 0xd9, 3][..], &[b'v'; 600]].concat();
    let first = frame(1, 0x4, 1, &[&[0x83, 0x86, 0x84, 0x41, 1, b'a'], &field[..]].concat());
    let again = [&[0x83, 0x86, 0x84, 0xbf][..], &[0xbe; 95]].concat();
    let rest = (1..streams).flat_map(|n| frame(1, 0x4, 2 * n + 1, &again));
    first.into_iter().chain(rest).collect()
}

#[test]
fn heads_for_which_there_is_no_room_are_refused_and_the_rest_is_served() {
    run(async {
        let (mut near, far) = duplex(1 << 20);
        let served = Rc::new(std::cell::Cell::new(0));
        let count = Rc::clone(&served);
        let ended = serving(far, std::future::pending(), move |_| {
            count.set(count.get() + 1);
            std::future::pending()
        });
        near.write_all(&[&HTTP2_PREFACE[..], &frame(4, 0, 0, &[]), &bomb(200)].concat()).await.unwrap();
        let (_, resets) = outcome(&mut near, Duration::from_secs(1)).await;
        // The first is an ordinary one; of the others two fit.
        assert_eq!(served.get(), 3);
        assert_eq!(resets.len(), 197);
        assert!(resets.iter().all(|(_, code)| *code == REFUSED), "{resets:?}");
        assert!(!ended.is_finished());
    });
}

#[test]
fn who_goes_on_with_heads_for_which_there_is_no_room_is_cut() {
    check_flood(bomb(3_000), Flood::Refusals);
}

/// What a body's watch was told: bytes taken, and the end.
#[derive(Default)]
struct Told(std::cell::Cell<usize>, std::cell::Cell<Option<crate::BodyEnd>>);

impl crate::Watch for Told {
    fn data(&self, len: usize) {
        self.0.set(self.0.get() + len);
    }

    fn end(&self, end: crate::BodyEnd) {
        self.1.set(Some(end));
    }
}

/// Small pieces are put together only where there is room for them: nothing behind them is taken, and no end is
/// read, before they can be sent.
#[test]
fn nothing_is_read_ahead_behind_a_shut_window() {
    for pieces in [&[10, 60_000][..], &[100], &[1024, 60_000]] {
        run(async {
            let (frames, receiver) = mpsc::channel(10);
            for len in pieces {
                frames.send(Frame::data(Bytes::from(vec![b'x'; *len]))).await.unwrap();
            }
            drop(frames);
            let told = Rc::<Told>::default();
            let body = Body::boxed(Frames(receiver)).watched(Rc::clone(&told) as Rc<dyn crate::Watch>);
            let body = std::cell::RefCell::new(Some(body));
            let (mut near, far) = duplex(1 << 20);
            let _ended = serving(far, std::future::pending(), move |_| {
                let body = body.borrow_mut().take().unwrap();
                async { Reply::Response(Response::new(body)) }
            });
            near.write_all(&hello(&NO_WINDOW)).await.unwrap();
            pass(Duration::from_secs(1)).await;
            assert_eq!((told.0.get(), told.1.get()), (pieces[0], None), "{pieces:?}: it was not sent");
            pass(Duration::from_secs(400)).await;
            assert_eq!(told.1.get(), Some(crate::BodyEnd::Unread), "{pieces:?}");
        });
    }
}
