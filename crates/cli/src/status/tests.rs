//! What counts as in sync.

use super::{Sync, table};
use serde_json::{Value, json};

fn proxy(sent: &str, applied: &str, synced: bool, error: Option<&str>) -> Value {
    json!({ "uid": "a", "namespace": "n", "connected": true, "sent": sent, "applied": applied,
        "synced": synced, "error": error, "ageSeconds": 3.2 })
}

#[test]
fn only_an_acknowledged_proxy_is_synced() {
    let check = |proxy: Value, expected: &str| assert_eq!(Sync::of(&proxy).as_str(), expected, "{proxy}");
    check(proxy("ab", "ab", true, None), "SYNCED");
    check(proxy("ab", "cd", true, None), "STALE");
    check(proxy("ab", "ab", false, None), "STALE");
    check(proxy("ab", "ab", true, Some("no")), "NACK");
    check(proxy("", "", false, None), "NOT SENT");
    check(proxy("0000", "0000", true, None), "NOT SENT");
    check(json!({ "uid": "a", "connected": false, "synced": false }), "NOT SENT");
    check(json!({ "connected": false, "synced": true, "sent": "ab", "applied": "ab" }), "STALE");
    check(json!({}), "NOT SENT");
}

#[test]
fn the_table_shows_the_error_only_where_there_is_one() {
    let report =
        json!({ "cluster": "west", "proxies": [proxy("0123456789abcdef", "0123456789abcdef", true, None)] });
    let expected = "NAME   CLUSTER   SENT           ACKED          STATE    AGE
a      west      0123456789ab   0123456789ab   SYNCED   3s
";
    assert_eq!(table(&report, None), expected);
    assert_eq!(table(&report, Some("other")), "");
    let report = json!({ "cluster": "west", "proxies": [proxy("ab", "cd", false, Some("bad\nrule"))] });
    assert!(table(&report, None).contains("NACK    3s    bad rule"));
}
