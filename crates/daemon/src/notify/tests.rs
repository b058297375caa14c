#![allow(clippy::unwrap_used, reason = "a test may panic")]

use tokio::net::UnixDatagram;

use super::*;

async fn told(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 256];
    let len = socket.recv(&mut buffer).await.unwrap();
    String::from_utf8(buffer[..len].to_vec()).unwrap()
}

#[tokio::test]
async fn readiness_and_the_end_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let manager = Supervisor::new(path.to_str(), None).unwrap();
    let readiness = Readiness::new();
    let gate = readiness.gate("configuration");
    let following = async {
        tokio::select! {
            () = manager.follow(&readiness) => {}
            () = async {
                assert_eq!(told(&socket).await, "STATUS=waiting for configuration");
                gate.open();
                assert_eq!(told(&socket).await, "READY=1\nSTATUS=ready");
            } => {}
        }
    };
    following.await;
    manager.stopping();
    assert_eq!(told(&socket).await, "STOPPING=1");
}

#[tokio::test]
async fn a_watchdog_hears_of_us_again_and_again() {
    let name = format!("leno-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let socket = std::os::unix::net::UnixDatagram::bind_addr(&address).unwrap();
    socket.set_nonblocking(true).unwrap();
    let socket = UnixDatagram::from_std(socket).unwrap();
    let manager = Supervisor::new(Some(&format!("@{name}")), Some("2000")).unwrap();
    let readiness = Readiness::new();
    let _gate = readiness.gate("never");
    tokio::select! {
        () = manager.follow(&readiness) => {}
        () = async {
            told(&socket).await;
            for _ in 0..3 {
                assert_eq!(told(&socket).await, "WATCHDOG=1");
            }
        } => {}
    }
}

#[test]
fn what_has_no_reading_is_an_error_and_nothing_is_nobody() {
    assert!(Supervisor::new(None, Some("nonsense")).unwrap().socket.is_none());
    for (socket, watchdog) in [("relative", None), ("/run/x", Some("0")), ("/run/x", Some("soon"))] {
        assert!(Supervisor::new(Some(socket), watchdog).is_err(), "{socket} {watchdog:?}");
    }
}

#[test]
fn a_manager_that_is_gone_holds_nobody_up() {
    Supervisor::new(Some("/nonexistent/notify"), None).unwrap().stopping();
}
