#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;

use crate::peer::Peer;
use crate::testing::{host, id};
use daemon::clock::System;
use decide::authz::{Decision, Denial, DryRun};
use model::authz::Action;
use model::{ObjectRef, Origin, Policy, Reason};
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A sink that can be read afterwards.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl daemon::lines::Sink for Sink {}

fn request<'a>() -> RequestRecord<'a> {
    RequestRecord {
        direction: Direction::Outbound,
        host: None,
        service: None,
        peer: None,
        peer_cluster: None,
        security: Security::MutualTls,
        protocol: RequestProtocol::Http,
        version: http::Version::HTTP_11,
        method: "GET",
        path: "/",
        authority: "a.mesh",
        status: 200,
        grpc_status: None,
        reason: None,
        limited: None,
        is_delayed: false,
        mirrors: 0,
        denial: None,
        dry_run: None,
        started: UNIX_EPOCH + Duration::from_millis(1_795_342_272_345),
        duration: Duration::from_micros(1500),
        bytes_received: 3,
        bytes_sent: 40,
        downstream: None,
        upstream: None,
        route: None,
        request_id: "",
        tls: None,
        attempts: 1,
    }
}

fn tcp<'a>() -> TcpRecord<'a> {
    TcpRecord {
        direction: Direction::Inbound,
        transport: super::L4Transport::Tcp,
        host: None,
        outside: None,
        service: None,
        peer: None,
        peer_cluster: None,
        security: Security::MutualTls,
        reason: None,
        limited: None,
        denial: None,
        dry_run: None,
        started: SystemTime::now(),
        duration: Duration::from_secs(1),
        bytes_received: 10,
        bytes_sent: 20,
        downstream: None,
        upstream: None,
        tls: None,
        route: None,
        attempts: 1,
    }
}

fn observe() -> Arc<Observe> {
    let observe = Observe::new(Arc::new(System), None);
    observe.set_own(Own {
        id: Some(id("client")),
        cluster: "west".into(),
        app: "shop".into(),
        ..Own::default()
    });
    observe
}

/// Somebody with the service account `server`.
fn server(workload: Option<&str>, cluster: Option<&str>) -> Peer {
    Peer { id: id("server"), workload: workload.map(Into::into), cluster: cluster.map(Into::into) }
}

/// The one line of `text` that starts with `family` and contains `part`.
fn line<'t>(text: &'t str, family: &str, part: &str) -> &'t str {
    let found: Vec<&str> = text.lines().filter(|l| l.starts_with(family) && l.contains(part)).collect();
    let [line] = found.as_slice() else { panic!("{family} with {part}: {found:#?} in\n{text}") };
    line
}

#[test]
fn a_request_is_counted_under_istios_labels() {
    let observe = observe();
    let (server, name) = (server(None, None), host("web.shop.svc.cluster.local"));
    let record =
        RequestRecord { host: Some(&name), peer: Some(&server), peer_cluster: Some("east"), ..request() };
    observe.recorder().request(&record);
    let text = observe.render(1, 1);
    let line = line(&text, "istio_requests_total{", "");
    for label in [
        "reporter=\"source\"",
        "source_workload=\"client\"",
        "source_workload_namespace=\"default\"",
        "source_principal=\"spiffe://leno.demo/ns/default/sa/client\"",
        "source_app=\"shop\"",
        "source_cluster=\"west\"",
        "destination_workload=\"server\"",
        "destination_principal=\"spiffe://leno.demo/ns/default/sa/server\"",
        "destination_service=\"web.shop.svc.cluster.local\"",
        "destination_service_name=\"web\"",
        "destination_service_namespace=\"shop\"",
        "destination_cluster=\"east\"",
        "request_protocol=\"http\"",
        "response_code=\"200\"",
        "response_flags=\"-\"",
        "connection_security_policy=\"mutual_tls\"",
        "grpc_response_status=\"\"",
    ] {
        assert!(line.contains(label), "{label} in {line}");
    }
    assert!(line.ends_with("} 1"));
}

#[test]
fn workers_are_added_up_and_histograms_are_cumulative() {
    let observe = observe();
    let (one, two) = (observe.recorder(), observe.recorder());
    for _ in 0..3 {
        one.request(&request());
        two.request(&RequestRecord { duration: Duration::from_millis(7), ..request() });
    }
    let text = observe.render(1, 0);
    let family = "istio_request_duration_milliseconds";
    assert!(line(&text, "istio_requests_total", "").ends_with(" 6"));
    assert!(line(&text, &format!("{family}_bucket"), "le=\"1\"").ends_with(" 0"));
    assert!(line(&text, &format!("{family}_bucket"), "le=\"5\"").ends_with(" 3"));
    assert!(line(&text, &format!("{family}_bucket"), "le=\"+Inf\"").ends_with(" 6"));
    assert!(line(&text, &format!("{family}_sum"), "").ends_with(" 25.5"));
    assert!(line(&text, "istio_response_bytes_sum", "").ends_with(" 240"));
}

#[test]
fn connections_are_counted_when_opened_and_when_closed() {
    let observe = observe();
    let recorder = observe.recorder();
    recorder.tcp_opened(&tcp());
    recorder.tcp_opened(&tcp());
    recorder.tcp(&tcp());
    let text = observe.render(1, 0);
    for (family, value) in [("opened", 2), ("closed", 1)] {
        let line = line(&text, &format!("istio_tcp_connections_{family}_total"), "reporter=\"destination\"");
        assert!(line.ends_with(&format!(" {value}")), "{line}");
    }
    assert!(line(&text, "istio_tcp_received_bytes_total", "request_protocol=\"tcp\"").ends_with(" 10"));
    assert!(line(&text, "istio_tcp_sent_bytes_total", "").ends_with(" 20"));
}

#[test]
fn refusals_are_counted_by_reason() {
    let observe = observe();
    let recorder = observe.recorder();
    for _ in 0..50 {
        recorder.refused("10.0.0.1:5".parse().unwrap(), Reason::PeerExpired);
    }
    let text = observe.render(1, 0);
    assert!(line(&text, "leno_refused_connections_total", "peer_certificate_expired").ends_with(" 50"));
}

#[test]
fn labels_follow_who_we_are() {
    let observe = observe();
    let recorder = observe.recorder();
    recorder.request(&request());
    observe.set_own(Own {
        id: Some(id("client")),
        cluster: "west".into(),
        app: "other".into(),
        ..Own::default()
    });
    recorder.request(&request());
    let text = observe.render(1, 0);
    assert!(line(&text, "istio_requests_total", "source_app=\"other\"").ends_with(" 1"));
}

#[test]
fn a_peer_is_labelled_by_what_its_certificate_says() {
    let observe = observe();
    let peer = server(Some("web-v2"), Some("east"));
    let called = [
        "reporter=\"destination\"",
        "source_workload=\"web-v2\"",
        "source_principal=\"spiffe://leno.demo/ns/default/sa/server\"",
        "source_cluster=\"east\"",
        "destination_workload=\"client\"",
        "destination_cluster=\"west\"",
    ];
    // A gateway between networks knows who calls, and for which workload only by the service's name.
    let relayed = [
        "reporter=\"source\"",
        "source_workload=\"web-v2\"",
        "source_cluster=\"east\"",
        "destination_workload=\"unknown\"",
        "destination_principal=\"unknown\"",
        "destination_cluster=\"west\"",
    ];
    for (direction, labels) in [(Direction::Inbound, called), (Direction::EastWest, relayed)] {
        observe.recorder().tcp(&TcpRecord { direction, peer: Some(&peer), ..tcp() });
        let text = observe.render(1, 0);
        let line = line(&text, "istio_tcp_connections_closed_total{", labels[0]);
        for label in labels {
            assert!(line.contains(label), "{label} in {line}");
        }
    }
}

#[test]
fn the_certificate_is_told_in_seconds() {
    let observe = observe();
    let now = SystemTime::now();
    let hour = Duration::from_secs(3600);
    observe.set_certificate(now - hour, now + hour, Some(now + hour / 2));
    let text = observe.render(1, 0);
    let value =
        |name: &str| line(&text, &format!("{name} "), "").rsplit(' ').next().unwrap().parse::<f64>().unwrap();
    assert!(value("leno_certificate_age_seconds") >= 3600.0);
    assert!(value("leno_certificate_next_renewal_seconds") <= 1800.0);
    assert!(value("leno_certificate_expires_seconds") <= 3600.0);
}

fn logged(record: &RequestRecord<'_>) -> serde_json::Value {
    let sink = Sink::default();
    let log = AccessLog::start(sink.clone()).unwrap();
    let observe = Observe::new(Arc::new(System), Some(log));
    observe.set_own(Own { id: Some(id("client")), ..Own::default() });
    observe.recorder().request(record);
    observe.finish();
    let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.matches('\n').count(), 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_line_of_the_access_log_has_envoys_fields() {
    let denial = Denial::Matched { policy: policy("deny-client", Action::Deny), rule: 2 };
    let (name, peer) = (host("web.mesh"), server(None, None));
    let line = logged(&RequestRecord {
        direction: Direction::Inbound,
        host: Some(&name),
        peer: Some(&peer),
        status: 403,
        reason: Some(Reason::Denied),
        denial: Some(&denial),
        upstream: Some("127.0.0.1:8080".parse().unwrap()),
        route: Some(&model::ObjectRef::new("HTTPRoute", "default", "web")),
        request_id: "r-1",
        ..request()
    });
    for (field, value) in [
        ("start_time", "2026-11-22T10:11:12.345Z"),
        ("direction", "inbound"),
        ("method", "GET"),
        ("path", "/"),
        ("protocol", "HTTP/1.1"),
        ("authority", "a.mesh"),
        ("response_flags", "RBAC"),
        ("response_code_details", "rbac_access_denied"),
        ("upstream_host", "127.0.0.1:8080"),
        ("upstream_cluster", "web.mesh"),
        ("route_name", "default/web"),
        ("request_id", "r-1"),
        ("source_principal", "spiffe://leno.demo/ns/default/sa/server"),
        ("destination_principal", "spiffe://leno.demo/ns/default/sa/client"),
        ("policy", "default/deny-client"),
    ] {
        assert_eq!(line[field], value, "{field}");
    }
    for (field, value) in [
        ("response_code", 403),
        ("duration", 1),
        ("bytes_received", 3),
        ("bytes_sent", 40),
        ("attempts", 1),
        ("policy_rule", 2),
    ] {
        assert_eq!(line[field], value, "{field}");
    }
    assert_eq!(line.get("allow_policies"), None);
}

/// Nobody's rule denied it: what is told is which policies could have let it in.
#[test]
fn a_line_names_the_policies_of_which_none_matched() {
    let allow = vec![policy("a", Action::Allow), policy("b", Action::Allow)];
    let denial = Denial::NoneMatched { allow };
    let record = RequestRecord { reason: Some(Reason::Denied), denial: Some(&denial), ..request() };
    let line_of_log = logged(&record);
    assert_eq!((&line_of_log["policy"], line_of_log.get("policy_rule")), (&"none".into(), None));
    assert_eq!(line_of_log["allow_policies"], serde_json::json!(["default/a", "default/b"]));
    assert_eq!(logged(&request())["policy"], serde_json::Value::Null, "nothing denied it");
    // The same where it would be so if dry runs were enforced.
    let dry_run = DryRun { matched: Vec::new(), verdict: Some(Decision::Deny(denial.clone())) };
    let line_of_log = logged(&RequestRecord { dry_run: Some(&dry_run), ..request() });
    assert_eq!(line_of_log["shadow_allow_policies"], serde_json::json!(["default/a", "default/b"]));

    let observe = observe();
    let recorder = observe.recorder();
    recorder.request(&record);
    recorder.tcp(&TcpRecord { denial: Some(&denial), ..tcp() });
    let matched = Denial::Matched { policy: policy("deny", Action::Deny), rule: 0 };
    recorder.request(&RequestRecord { denial: Some(&matched), ..request() });
    let text = observe.render(1, 0);
    for (policy, count) in [("none", 2), ("default/deny", 1)] {
        let counted = line(&text, "leno_policy_denied_total{", &format!("policy=\"{policy}\""));
        assert!(counted.ends_with(&format!(" {count}")), "{counted}");
    }
}

#[test]
fn a_line_tells_who_answered() {
    assert_eq!(logged(&request())["response_code_details"], "via_upstream");
    let redirect = RequestRecord { attempts: 0, status: 302, ..request() };
    assert_eq!(logged(&redirect)["response_code_details"], "direct_response");
}

fn policy(name: &str, action: Action) -> Arc<Policy> {
    let object = ObjectRef::new("AuthorizationPolicy", "default", name);
    let origin = Origin { object, file: "".into(), line: 1 };
    Arc::new(Policy { origin, action, rules: Vec::new(), dry_run: false })
}

fn dry_run() -> DryRun {
    let policy = Policy { dry_run: true, ..Policy::clone(&policy("trial", Action::Deny)) };
    let matched = vec![(Arc::new(policy), 0)];
    let verdict = Decision::Deny(Denial::Matched { policy: Arc::clone(&matched[0].0), rule: 0 });
    DryRun { matched, verdict: Some(verdict) }
}

#[test]
fn a_policy_that_is_not_enforced_is_logged_and_counted() {
    let dry_run = dry_run();
    let record = RequestRecord { dry_run: Some(&dry_run), ..request() };
    let line_of_log = logged(&record);
    assert_eq!(line_of_log["shadow_policies"], serde_json::json!(["default/trial"]));
    assert_eq!(line_of_log["shadow_engine_result"], "denied");
    assert_eq!(logged(&request()).get("shadow_policies"), None);
    assert_eq!(line_of_log.get("shadow_allow_policies"), None);
    let observe = observe();
    let recorder = observe.recorder();
    recorder.request(&record);
    recorder.tcp(&TcpRecord { dry_run: Some(&dry_run), ..tcp() });
    let text = observe.render(1, 0);
    let counted =
        line(&text, "leno_policy_dry_run_matches_total{", "policy=\"default/trial\",action=\"deny\"");
    assert!(counted.ends_with(" 2"), "{counted}");
}

#[test]
fn hostile_values_stay_inside_their_field() {
    let hostile = "\"}\n{\"admin\":true,\"x\":\"\u{0}\u{1b}[31m\u{2028}\\";
    let line = logged(&RequestRecord {
        path: hostile,
        authority: hostile,
        method: hostile,
        request_id: hostile,
        ..request()
    });
    for field in ["path", "authority", "method", "request_id"] {
        assert_eq!(line[field], hostile, "{field}");
    }
    assert_eq!(line.get("admin"), None);
}

#[test]
fn long_values_are_cut_between_characters() {
    let long = "ü".repeat(5000);
    let line = logged(&RequestRecord { path: &long, authority: &long, ..request() });
    assert_eq!(line["path"].as_str().unwrap().len(), 2048);
    assert_eq!(line["authority"].as_str().unwrap().len(), 256);
}

#[test]
fn a_stuck_disk_costs_lines_and_not_time() {
    struct Stuck(std::sync::mpsc::Receiver<()>);
    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Returns when the test has dropped its end.
            let _ = self.0.recv();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    impl daemon::lines::Sink for Stuck {}
    let (release, stuck) = std::sync::mpsc::channel();
    let log = AccessLog::start(Stuck(stuck)).unwrap();
    let observe = Observe::new(Arc::new(System), Some(log));
    let recorder = observe.recorder();
    for _ in 0..10_000 {
        recorder.request(&request());
    }
    assert!(observe.log().unwrap().dropped() > 0);
    // Not even at the end.
    observe.finish();
    drop(release);
}

#[test]
fn times_are_written_as_rfc_3339_wants() {
    for (ms, text) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
    ] {
        assert_eq!(model::time::rfc3339_ms(UNIX_EPOCH + Duration::from_millis(ms)), text);
    }
}

#[test]
fn a_new_access_log_is_for_its_owner_alone_and_an_old_one_as_it_was() {
    use std::os::unix::fs::PermissionsExt;
    let path = std::env::temp_dir().join(format!("leno-access-log-{}", std::process::id()));
    let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    AccessLog::open(&path).unwrap().finish();
    let made = mode();
    // As a log rotation may do, for those who read it.
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    AccessLog::open(&path).unwrap().finish();
    let kept = mode();
    std::fs::remove_file(&path).unwrap();
    assert_eq!((made, kept), (0o600, 0o640));
}

mod overflow;
