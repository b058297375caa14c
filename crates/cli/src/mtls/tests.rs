#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use serde_json::json;

fn count(connections: u64, open: u32, age: f64) -> Value {
    json!({ "connections": connections, "open": open, "lastSeen": "2026-11-30T11:00:00Z", "ageSeconds": age })
}

fn caller(address: &str, workload: Option<&str>, cause: &str, breaks: bool, count: Value) -> Value {
    let mut caller = count;
    caller["address"] = address.into();
    caller["workload"] = workload.into();
    caller["cause"] = cause.into();
    caller["breaks"] = breaks.into();
    caller
}

fn check(workload: Value, expected: &str) {
    let report = json!({ "windowSeconds": 86400.0, "workloads": [workload] });
    let report: MtlsPlanReport = serde_json::from_value(report).unwrap();
    assert_eq!(describe(&report), expected);
}

#[test]
fn each_port_is_told_with_its_callers_and_a_verdict() {
    let ports = json!([
        { "port": 22, "mode": "STRICT", "by": null, "verdict": "strict",
          "refused": [caller("10.0.0.9", None, "no-proxy", true, count(1, 0, 5.0))] },
        { "port": 8080, "mode": "PERMISSIVE", "by": "PeerAuthentication/default.leno-system", "verdict": "would-break",
          "plaintext": [
            caller("10.0.0.5", None, "no-proxy", true, count(3, 0, 4.0)),
            caller("10.0.0.6", Some("west/default/web-1"), "past-proxy", true, count(1, 1, 0.0)),
            caller("10.0.0.7", Some("west/default/web-2"), "before-proxy", false, count(2, 0, 7_300.0)),
          ],
          "mutualTls": count(12, 0, 3.0) },
        { "port": 8081, "mode": "PERMISSIVE", "by": null, "verdict": "ready", "mutualTls": count(1, 0, 3.0) },
        { "port": 8082, "mode": "PERMISSIVE", "by": null, "verdict": "unknown" },
        { "port": 8083, "mode": "PERMISSIVE", "by": null, "verdict": "of-the-future" },
        { "port": 8084, "mode": "DISABLE", "by": null, "verdict": "unknown",
          "plaintext": [caller("10.0.0.6", Some("west/default/web-1"), "by-mode", false, count(1, 0, 1.0))] },
    ]);
    let workload = json!({
        "uid": "west/default/shop-1", "namespace": "default", "group": "shop", "ports": ports,
        "started": "2026-11-30T10:00:00Z", "reportSeconds": 5.0, "plaintextUnnamed": count(7, 0, 60.0),
    });
    check(
        workload,
        "\
default/shop (west/default/shop-1): its proxy counts since 2026-11-30T10:00:00Z and tells within 5 s
  port 22: STRICT, the default
    refused      10.0.0.9, has no proxy: 1 connection, the last 5s ago
  port 8080: PERMISSIVE, says PeerAuthentication/default.leno-system
    plaintext    10.0.0.5, has no proxy: 3 connections, the last 4s ago
    plaintext    west/default/web-1 at 10.0.0.6, has a proxy and calls past it: its traffic is excluded from capture, or its proxy could not ask whose address that is: 1 connection, 1 open
    plaintext    west/default/web-2 at 10.0.0.7, called before its proxy started: 2 connections, the last 2h ago
    mutual TLS   12 connections, the last 3s ago
    STRICT would break 2 callers: 10.0.0.5, west/default/web-1
  port 8081: PERMISSIVE, the default
    mutual TLS   1 connection, the last 3s ago
    ready for STRICT: all who were seen in the last 24h came in mutual TLS
  port 8082: PERMISSIVE, the default
    no traffic seen since the proxy started at 2026-11-30T10:00:00Z, so nothing is known
  port 8083: PERMISSIVE, the default
  port 8084: DISABLE, the default
    plaintext    west/default/web-1 at 10.0.0.6, whose proxy was told to: the port took nothing else: 1 connection, the last 1s ago
    not known: say PERMISSIVE first, and see who comes in mutual TLS then
  7 connections, the last 60s ago in plaintext, by callers beyond those that a proxy keeps by name
",
    );
}

#[test]
fn who_has_told_nothing_is_not_called_ready() {
    let port = json!([{ "port": 80, "mode": "PERMISSIVE", "by": null, "verdict": "unknown" }]);
    check(
        json!({ "uid": "u", "namespace": "n", "group": "g", "ports": port }),
        "n/g (u): its proxy has told nothing yet\n  port 80: PERMISSIVE, the default\n    \
         its proxy has told nothing yet, so nothing is known\n",
    );
    check(
        json!({ "uid": "u", "namespace": "n", "group": "g" }),
        "n/g (u): its proxy has told nothing yet\n  no port is declared, and none was called\n",
    );
}
