#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! What `--wait` waits for.

use super::{PlaneStatus, lacks, names, parse_wait};
use serde_json::json;
use std::time::Duration;

#[test]
fn only_connected_proxies_are_waited_for() {
    let report = json!({ "proxies": [
        { "uid": "ok", "connected": true, "revision": 7 },
        { "uid": "further", "connected": true, "revision": 8 },
        { "uid": "late", "connected": true, "revision": 6, "synced": true, "sent": "a", "applied": "a" },
        { "uid": "away", "connected": false },
        { "uid": "new", "connected": true },
    ]});
    assert_eq!(
        names(&PlaneStatus::read(&report).unwrap().recipients(), |proxy| lacks(proxy, 7)),
        ["late", "new"]
    );
}

#[test]
fn a_wait_is_a_duration_above_zero() {
    assert_eq!(parse_wait("2m").unwrap(), Duration::from_secs(120));
    for bad in ["", "0s", "soon", "-1s"] {
        assert!(parse_wait(bad).is_err(), "{bad}");
    }
}
