//! Clients that take nothing, or next to nothing (bad inputs F05, F09, Z01). Time is virtual.

use super::raw::{Answer, answer_in, get};
use super::*;

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
