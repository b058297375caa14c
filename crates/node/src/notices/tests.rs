#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

#[tokio::test]
async fn readiness_is_heard_among_other_messages_and_from_nobody_else() {
    let notices = Notices::open().unwrap();
    let address = SocketAddr::from_abstract_name(&notices.name).unwrap();
    let socket = StdDatagram::unbound().unwrap();
    let own = std::process::id();
    let capture = "X_LENO_CAPTURE={\"a\":\"READY=1\"}";
    for message in ["STATUS=waiting for joined", "WATCHDOG=1", capture, "READY=1\nSTATUS=ready"] {
        socket.send_to_addr(message.as_bytes(), &address).unwrap();
    }
    assert_eq!(notices.next(Some(own)).await.unwrap(), Notice::Capture("{\"a\":\"READY=1\"}".to_owned()));
    assert_eq!(notices.next(Some(own)).await.unwrap(), Notice::Ready);
    // The same words of another process.
    socket.send_to_addr(b"READY=1", &address).unwrap();
    socket.send_to_addr(b"STATUS=the last", &address).unwrap();
    let (sender, _) = notices.socket.async_io(Interest::READABLE, || notices.receive()).await.unwrap();
    assert_eq!(sender, Some(own));
    let other = Some(own + 1);
    tokio::select! {
        biased;
        notice = notices.next(other) => panic!("{notice:?}"),
        () = tokio::task::yield_now() => {}
    }
}
