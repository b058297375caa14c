#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

#[test]
fn one_process_keeps_a_host_and_a_dead_one_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run").join("join.pid");
    let claim = Claim::make(&path).unwrap();
    let own = i32::try_from(std::process::id()).unwrap();
    assert!(matches!(Claim::make(&path), Err(JoinHostError::Joined(pid)) if pid == own));
    drop(claim);
    assert!(!path.exists());
    // What a killed process left, and what is no number.
    for stale in ["4194303999\n", "4194303\n", "-1", "0", "1", "nonsense"] {
        fs::write(&path, stale).unwrap();
        drop(Claim::make(&path).unwrap());
    }
}

#[test]
fn the_number_of_another_program_is_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("join.pid");
    let mut other = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    fs::write(&path, other.id().to_string()).unwrap();
    assert_eq!(keeper(&path), None);
    other.kill().unwrap();
    other.wait().unwrap();
}

#[tokio::test]
async fn readiness_is_heard_among_other_messages() {
    let notices = Notices::open().unwrap();
    let address = SocketAddr::from_abstract_name(&notices.name).unwrap();
    let socket = StdDatagram::unbound().unwrap();
    for message in ["STATUS=waiting for joined", "WATCHDOG=1", "READY=1\nSTATUS=ready"] {
        socket.send_to_addr(message.as_bytes(), &address).unwrap();
    }
    notices.ready().await.unwrap();
}
