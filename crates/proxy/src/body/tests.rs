#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
//! What a further attempt sends.

use super::stall_timeout::PROGRESS_BYTES_MIN;
use super::{PIECE_BYTES_MIN, REPLAY_BYTES_MAX, Replay, StallTimeout, Timed};
use bytes::Bytes;
use codec::{Body, BodyError, Budget};
use http_body::Frame;
use std::cell::Cell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

/// A body of the given pieces.
struct Pieces(VecDeque<Bytes>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }
}

fn pieces(lengths: &[usize]) -> Body {
    Body::boxed(Pieces(lengths.iter().map(|len| Bytes::from(vec![b'x'; *len])).collect()))
}

async fn read(body: Body) -> usize {
    body.collect(usize::MAX).await.unwrap().len()
}

#[tokio::test(flavor = "current_thread")]
async fn a_small_body_is_sent_again_from_its_first_byte() {
    let replay = Replay::new(pieces(&[10, 20]));
    let mut first = replay.next();
    first.frame().await.unwrap().unwrap();
    let second = replay.next();
    assert!(first.frame().await.unwrap().is_err(), "the first attempt broke off");
    assert_eq!(read(second).await, 30);
    assert!(replay.is_replayable());
    assert_eq!(read(replay.next()).await, 30);
}

#[tokio::test(flavor = "current_thread")]
async fn a_body_that_came_with_its_head_is_sent_as_often_as_it_takes() {
    let replay = Replay::new(Body::full("hello"));
    for _ in 0..2 {
        assert_eq!(replay.next().collect(10).await.unwrap(), "hello");
        replay.retire();
        replay.forget();
        assert!(replay.is_replayable() && !replay.is_broken());
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_large_body_is_sent_once() {
    let replay = Replay::new(pieces(&[REPLAY_BYTES_MAX, 1]));
    assert!(replay.is_replayable(), "nothing was sent yet");
    assert_eq!(read(replay.next()).await, REPLAY_BYTES_MAX + 1);
    assert!(!replay.is_replayable());
}

/// A body is sent on after an early answer: what is taken while the next attempt still connects would be
/// missing there.
#[tokio::test(flavor = "current_thread")]
async fn once_there_will_be_another_attempt_the_last_one_takes_nothing_more() {
    let replay = Replay::new(pieces(&[10, REPLAY_BYTES_MAX, 10]));
    let mut first = replay.next();
    first.frame().await.unwrap().unwrap();
    assert!(replay.is_replayable());
    replay.retire();
    assert!(first.frame().await.unwrap().is_err(), "it breaks off");
    assert_eq!(read(replay.next()).await, REPLAY_BYTES_MAX + 20);
    // What has lost its beginning is no body.
    assert!(!replay.is_replayable());
    assert!(replay.next().frame().await.unwrap().is_err());
}

/// Pieces of each size class in turn, so that copied and shared ones alternate.
#[tokio::test(flavor = "current_thread")]
async fn what_is_sent_again_is_what_was_sent() {
    let lengths = [1, 2, PIECE_BYTES_MIN, 3, PIECE_BYTES_MIN - 1, PIECE_BYTES_MIN * 2, 5];
    let bytes: Vec<u8> = (0..lengths.iter().sum::<usize>()).map(|at| at as u8).collect();
    let mut rest = Bytes::from(bytes.clone());
    let body = Body::boxed(Pieces(lengths.iter().map(|len| rest.split_to(*len)).collect()));
    let replay = Replay::new(body);
    for frames in 0..lengths.len() {
        let mut reader = replay.next();
        for _ in 0..frames {
            reader.frame().await.unwrap().unwrap();
        }
    }
    for _ in 0..2 {
        assert_eq!(replay.next().collect(usize::MAX).await.unwrap(), bytes);
    }
}

/// One attempt has had it all, another a part: that one still gets the rest, from where it is.
#[tokio::test(flavor = "current_thread")]
async fn what_is_forgotten_is_what_was_had() {
    let budget = Budget::new(1 << 20, || {});
    let body = pieces(&[3000, 10, 20, 3000]).charged_to(Some(Rc::clone(&budget)));
    let replay = Replay::new(body);
    assert_eq!(read(replay.next()).await, 6030);
    assert_eq!(budget.held(), 6030);
    let mut second = replay.next();
    second.frame().await.unwrap().unwrap();
    replay.forget();
    assert_eq!(budget.held(), 3030);
    assert_eq!(read(second).await, 3030);
    drop(replay);
    assert_eq!(budget.held(), 0);
}

/// 64,000 chunks of one byte each cost 64,000 bytes, and a connection no more than its budget.
#[tokio::test(flavor = "current_thread")]
async fn small_pieces_cost_their_bytes_and_no_more_than_there_is_room_for() {
    let budget = Budget::new(100_000, || {});
    let body = || pieces(&[1; 60_000]).charged_to(Some(Rc::clone(&budget)));
    let first = Replay::new(body());
    assert_eq!(read(first.next()).await, 60_000);
    assert!(first.is_replayable());
    let Replay::Kept(source) = &first else { panic!() };
    let (pieces, capacity) = (source.borrow().seen.pieces.len(), source.borrow().seen.tail.capacity());
    assert!(pieces == 0 && capacity <= 2 * 60_000 && budget.held() == 60_000);
    // What does not fit passes all the same; it is not kept.
    let second = Replay::new(body());
    assert_eq!(read(second.next()).await, 60_000);
    assert!(!second.is_replayable() && budget.held() == 60_000);
}

#[tokio::test(flavor = "current_thread")]
async fn an_empty_body_costs_nothing() {
    let replay = Replay::new(Body::empty());
    assert!(replay.next().is_end_stream() && replay.is_replayable());
}

/// A body that never says anything.
struct Silent;

impl http_body::Body for Silent {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Pending
    }
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_timed_body_breaks_off() {
    let until = tokio::time::Instant::now() + Duration::from_secs(1);
    let told = Rc::new(Cell::new(false));
    let tell = Rc::clone(&told);
    let timed = Timed::body(Body::boxed(Silent), until, move || tell.set(true));
    assert!(timed.collect(1).await.is_err() && told.get());
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_body_that_always_has_something_breaks_off_too() {
    struct Endless;
    impl http_body::Body for Endless {
        type Data = Bytes;
        type Error = BodyError;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
        }
    }
    let until = tokio::time::Instant::now() + Duration::from_secs(1);
    let mut timed = Timed::body(Body::boxed(Endless), until, || {});
    assert!(timed.frame().await.unwrap().is_ok());
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(timed.frame().await.unwrap().is_err());
}

#[tokio::test(flavor = "current_thread")]
async fn a_body_that_its_sender_broke_off_is_nobodys_to_repeat() {
    struct Broken;
    impl http_body::Body for Broken {
        type Data = Bytes;
        type Error = BodyError;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            Poll::Ready(Some(Err(BodyError::Other("gone".into()))))
        }
    }
    let replay = Replay::new(Body::boxed(Broken));
    assert!(!replay.is_broken());
    assert!(replay.next().collect(1).await.is_err());
    assert!(replay.is_broken() && !replay.is_replayable());
}

/// The longest wait for a body.
const WAIT: Duration = Duration::from_secs(60);

/// A piece every so often.
struct Slow {
    piece: usize,
    timer: tokio::time::Interval,
}

impl http_body::Body for Slow {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let piece = self.piece;
        self.timer.poll_tick(cx).map(|_| Some(Ok(Frame::data(Bytes::from(vec![b'x'; piece])))))
    }
}

fn slow(piece: usize, every: Duration) -> Body {
    Body::boxed(Slow { piece, timer: tokio::time::interval(every) })
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_body_that_stops_or_trickles_is_given_up() {
    for body in [Body::boxed(Silent), slow(1, WAIT / 30)] {
        let begin = tokio::time::Instant::now();
        assert!(StallTimeout::body(body, WAIT, || true).collect(usize::MAX).await.is_err());
        let took = begin.elapsed();
        assert!(took >= WAIT && took < WAIT * 2, "{took:?}");
    }
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_body_that_moves_is_waited_for_and_so_is_one_with_leave() {
    // Slow, but enough.
    let mut enough = StallTimeout::body(slow(PROGRESS_BYTES_MIN, WAIT * 9 / 10), WAIT, || true);
    for _ in 0..5 {
        assert!(enough.frame().await.unwrap().is_ok());
    }
    // The time in which nobody reads is not the sender's.
    let mut unread = StallTimeout::body(slow(1, Duration::from_secs(1)), WAIT, || true);
    for _ in 0..5 {
        assert!(unread.frame().await.unwrap().is_ok());
        tokio::time::advance(WAIT).await;
    }
    // Whoever is asked says no twice.
    let asked = Rc::new(Cell::new(0));
    let count = Rc::clone(&asked);
    let given = StallTimeout::body(Body::boxed(Silent), WAIT, move || {
        count.set(count.get() + 1);
        count.get() == 3
    });
    let begin = tokio::time::Instant::now();
    assert!(given.collect(1).await.is_err());
    assert!(asked.get() == 3 && begin.elapsed() >= WAIT * 3);
}
