//! Truth 5: the management plane or a control plane dies, and traffic does not notice.

use crate::demo::{Demo, assert_no_failure, wait_until};
use lab::protocol::Manner;

const URL: &str = "http://web-api.mesh.internal/";
const METRICS: u16 = 15014;

fn resources_sent(demo: &Demo, cluster: &str) -> f64 {
    demo.metric(&format!("{cluster}/control"), METRICS, "leno_control_resources_sent_total", &[])
}

fn all_synced(demo: &Demo, cluster: &str, at_least: usize) -> bool {
    let proxies = demo.proxies(cluster);
    proxies.iter().filter(|proxy| proxy["synced"] == true).count() >= at_least
}

#[test]
fn t05_without_the_management_plane_all_goes_on_and_its_return_pushes_nothing() {
    // Short certificates, so that renewals happen while it is gone.
    let demo = Demo::start_with("t05m", &["--certificate-ttl-s", "30"]);
    let mut load = demo.load("west/client", 100, "120s", &[URL]);
    load.wait_for_more(50);
    demo.kill("mgmt");
    let renewed = renewals(&demo);
    demo.scale("west/purchase-history", 0, Manner::Graceful);
    load.wait("failover without the manager", |lines| {
        lines.last().is_some_and(|line| line.cluster_of("purchase-history") == Some("east"))
    });
    demo.scale("west/purchase-history", 1, Manner::Graceful);
    load.wait("return without the manager", |lines| {
        lines.last().is_some_and(|line| line.cluster_of("purchase-history") == Some("west"))
    });
    wait_until("a renewal without the manager", || renewals(&demo) > renewed);

    let before = ["west", "east", "edge"].map(|cluster| resources_sent(&demo, cluster));
    demo.start_host("mgmt");
    wait_until("all clusters report to the manager again", || reporting(&demo) == 3);
    load.wait_for_more(100);
    let after = ["west", "east", "edge"].map(|cluster| resources_sent(&demo, cluster));
    assert_eq!(before, after, "resources sent to proxies before and after the manager's return");
    assert_no_failure(&load.end());

    // The control run: something that did change is pushed, so the count above can move.
    demo.configure("west", "more.yaml", Some(&service("added")));
    demo.configure("west", "attach.yaml", Some(&policy_on_client()));
    wait_until("a change is pushed", || resources_sent(&demo, "west") > after[0]);
}

#[test]
fn t05_without_its_control_plane_west_goes_on_and_its_return_sends_differences_only() {
    let demo = Demo::start("t05c");
    let proxies = demo.proxies("west").len();
    let address = demo.run("west/client", &["getent", "ahostsv4", "web-api.mesh.internal"]);
    let mut load = demo.load("west/client", 100, "120s", &[URL]);
    load.wait_for_more(100);
    demo.kill("west/control");
    load.wait_for_more(200);
    // A service that this host has used before can still be called anew.
    let answer = demo.answer("west/client", &[URL]);
    assert_eq!(answer.hops.len(), 3);

    demo.start_host("west/control");
    wait_until("all proxies are back", || all_synced(&demo, "west", proxies));
    load.wait_for_more(100);
    // They came with what they had: nothing was sent again.
    assert_eq!(resources_sent(&demo, "west"), 0.0, "resources sent after the return");
    assert_eq!(demo.run("west/client", &["getent", "ahostsv4", "web-api.mesh.internal"]), address);

    // Only the difference: one policy to one proxy is one resource.
    demo.configure("west", "attach.yaml", Some(&policy_on_client()));
    wait_until("the difference arrives", || resources_sent(&demo, "west") >= 1.0);
    wait_until("all proxies have it", || all_synced(&demo, "west", proxies));
    load.wait_for_more(100);
    assert_eq!(resources_sent(&demo, "west"), 1.0, "one policy on one proxy is one resource");
    assert_no_failure(&load.end());

    // The control run: a proxy that comes with nothing gets all of it, which the same count shows.
    demo.kill("west/web-api");
    demo.start_host("west/web-api");
    wait_until("a full send is counted", || resources_sent(&demo, "west") > 3.0);
}

fn renewals(demo: &Demo) -> f64 {
    demo.metric("west/control", METRICS, "leno_control_certificates_issued_total", &[])
}

fn reporting(demo: &Demo) -> usize {
    let page = demo.page("mgmt", 15081, "/leno/v1/clusters");
    let clusters: serde_json::Value = serde_json::from_str(&page).expect("JSON");
    let rows = clusters["clusters"].as_array().expect("clusters");
    rows.iter().filter(|row| row["connected"] == true).count()
}

fn service(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\n  namespace: default\nspec:\n  \
         selector: {{app: {name}}}\n  ports: [{{name: http, port: 80, targetPort: 8080}}]\n"
    )
}

/// A policy that applies to the client alone and changes nothing for the load.
fn policy_on_client() -> String {
    "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata:\n  name: client-inbound\n  \
     namespace: default\nspec:\n  selector:\n    matchLabels: {app: client}\n  action: DENY\n  rules:\n  \
     - from:\n    - source: {namespaces: [nowhere]}\n"
        .to_owned()
}
