#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use std::future::Future;
use std::task::{Context, Waker};

/// Whoever does something else meanwhile must keep the future: another one would not hear of it.
#[tokio::test]
async fn a_signal_that_comes_while_nobody_looks_is_not_lost() {
    let mut stop = Box::pin(wait_for_stop());
    assert!(stop.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let own = std::process::id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &own]).status().unwrap().success());
    let stopped = tokio::time::timeout(std::time::Duration::from_secs(30), stop).await;
    assert_eq!(stopped.unwrap().unwrap(), Stop::Terminate);
}

#[test]
fn a_process_may_open_all_the_descriptors_that_it_is_permitted() {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, soft.min(512), hard).unwrap();
    raise_descriptors();
    assert_eq!(descriptors_max(), hard);
}
