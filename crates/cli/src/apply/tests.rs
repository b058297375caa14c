#![allow(clippy::unwrap_used)]
//! What `--wait` waits for.

use super::{behind, parse_wait};
use serde_json::json;
use std::time::Duration;

#[test]
fn only_connected_proxies_are_waited_for() {
    let report = json!({ "proxies": [
        { "uid": "ok", "connected": true, "synced": true, "sent": "a", "applied": "a" },
        { "uid": "late", "connected": true, "synced": false, "sent": "a", "applied": "b" },
        { "uid": "away", "connected": false, "synced": false, "sent": "a", "applied": "b" },
        { "uid": "new", "connected": true, "synced": false, "sent": "" },
    ]});
    let names: Vec<_> = behind(&report).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["late"]);
}

#[test]
fn a_wait_is_a_duration_above_zero() {
    assert_eq!(parse_wait("2m").unwrap(), Duration::from_secs(120));
    for bad in ["", "0s", "soon", "-1s"] {
        assert!(parse_wait(bad).is_err(), "{bad}");
    }
}
