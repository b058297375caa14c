#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use std::fs;

#[test]
fn one_process_keeps_a_host_and_a_number_alone_is_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run").join("join.pid");
    assert_eq!(keeper(&path).unwrap(), None);
    let claim = Claim::make(&path).unwrap();
    let own = i32::try_from(std::process::id()).unwrap();
    assert!(matches!(Claim::make(&path), Err(ClaimError::Kept(pid)) if pid == own));
    assert_eq!(keeper(&path).unwrap(), Some(own));
    drop(claim);
    assert_eq!((keeper(&path).unwrap(), fs::read_to_string(&path).unwrap().as_str()), (None, ""));
    // What a killed process left.
    fs::write(&path, "1\n").unwrap();
    assert_eq!(keeper(&path).unwrap(), None);
    drop(Claim::make(&path).unwrap());
}

#[test]
fn a_link_to_somewhere_else_is_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let (path, other) = (directory.path().join("join.pid"), directory.path().join("other"));
    fs::write(&other, "kept").unwrap();
    std::os::unix::fs::symlink(&other, &path).unwrap();
    assert!(Claim::make(&path).is_err() && keeper(&path).is_err());
    assert_eq!(fs::read_to_string(&other).unwrap(), "kept");
}
