//! Modes of mutual TLS, live: a host without a proxy calls a workload, and is kept out again.

use crate::demo::{Demo, text, wait_until};

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
