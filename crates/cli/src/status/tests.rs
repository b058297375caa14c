//! What counts as in sync.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::{PlaneStatus, word};
use serde_json::{Value, json};

fn table(report: &Value) -> String {
    super::table(&PlaneStatus::read(report).unwrap())
}

fn proxy(sent: &str, applied: &str, synced: bool, error: Option<&str>) -> Value {
    json!({ "uid": "a", "namespace": "n", "connected": true, "sent": sent, "applied": applied,
        "synced": synced, "error": error, "ageSeconds": 3.2 })
}

#[test]
fn only_an_acknowledged_proxy_is_synced() {
    let check = |proxy: Value, expected: &str| {
        let status = PlaneStatus::read(&json!({ "proxies": [proxy] })).unwrap();
        assert_eq!(word(status.recipients()[0].state), expected, "{proxy}");
        // A cluster is judged by the same evidence.
        let status = PlaneStatus::read(&json!({ "plane": "manager", "clusters": [proxy] })).unwrap();
        assert_eq!(word(status.recipients()[0].state), expected, "cluster: {proxy}");
    };
    check(proxy("ab", "ab", true, None), "SYNCED");
    check(proxy("ab", "cd", true, None), "STALE");
    check(proxy("ab", "ab", false, None), "STALE");
    check(proxy("ab", "ab", true, Some("no")), "NACK");
    check(proxy("", "", false, None), "NOT SENT");
    check(proxy("0000", "0000", true, None), "NOT SENT");
    check(json!({ "uid": "a", "connected": false, "synced": false }), "NOT SENT");
    check(json!({ "connected": false, "synced": true, "sent": "ab", "applied": "ab" }), "STALE");
    check(json!({ "connected": false, "synced": false, "state": "gone" }), "GONE");
    check(json!({ "connected": false, "synced": false, "state": "away" }), "AWAY");
    check(json!({}), "NOT SENT");
}

#[test]
fn the_table_shows_the_error_only_where_there_is_one() {
    let report =
        json!({ "cluster": "west", "proxies": [proxy("0123456789abcdef", "0123456789abcdef", true, None)] });
    let expected = "NAME   CLUSTER   SENT           ACKED          STATE    AGE
a      west      0123456789ab   0123456789ab   SYNCED   3s
";
    assert_eq!(table(&report), expected);
    let report = json!({ "cluster": "west", "proxies": [proxy("ab", "cd", false, Some("bad\nrule"))] });
    assert!(table(&report).contains("NACK    3s    bad rule"));
}

#[test]
fn the_table_says_since_when_one_is_gone_and_how_its_certificate_stands() {
    let gone = json!({ "uid": "a", "connected": false, "synced": false, "state": "gone", "ageSeconds": 300.0,
        "since": "2030-01-01T00:00:00Z", "certificate": { "expires": "2030-01-01T00:04:00Z", "state": "expired" } });
    let mut soon = proxy("ab", "ab", true, None);
    let mut hung = proxy("ab", "ab", true, None);
    hung["application"] = json!({ "ready": false, "cause": "HTTP status\n500" });
    let mut well = proxy("ab", "ab", true, None);
    well["application"] = json!({ "ready": true });
    soon["certificate"] = json!({ "expires": "2030-01-01T00:09:00Z", "state": "expires-soon" });
    let text = table(&json!({ "cluster": "west", "proxies": [gone, soon, hung, well] }));
    for line in [
        "a      west      -      -       GONE     5m    not connected since 2030-01-01T00:00:00Z; its certificate expired at 2030-01-01T00:04:00Z",
        "a      west      ab     ab      SYNCED   3s    its certificate expires at 2030-01-01T00:09:00Z and was not renewed",
        "a      west      ab     ab      SYNCED   3s    its application is not ready: HTTP status 500\n",
        "a      west      ab     ab      SYNCED   3s\n",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
}

#[test]
fn the_management_plane_shows_its_clusters() {
    let report = json!({ "plane": "manager", "clusters": [
        { "cluster": "east", "connected": true, "synced": true, "state": "synced", "sent": "ab", "applied": "ab", "ageSeconds": 7.0 },
        { "cluster": "west", "connected": false, "synced": false, "state": "gone", "since": "2030-01-01T00:00:00Z", "ageSeconds": 60.0 },
    ] });
    let expected = "NAME   CLUSTER   SENT   ACKED   STATE    AGE   ERROR
east   east      ab     ab      SYNCED   7s
west   west      -      -       GONE     60s   not connected since 2030-01-01T00:00:00Z
";
    assert_eq!(table(&report), expected);
}
