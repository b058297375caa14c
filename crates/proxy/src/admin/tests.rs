#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use crate::snapshot::SnapshotChange;
use crate::testing::{configured, me, service, slice};
use daemon::Gate;
use daemon::clock::System;
use fixtures::pki::TestAuthority;
use model::filter::{FilterConfig, HeaderEdit, RequestHeaders};
use model::listener::Inbound;
use model::mtls::InboundMtls;
use model::probe::{HttpGetProbe, ProbeAction, ProbeHeader, ProbeScheme, ReadinessProbe};
use model::route::{Parent, RouteRule};
use model::trust::TrustBundle;
use model::{ObjectRef, Origin, Resource, ResourceKey, TrustDomain};

fn admin() -> (Admin, Gate) {
    let (trigger, drain) = Drain::new();
    let readiness = Readiness::new();
    let gate = readiness.gate("joined");
    let clock: Arc<dyn Clock> = Arc::new(System);
    let admin = Admin {
        readiness,
        identity: Identity::new(Vec::new()),
        renewal: Arc::default(),
        observe: Observe::new(Arc::clone(&clock), None),
        probing: Probing::new(),
        started: clock.now(),
        clock,
        trigger: Arc::new(trigger),
        drain,
        joined: OnceLock::new(),
    };
    (admin, gate)
}

fn joined() -> Joined {
    let store = configured("mesh");
    let parent = Parent::Service { host: crate::testing::host("a.mesh"), port: 80 };
    let secret =
        HeaderEdit { set: vec![("authorization".into(), "Basic c2VjcmV0".into())], ..HeaderEdit::default() };
    let origin = Origin { object: ObjectRef::new("HTTPRoute", "ns", "r"), file: "r.yaml".into(), line: 3 };
    let rule = RouteRule {
        filters: vec![FilterConfig::RequestHeaders(RequestHeaders(secret))],
        ..RouteRule::new(parent.clone(), origin)
    };
    let key = ResourceKey::Rule { parent, route: ObjectRef::new("HTTPRoute", "ns", "r"), index: 0 };
    let inbound = Inbound {
        namespace: "ns".into(),
        group: "g".into(),
        labels: Vec::new(),
        ports: Vec::new(),
        mtls: InboundMtls::default(),
        probe: Some(probe()),
        capture: Vec::new(),
    };
    let upserts = vec![
        service("a.mesh"),
        slice("a.mesh", 0, &["a1"]),
        (key, Resource::Rule(rule.into())),
        (ResourceKey::Inbound("ns".into(), "g".into()), Resource::Inbound(inbound)),
    ];
    store.apply(SnapshotChange { upserts, ..SnapshotChange::default() });
    Joined {
        me: me(),
        store,
        listeners: vec![("127.0.0.1:15000".into(), "admin")],
        serving_since: Instant::now(),
    }
}

fn ask(admin: &Admin, method: &str, path: &str, query: Option<&str>) -> (u16, String) {
    let reply = match admin.answer(&AdminRequest { path, method, query }) {
        AdminAnswer::Reply(reply) => reply,
        AdminAnswer::Change(change) => change(),
    };
    (reply.status, String::from_utf8(reply.body.to_vec()).unwrap())
}

#[test]
fn ready_names_what_is_missing_until_nothing_is() {
    let (admin, gate) = admin();
    let (status, text) = ask(&admin, "GET", "/ready", None);
    assert_eq!(status, 503);
    assert!(text.contains("joined"), "{text}");
    gate.open();
    assert_eq!(ask(&admin, "GET", "/ready", None), (200, "LIVE\n".to_owned()));
    admin.trigger.start();
    assert_eq!(ask(&admin, "GET", "/ready", None), (503, "DRAINING\n".to_owned()));
}

/// How to ask for an application whose health needs a password.
fn probe() -> Arc<ReadinessProbe> {
    let header = ProbeHeader { name: "authorization".into(), value: "Basic c2VjcmV0".into() };
    let second = std::time::Duration::from_secs(1);
    Arc::new(ReadinessProbe {
        action: ProbeAction::HttpGet(HttpGetProbe {
            path: "/healthz?token=c2VjcmV0".into(),
            port: 8080,
            scheme: ProbeScheme::Http,
            host: None,
            headers: vec![header],
        }),
        initial_delay: second,
        timeout: second,
        period: second,
        success_threshold: 1,
        failure_threshold: 1,
    })
}

#[test]
fn the_application_is_told_of_apart_and_only_where_it_is_probed() {
    let (admin, gate) = admin();
    gate.open();
    admin.probing.configure(None);
    assert_eq!(ask(&admin, "GET", "/ready", None), (200, "LIVE\n".to_owned()));
    assert!(!ask(&admin, "GET", "/metrics", None).1.contains("leno_application"));
    admin.probing.configure(Some(&probe()));
    assert_eq!(ask(&admin, "GET", "/ready", None), (200, "LIVE\napplication: ready\n".to_owned()));
    let (_, metrics) = ask(&admin, "GET", "/metrics", None);
    assert!(metrics.contains("\nleno_application_ready 1\n"), "{metrics}");
    assert!(metrics.contains("\nleno_application_probes_total{result=\"failure\"} 0\n"), "{metrics}");
}

#[test]
fn the_dump_shows_hosts_rules_and_no_header_values() {
    let (admin, _gate) = admin();
    assert_eq!(ask(&admin, "GET", "/config_dump", None).0, 503);
    assert!(admin.joined.set(joined()).is_ok());
    let (status, text) = ask(&admin, "GET", "/config_dump", None);
    assert_eq!(status, 200);
    assert!(!text.contains("c2VjcmV0"), "{text}");
    let dump: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(dump["hosts"][0]["host"], "a.mesh");
    assert_eq!(dump["inbound"]["probe"]["action"]["http_get"]["path"], "/healthz");
    assert_eq!(dump["hosts"][0]["endpoints"][0]["uid"], "a1");
    assert_eq!(dump["hosts"][0]["rules"][0]["file"], "r.yaml");
    assert_eq!(dump["hosts"][0]["rules"][0]["filters"][0]["set"][0], "authorization");
}

/// Every path that the help names, and what follows a name that is not there.
#[test]
fn no_page_shows_a_secret() {
    let (admin, _gate) = admin();
    let (root, key) = (TestAuthority::root("root"), identity::Key::generate().unwrap());
    let chain = root.leaf_for(&key, "spiffe://a.test/ns/ns/sa/web", |_| {});
    let trust_domain = TrustDomain::parse("a.test").unwrap();
    admin.identity.set_trust(vec![TrustBundle { trust_domain, roots: vec![root.root_der()] }]);
    admin.identity.install(identity::Svid::new(key, chain).unwrap());
    assert!(admin.joined.set(joined()).is_ok());
    let paths: Vec<&str> =
        HELP.lines().filter_map(|line| line.strip_prefix("GET")?.split_whitespace().next()).collect();
    assert!(paths.len() >= 7 && paths.contains(&"/certs"), "{paths:?}");
    for path in paths.into_iter().chain(["/", "/help", "/metrics", "/nothing"]) {
        let (status, text) = ask(&admin, "GET", path, None);
        assert!(!text.is_empty() && status != 500, "{path}");
        for secret in ["-----BEGIN", "PRIVATE KEY", "c2VjcmV0", "lj1.", "Bearer "] {
            assert!(!text.contains(secret), "{secret} in {path}: {text}");
        }
    }
}

#[test]
fn clusters_are_listed_as_envoy_does() {
    let (admin, _gate) = admin();
    assert!(admin.joined.set(joined()).is_ok());
    let (_, text) = ask(&admin, "GET", "/clusters", None);
    assert!(text.contains("a.mesh::10.244.0.9:8080::health_flags::healthy\n"), "{text}");
    assert!(text.contains("a.mesh::10.244.0.9:8080::rq_active::0\n"), "{text}");
}

#[test]
fn changes_want_post() {
    let (admin, _gate) = admin();
    assert_eq!(ask(&admin, "GET", "/drain_listeners", None).0, 405);
    assert!(!admin.drain.is_started());
    assert_eq!(ask(&admin, "POST", "/drain_listeners", None).0, 200);
    assert!(admin.drain.is_started());
    assert_eq!(ask(&admin, "POST", "/logging", None).0, 400);
    assert_eq!(ask(&admin, "GET", "/nope", None).0, 404);
}

#[test]
fn the_metrics_port_tells_metrics_and_nothing_else() {
    let (admin, _gate) = admin();
    let ask = |path| admin.answer_metrics(&AdminRequest { path, method: "GET", query: None }).status;
    assert_eq!((ask("/metrics"), ask("/config_dump"), ask("/certs")), (200, 404, 404));
}
