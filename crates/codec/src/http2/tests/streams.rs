//! How many streams a peer lets us open. Time is virtual.

use std::cell::RefCell;

use super::*;
use crate::options::STREAM_OPEN_TIMEOUT;
use tokio::time::Instant;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// `MAX_CONCURRENT_STREAMS` of one.
const ONE_STREAM: [u8; 6] = [0, 3, 0, 0, 0, 1];

/// A server that allows one stream, and what it got: kind and stream of each frame.
struct Server {
    write: tokio::io::WriteHalf<DuplexStream>,
    got: Rc<RefCell<Vec<(u8, u8)>>>,
}

const HEADERS: u8 = 1;

impl Server {
    async fn start(io: DuplexStream) -> Self {
        let (mut read, mut write) = tokio::io::split(io);
        write.write_all(&[frame(4, 0, 0, &ONE_STREAM), frame(4, 1, 0, &[])].concat()).await.unwrap();
        let got: Rc<RefCell<Vec<(u8, u8)>>> = Rc::default();
        let noted = Rc::clone(&got);
        spawn_local(async move {
            let _ = read.read_exact(&mut [0; HTTP2_PREFACE.len()]).await;
            let mut head = [0; 9];
            while read.read_exact(&mut head).await.is_ok() {
                let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
                read.read_exact(&mut payload).await.unwrap();
                noted.borrow_mut().push((head[3], head[8]));
            }
        });
        Server { write, got }
    }

    async fn say(&mut self, frames: Vec<u8>) {
        self.write.write_all(&frames).await.unwrap();
        settle().await;
    }

    /// Answers stream `id` with nothing but 200.
    async fn answer(&mut self, id: u32) {
        self.say(frame(1, END_STREAM | END_HEADERS, id, &[0x88])).await;
    }

    /// The streams on which requests came.
    fn requests(&self) -> Vec<u8> {
        self.got.borrow().iter().filter(|(kind, _)| *kind == HEADERS).map(|(_, stream)| *stream).collect()
    }
}

/// Everybody does what can be done without time passing.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

type Answer = JoinHandle<Result<u16, SendErrorKind>>;

fn sending(sender: &Http2Sender, body: Body) -> Answer {
    let sender = sender.clone();
    spawn_local(async move {
        let response = sender.send(request("/", body)).await.map_err(|error| error.kind)?;
        Ok(response.status().as_u16())
    })
}

async fn one_stream() -> (Server, Http2Sender) {
    let (near, far) = duplex(1 << 16);
    let server = Server::start(far).await;
    let (sender, _) = client(near).await;
    sender.settled().await;
    settle().await;
    assert_eq!(sender.max_streams(), 1);
    (server, sender)
}

#[test]
fn who_waits_for_room_too_long_has_sent_nothing_and_never_does() {
    run(async {
        let (mut server, sender) = one_stream().await;
        let first = sending(&sender, Body::empty());
        settle().await;
        let begun = Instant::now();
        assert_eq!(sending(&sender, Body::empty()).await.unwrap(), Err(SendErrorKind::Full));
        assert_eq!(begun.elapsed(), STREAM_OPEN_TIMEOUT);
        assert!(matches!(
            sender.tunnel("a:1", HeaderMap::new()).await.unwrap_err().kind,
            SendErrorKind::Full
        ));
        server.answer(1).await;
        assert_eq!(first.await.unwrap(), Ok(200));
        assert_eq!(server.requests(), [1]);
        // Who waits no longer than that gets the room.
        let (next, last) = (sending(&sender, Body::empty()), sending(&sender, Body::empty()));
        settle().await;
        server.answer(3).await;
        server.answer(5).await;
        assert_eq!((next.await.unwrap(), last.await.unwrap()), (Ok(200), Ok(200)));
        assert_eq!(server.requests(), [1, 3, 5]);
    });
}

/// Nothing is kept for a peer that may let more streams be opened later: what is beyond its limit is not sent, also
/// where nobody drives the connection yet.
#[test]
fn who_is_beyond_the_limit_has_sent_nothing_driven_or_not() {
    run(async {
        let (near, mut far) = duplex(1 << 16);
        let options = ClientOptions { initial_max_streams: 1, ..ClientOptions::default() };
        let (sender, driver) = connect(near, &options).await.unwrap();
        let _first = sending(&sender, Body::empty());
        settle().await;
        assert_eq!(sending(&sender, Body::empty()).await.unwrap(), Err(SendErrorKind::Full));
        let driver = spawn_local(driver);
        settle().await;
        driver.abort();
        let _ = driver.await;
        let mut sent = Vec::new();
        far.read_to_end(&mut sent).await.unwrap();
        let heads = sent.windows(5).filter(|at| at[..5] == [HEADERS, END_STREAM | END_HEADERS, 0, 0, 0]);
        assert_eq!(heads.count(), 1);
    });
}

#[test]
fn a_stream_is_open_until_its_request_has_ended_too() {
    run(async {
        let (mut server, sender) = one_stream().await;
        let (frames, body) = stream();
        let early = sending(&sender, body);
        settle().await;
        server.answer(1).await;
        assert_eq!(early.await.unwrap(), Ok(200));
        settle().await;
        assert_eq!((sender.active_streams(), sender.has_room()), (1, false));
        drop(frames);
        settle().await;
        assert_eq!((sender.active_streams(), sender.has_room()), (0, true));
    });
}

#[test]
fn who_waits_for_room_is_told_that_there_will_be_none() {
    run(async {
        let (mut server, sender) = one_stream().await;
        let _first = sending(&sender, Body::empty());
        settle().await;
        let (waiting, begun) = (sending(&sender, Body::empty()), Instant::now());
        let freed = spawn_local({
            let sender = sender.clone();
            async move { tokio::time::timeout(STREAM_OPEN_TIMEOUT, sender.freed()).await.is_ok() }
        });
        settle().await;
        server.say(frame(7, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0])).await;
        assert!(freed.await.unwrap());
        assert_eq!(waiting.await.unwrap(), Err(SendErrorKind::NotSent));
        assert_eq!(begun.elapsed(), Duration::ZERO);
    });
}

/// A limit counts when all of its frame has come, however the frame is cut.
#[test]
fn a_limit_of_streams_that_comes_in_pieces_counts() {
    run(async {
        for cut in 1..15 {
            let (near, mut far) = duplex(1 << 16);
            let (sender, _driver) = client(near).await;
            let settings = frame(4, 0, 0, &ONE_STREAM);
            for part in [&settings[..cut], &settings[cut..]] {
                far.write_all(part).await.unwrap();
                settle().await;
            }
            assert_eq!(sender.max_streams(), 1, "cut at {cut}");
        }
    });
}
