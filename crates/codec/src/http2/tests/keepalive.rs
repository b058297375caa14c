//! Peers that say nothing.

use std::cell::RefCell;

use super::*;
use crate::KeepaliveOptions;
use tokio::time::Instant;

const KEEPALIVE: KeepaliveOptions =
    KeepaliveOptions { silence: Duration::from_secs(2), timeout: Duration::from_secs(3) };

/// Lets so many seconds pass, in the time of the test.
async fn pass(seconds: u64) {
    let _ = tokio::time::timeout(Duration::from_secs(seconds), std::future::pending::<()>()).await;
}

async fn asking(io: DuplexStream) -> (Http2Sender, JoinHandle<()>) {
    let options = ClientOptions { keepalive: Some(KEEPALIVE), ..ClientOptions::default() };
    let (sender, driver) = connect(io, &options).await.unwrap();
    (sender, spawn_local(driver))
}

/// A server that says hello, answers PINGs if it `lives`, and nothing else; with the times of the PINGs.
fn mute(mut io: DuplexStream, lives: bool) -> Rc<RefCell<Vec<Instant>>> {
    let pings: Rc<RefCell<Vec<Instant>>> = Rc::default();
    let noted = Rc::clone(&pings);
    spawn_local(async move {
        io.write_all(&[frame(4, 0, 0, &[]), frame(4, 1, 0, &[])].concat()).await.unwrap();
        let _ = io.read_exact(&mut [0; HTTP2_PREFACE.len()]).await;
        let mut head = [0; 9];
        while io.read_exact(&mut head).await.is_ok() {
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            io.read_exact(&mut payload).await.unwrap();
            if head[3] == 6 {
                noted.borrow_mut().push(Instant::now());
                if lives {
                    io.write_all(&frame(6, 1, 0, &payload)).await.unwrap();
                }
            }
        }
    });
    pings
}

#[test]
fn a_peer_that_answers_no_ping_is_given_up() {
    run(async {
        let (near, far) = duplex(1 << 16);
        mute(far, false);
        let (sender, driver) = asking(near).await;
        pass(100).await;
        assert!(!sender.is_closed(), "nobody waits for anything");
        let begun = Instant::now();
        let error = sender.send(request("/", Body::empty())).await.unwrap_err();
        assert_eq!(error.kind, SendErrorKind::Silent);
        let after = begun.elapsed();
        assert!((5..=7).contains(&after.as_secs()), "{after:?}");
        assert!(sender.is_closed());
        driver.await.unwrap();
    });
}

/// A way to `far` that takes nothing any more once told so, and stays open.
fn freezing(far: DuplexStream, freeze: Rc<Notify>) -> DuplexStream {
    let (near, mut middle) = duplex(1 << 16);
    spawn_local(async move {
        let mut far = far;
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut middle, &mut far) => {}
            () = freeze.notified() => std::future::pending().await,
        }
    });
    near
}

#[test]
fn what_is_inside_a_tunnel_falls_silent_with_the_peer() {
    run(async {
        let (near, far) = duplex(1 << 16);
        serving(far, std::future::pending(), |_| async {
            let run: crate::TunnelRun = Box::new(|tunnel| {
                Box::pin(async move {
                    let (options, drain) = (ServerOptions::default(), std::future::pending());
                    let _ = serve(tunnel, &options, drain, |_| std::future::pending()).await;
                })
            });
            Reply::Tunnel { headers: HeaderMap::new(), run }
        });
        let freeze = Rc::new(Notify::new());
        let (outer, _driver) = asking(freezing(near, Rc::clone(&freeze))).await;
        let tunnel = outer.tunnel("shop:80", HeaderMap::new()).await.unwrap();
        let (inner, _driver) = client_of(tunnel).await;
        let waiting = spawn_local(async move { inner.send(request("/", Body::empty())).await });
        pass(60).await;
        assert!(!waiting.is_finished(), "the peer lives, whatever the application does");
        freeze.notify_one();
        assert_eq!(waiting.await.unwrap().unwrap_err().kind, SendErrorKind::Silent);
    });
}

async fn client_of(io: impl crate::Io) -> (Http2Sender, JoinHandle<()>) {
    let (sender, driver) = connect(io, &ClientOptions::default()).await.unwrap();
    (sender, spawn_local(driver))
}

#[test]
fn a_peer_that_answers_is_waited_for_and_hardly_asked() {
    run(async {
        let (near, far) = duplex(1 << 16);
        let pings = mute(far, true);
        let (sender, _driver) = asking(near).await;
        pass(100).await;
        assert_eq!(pings.borrow().len(), 0, "nobody waits for anything");
        let waiting = sender.send(request("/", Body::empty()));
        assert!(tokio::time::timeout(Duration::from_secs(60), waiting).await.is_err());
        let asked = pings.borrow().len();
        assert!((10..=20).contains(&asked), "{asked} within a minute");
        // Given up: again nobody waits.
        pass(100).await;
        assert!(pings.borrow().len() <= asked + 1);
    });
}
