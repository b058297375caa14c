//! Health of applications, live: one that hangs leaves rotation, in both clusters, and comes back.

use crate::demo::{Demo, text, wait_until};
use serde_json::json;

const URL: &str = "http://web-api.mesh.internal/";
const HOST: &str = "west/web-api";
const SERVICES: &str = include_str!("../../../../crates/lab/config/services.yaml");
const PROBE: &str = "  template:
    serviceAccount: web-api
  probe:
    httpGet: {port: 8080, path: /healthz}
    periodSeconds: 1
    failureThreshold: 2
";

/// The demo's services, with a probe of one.
fn probed() -> String {
    let plain = "  template:\n    serviceAccount: web-api\n";
    assert!(SERVICES.contains(plain));
    SERVICES.replace(plain, PROBE)
}

fn signal_application(demo: &Demo, signal: &str) {
    let processes = demo.client.processes().expect("processes");
    let application =
        processes.iter().find(|row| row.host == HOST && row.program == "app").expect("an application");
    demo.run(HOST, &["kill", signal, &application.pid.to_string()]);
}

/// Which cluster's application answers `west/client`.
fn answered_by(demo: &Demo) -> String {
    demo.answer("west/client", &[URL]).hops[0].cluster.clone()
}

#[test]
fn t03_an_application_that_hangs_leaves_rotation_and_comes_back() {
    let demo = Demo::start("t03p");
    let is = |report: serde_json::Value| demo.proxy("west", "web-api")["application"] == report;
    let knows = |client: &str, flag: &str| {
        let line = format!("web-api.mesh.internal::10.244.0.11:8080::health_flags::{flag}");
        demo.page(client, 15000, "/clusters").contains(&line)
    };
    assert_eq!(demo.proxy("west", "web-api")["application"], json!(null), "nobody asked for a probe");
    assert_eq!(answered_by(&demo), "west");
    demo.change("west", "web-api", || demo.configure("west", "services.yaml", Some(&probed())));
    wait_until("it is probed and ready", || is(json!({ "ready": true })));
    assert_eq!(answered_by(&demo), "west");

    signal_application(&demo, "-STOP");
    wait_until("it is told", || is(json!({ "ready": false, "cause": "no answer within 1s" })));
    wait_until("its callers know", || knows("west/client", "/failed_eds_health"));
    for _ in 0..20 {
        assert_eq!(answered_by(&demo), "east");
    }
    // The proxy itself is well.
    let ready = demo.page(HOST, 15000, "/ready");
    assert_eq!(ready, "LIVE\napplication: not ready: no answer within 1s\n");
    assert_eq!(demo.metric(HOST, 15000, "leno_application_ready", &[]), 0.0);
    let status = text(&demo.leno("west", &["status"]));
    assert!(status.contains("its application is not ready: no answer within 1s"), "{status}");
    let clusters = demo.page("east/control", lab::plan::API_PORT, "/leno/v1/clusters");
    let clusters: serde_json::Value = serde_json::from_str(&clusters).expect("JSON");
    let west =
        &clusters["others"].as_array().expect("others").iter().find(|other| other["cluster"] == "west");
    let exports = west.expect("west")["exports"].as_array().expect("exports").clone();
    let export = exports.iter().find(|export| export["host"] == "web-api.mesh.internal").expect("exported");
    assert_eq!(export["weight"], 0, "no other cluster comes for it");

    signal_application(&demo, "-CONT");
    wait_until("it is ready again", || is(json!({ "ready": true })));
    wait_until("its callers come back", || knows("west/client", "healthy"));
    assert_eq!(answered_by(&demo), "west");
    assert_eq!(demo.page(HOST, 15000, "/ready"), "LIVE\napplication: ready\n");
}
