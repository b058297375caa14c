#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use serde_json::{Value, json};

/// A report is written as it always was, and what was written is read.
fn check<T: Serialize + for<'de> Deserialize<'de> + PartialEq + std::fmt::Debug>(report: &T, text: Value) {
    assert_eq!(serde_json::to_value(report).unwrap().to_string(), text.to_string());
    assert_eq!(&serde_json::from_value::<T>(text).unwrap(), report);
}

#[test]
fn a_connected_proxy_and_one_that_is_missed_keep_their_fields() {
    let local = ProxyReport {
        uid: Some("local".into()),
        name: Some("local".into()),
        connected: true,
        synced: true,
        state: Some(SyncState::Synced),
        sent: Some("ab".into()),
        applied: Some("ab".into()),
        resources: Some(3),
        revision: Some(7),
        subscriptions: Some(2),
        age_seconds: Some(1.5),
        ..ProxyReport::default()
    };
    let mut text = json!({ "uid": "local", "name": "local", "connected": true, "synced": true,
        "state": "synced", "sent": "ab", "applied": "ab", "resources": 3, "revision": 7,
        "subscriptions": 2, "ageSeconds": 1.5 });
    check(&local, text.clone());
    // Without an error it is written as null; read back, it is not known whether it was there.
    let written = serde_json::to_value(ProxyReport { error: Some(None), ..local }).unwrap();
    text["error"] = Value::Null;
    assert_eq!(written.to_string(), text.to_string());

    let missed = ProxyReport {
        uid: Some("a".into()),
        state: Some(SyncState::Away),
        addresses: Some(vec!["10.0.0.1".into()]),
        since: Some(None),
        certificate: Some(None),
        ..ProxyReport::default()
    };
    let text = json!({ "uid": "a", "connected": false, "synced": false, "state": "away",
        "addresses": ["10.0.0.1"], "since": null, "ageSeconds": null, "certificate": null });
    assert_eq!(serde_json::to_value(missed).unwrap().to_string(), text.to_string());
}

#[test]
fn a_cluster_says_what_it_does_not_know() {
    let standing = ClusterStanding {
        cluster: "west".into(),
        state: Some(SyncState::Gone),
        revision: 2,
        reported_at: "2030-01-01T00:00:00Z".into(),
        since: Some("2030-01-01T00:00:00Z".into()),
        age_seconds: Some(0.0),
        ..ClusterStanding::default()
    };
    let text = json!({ "cluster": "west", "connected": false, "state": "gone", "synced": false, "sent": null,
        "applied": null, "error": null, "resources": null, "address": null, "version": null, "revision": 2,
        "reportedAt": "2030-01-01T00:00:00Z", "since": "2030-01-01T00:00:00Z", "ageSeconds": 0.0 });
    check(&standing, text);
    let certificate = CertificateReport {
        name: Some("own certificate".into()),
        expires: Some("2030-01-01T00:00:00Z".into()),
        state: Some(CertificateState::ExpiresSoon),
    };
    check(
        &certificate,
        json!({ "name": "own certificate", "expires": "2030-01-01T00:00:00Z", "state": "expires-soon" }),
    );
    let report = ReportedCluster {
        report: ClusterReport { cluster: "west".into(), ..ClusterReport::default() },
        history: vec![PastReport { revision: 1, version: "ab".into() }],
        ..ReportedCluster::default()
    };
    let text = json!({ "cluster": "west", "network": "", "region": "", "zone": "", "gateways": [], "exports": [],
        "connected": false, "revision": 0, "version": "", "reportedAt": 0,
        "history": [{ "revision": 1, "version": "ab" }] });
    check(&report, text);
}

#[test]
fn what_is_new_to_a_reader_is_not_good() {
    let read = |text: Value| serde_json::from_value::<ProxyReport>(text).unwrap();
    assert_eq!(read(json!({ "state": "paused", "mood": 7 })).state, Some(SyncState::Pending));
    let certificate: CertificateReport = serde_json::from_value(json!({ "state": "revoked" })).unwrap();
    assert_eq!(certificate.state, Some(CertificateState::Unknown));
    let finding = FindingReport { code: "LENO9999".into(), ..FindingReport::default() };
    assert_eq!(finding.finding(), None);
}

#[test]
fn a_finding_comes_back_as_it_was() {
    let object = ObjectRef::new("HTTPRoute", "default", "r");
    let origin = Origin { object, file: "a.yaml".into(), line: 3 };
    let finding = Finding::new(Code::Unsupported, &origin, "why", "fix");
    let report = FindingReport::from(&finding);
    check(
        &report,
        json!({ "code": "LENO0103", "level": "error", "kind": "HTTPRoute", "namespace": "default",
        "name": "r", "file": "a.yaml", "line": 3, "cause": "why", "fix": "fix" }),
    );
    assert_eq!(report.finding(), Some(finding));
}
