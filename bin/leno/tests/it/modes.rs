//! Modes of mutual TLS, live: a host without a proxy calls a workload, is seen by `leno mtls plan`, and is kept out again.

use crate::demo::{Demo, text, wait_until};
use serde_json::Value;
use std::process::Output;

/// The application of `west/web-api`, as who knows no mesh calls it.
const PAST_THE_MESH: &str = "http://10.244.0.11:8080/";
const IN_THE_MESH: &str = "http://web-api.mesh.internal/";

fn says(mode: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata:\n  name: web-api\n  \
         namespace: default\nspec:\n  selector:\n    matchLabels:\n      app: web-api\n  mtls:\n    mode: {mode}\n"
    )
}

/// Those that came to the application, by who they proved to be.
fn served(demo: &Demo, by: Option<&str>) -> usize {
    let lines = demo.access_log("west/web-api").into_iter();
    let inbound = lines.filter(|line| line["direction"] == "inbound" && line["response_code"] == 200);
    inbound.filter(|line| line["source_principal"].as_str() == by).count()
}

#[test]
fn t06_a_host_without_a_proxy_is_let_in_as_long_as_the_mode_says_so() {
    const CLIENT: &str = "spiffe://leno.demo/ns/default/sa/client";
    let demo = Demo::start("t06m");
    let refused = || {
        let label = "reason=\"plaintext_refused\"";
        demo.metric("west/web-api", 15000, "leno_refused_connections_total", &[label])
    };
    let is_kept_out = |times: f64| {
        // `west/control` has no capture and no proxy.
        let output = demo.exec("west/control", &["curl", "-s", "--max-time", "5", PAST_THE_MESH]);
        assert!(!output.status.success(), "{}", text(&output));
        // The counter goes on: no proxy was started anew.
        wait_until("it is counted", || refused() == times);
    };
    let is_let_in = || assert_eq!(demo.curl("west/control", &[PAST_THE_MESH]).0, 200);
    let mesh_is_served = || {
        for _ in 0..10 {
            assert_eq!(demo.curl("west/client", &[IN_THE_MESH]).0, 200);
        }
    };
    let set = |mode: &str| {
        demo.change("west", "web-api", || demo.configure("west", "mode.yaml", Some(&says(mode))));
    };
    // Its callers learn by which way they must come.
    let set_with_callers = |mode: &str| demo.change("west", "client", || set(mode));

    is_kept_out(1.0);
    // A workload that calls the address of another one is in the mesh all the same.
    assert_eq!(demo.curl("west/client", &[PAST_THE_MESH]).0, 200);
    wait_until("its identity is proved", || served(&demo, Some(CLIENT)) == 1);
    set("PERMISSIVE");
    is_let_in();
    mesh_is_served();
    wait_until("both are told of", || served(&demo, None) >= 1 && served(&demo, Some(CLIENT)) >= 11);

    set_with_callers("DISABLE");
    is_let_in();
    mesh_is_served();
    wait_until("nobody proved anything", || served(&demo, None) >= 12);
    let report = demo.proxy("west", "web-api");
    assert_eq!(
        (&report["mtls"]["mode"], &report["mtls"]["by"]),
        (&"DISABLE".into(), &"PeerAuthentication/web-api.default".into()),
        "{report}"
    );

    set_with_callers("STRICT");
    is_kept_out(2.0);
    let before = served(&demo, Some(CLIENT));
    mesh_is_served();
    wait_until("identity is back", || served(&demo, Some(CLIENT)) >= before + 10);
}

/// What all workloads of the namespace take.
fn all(mode: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: all, namespace: default}}\n\
         spec: {{mtls: {{mode: {mode}}}}}\n"
    )
}

/// The first port of a group's workload that fits, as `leno mtls plan` has it.
fn planned(demo: &Demo, group: &str, fits: impl Fn(&Value) -> bool) -> Option<Value> {
    let output = demo.leno("west", &["mtls", "plan", "--workload", group, "-o", "json"]);
    assert!(output.status.success(), "{}", text(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let ports = report["workloads"].as_array().into_iter().flatten().flat_map(|one| one["ports"].as_array());
    ports.flatten().find(|port| fits(port)).cloned()
}

#[test]
fn t06_strict_is_refused_while_it_would_shut_out_a_caller_that_was_seen() {
    let demo = Demo::start("t06p");
    let write = |name: &str, yaml: &str| demo.write_in_host("west/control", name, yaml);
    let apply =
        |path: &str, more: &[&str]| demo.leno("west", &[&["apply", "--wait", "-f", path], more].concat());
    let says_all = |output: &Output, words: &[&str]| {
        let told = text(output);
        assert!(words.iter().all(|word| told.contains(word)), "{words:?} in {told}");
    };
    let (permissive, strict) = (write("p.yaml", &all("PERMISSIVE")), write("s.yaml", &all("STRICT")));
    let opened = apply(&permissive, &[]);
    assert!(opened.status.success(), "{}", text(&opened));

    says_all(&demo.leno("west", &["mtls", "plan"]), &["no traffic seen since the proxy started at"]);
    // From a host without a proxy, and through the mesh: web-api calls others for what it answers.
    assert_eq!(demo.curl("west/control", &[PAST_THE_MESH]).0, 200);
    for _ in 0..10 {
        assert_eq!(demo.curl("west/client", &[IN_THE_MESH]).0, 200);
    }
    let mut seen = None;
    wait_until("both ways are seen", || {
        seen = planned(&demo, "web-api", |port| {
            port["plaintext"][0].is_object() && port["mutualTls"].is_object()
        });
        seen.is_some()
    });
    let seen = seen.expect("just found");
    let caller = &seen["plaintext"][0];
    let address = caller["address"].as_str().expect("an address");
    assert_eq!((&seen["port"], &seen["verdict"]), (&8080.into(), &"would-break".into()), "{seen}");
    assert_eq!((&caller["cause"], &caller["workload"]), (&"no-proxy".into(), &Value::Null), "{seen}");
    assert_eq!(seen["by"], "PeerAuthentication/all.default");
    wait_until("who has callers in mutual TLS alone is ready", || {
        planned(&demo, "recommendation", |port| port["verdict"] == "ready").is_some()
    });
    let page = demo.leno("west", &["mtls", "plan"]);
    let verdict = format!("STRICT would break 1 caller: {address}");
    says_all(&page, &[&verdict, "ready for STRICT"]);

    let refusal = ["LENO0119", "port 8080", "default/web-api", address, "no proxy", "--force"];
    for output in [
        apply(&strict, &[]),
        demo.leno("west", &["mtls", "plan", "-f", &strict]),
        demo.leno("west", &["delete", "peerauthentication/all"]),
    ] {
        assert!(!output.status.success(), "{}", text(&output));
        says_all(&output, &refusal);
    }
    assert_eq!(demo.curl("west/control", &[PAST_THE_MESH]).0, 200, "nothing was changed");
    // What breaks nobody is taken.
    let other = write("o.yaml", &says("STRICT").replace("web-api", "recommendation"));
    let taken = apply(&other, &[]);
    assert!(taken.status.success(), "{}", text(&taken));

    let forced = apply(&strict, &["--force"]);
    assert!(forced.status.success(), "{}", text(&forced));
    let output = demo.exec("west/control", &["curl", "-s", "--max-time", "5", PAST_THE_MESH]);
    assert!(!output.status.success(), "{}", text(&output));
    wait_until("whom it shuts out is told", || {
        let told = text(&demo.leno("west", &["analyze"]));
        told.contains("LENO0120") && told.contains(address)
    });
    says_all(&demo.leno("west", &["mtls", "plan"]), &[&format!("refused      {address}, has no proxy")]);
    let opened = demo.leno("west", &["delete", "--force", "peerauthentication/all"]);
    assert!(opened.status.success(), "{}", text(&opened));
}
