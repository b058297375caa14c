//! Truth 5: the management plane or a control plane dies, and traffic does not notice.

use crate::demo::{Demo, assert_no_failure, wait_until};
use lab::protocol::Manner;

const URL: &str = "http://web-api.mesh.internal/";
const METRICS: u16 = 15014;

const CONTROLLED: [&str; 3] = ["west", "east", "edge"];

fn counter(demo: &Demo, host: &str, name: &str) -> f64 {
    demo.metric(host, METRICS, name, &[])
}

fn resources_sent(demo: &Demo, cluster: &str) -> f64 {
    counter(demo, &format!("{cluster}/control"), "leno_control_resources_sent_total")
}

/// What a cluster's control plane sent to proxies, took from them and heard from the manager, so far.
fn traffic(demo: &Demo, cluster: &str) -> [f64; 3] {
    let host = format!("{cluster}/control");
    [
        "leno_control_resources_sent_total",
        "leno_control_resources_removed_total",
        "leno_control_remote_received_total",
    ]
    .map(|name| counter(demo, &host, name))
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
    demo.scale("west/purchase-history", 0, Manner::Graceful);
    load.wait("failover without the manager", |lines| {
        lines.last().is_some_and(|line| line.cluster_of("purchase-history") == Some("east"))
    });
    demo.scale("west/purchase-history", 1, Manner::Graceful);
    load.wait("return without the manager", |lines| {
        lines.last().is_some_and(|line| line.cluster_of("purchase-history") == Some("west"))
    });
    for cluster in CONTROLLED {
        // Renewals alone: the workload that came back was given a certificate as well, by joining.
        let renewed = renewals(&demo, cluster);
        wait_until(&format!("a renewal in {cluster} without the manager"), || {
            renewals(&demo, cluster) > renewed
        });
    }

    // Renewals change nothing of this; all that the scaling changed has been sent by now.
    wait_until("all proxies are in sync", || CONTROLLED.iter().all(|cluster| none_behind(&demo, cluster)));
    let before = CONTROLLED.map(|cluster| traffic(&demo, cluster));
    demo.start_host("mgmt");
    wait_until("all clusters report to the manager again", || reporting(&demo) == 3);
    wait_until("all reports are taken", || counter(&demo, "mgmt", "leno_manager_reports_total") >= 3.0);

    // Something that did change in east makes its way through the manager to the others. Streams keep their
    // order, so whatever the return had set going comes before it and shows in the counts.
    demo.configure("east", "sentinel.yaml", Some(&exported("sentinel")));
    for cluster in ["west", "edge"] {
        wait_until(&format!("{cluster} knows of it"), || offers(&demo, cluster, "sentinel.mesh.internal"));
    }
    load.wait_for_more(100);
    wait_until("all proxies are in sync again", || {
        CONTROLLED.iter().all(|cluster| none_behind(&demo, cluster))
    });
    let after = CONTROLLED.map(|cluster| traffic(&demo, cluster));
    println!("sent, removed, received: {before:?}, then {after:?}");
    let [west, east, edge] = [0, 1, 2].map(|at| [0, 1, 2].map(|of| after[at][of] - before[at][of]));
    assert_eq!(west, [0.0, 0.0, 1.0], "west heard of the sentinel alone, and no proxy there of anything");
    assert_eq!(edge, [0.0, 0.0, 1.0], "edge too");
    assert_eq!(east[1..], [0.0, 0.0], "nobody else changed, so east heard nothing");
    // The control run: what did change is pushed and counted, by the manager and to the proxies of east.
    assert!(east[0] > 0.0, "east's gateway is told to let it in: {east:?}");
    assert_eq!(
        counter(&demo, "mgmt", "leno_manager_resources_sent_total"),
        2.0,
        "the sentinel, to two clusters"
    );
    assert_no_failure(&load.end());
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
    // It knows the others from its store; once the manager has spoken too, nothing more is to come from there.
    wait_until("the manager is connected", || {
        counter(&demo, "west/control", "leno_control_manager_connected") == 1.0
            && counter(&demo, "west/control", "leno_control_reports_total") >= 1.0
    });
    load.wait_for_more(100);
    // They came with what they had: nothing was sent again.
    assert_eq!(traffic(&demo, "west")[..2], [0.0, 0.0], "sent and removed after the return");
    assert_eq!(demo.run("west/client", &["getent", "ahostsv4", "web-api.mesh.internal"]), address);

    // Only the difference: one policy to one proxy is one resource.
    demo.configure("west", "attach.yaml", Some(&policy_on_client()));
    wait_until("the difference arrives", || resources_sent(&demo, "west") >= 1.0);
    wait_until("all proxies have it", || all_synced(&demo, "west", proxies));
    load.wait_for_more(100);
    // By now anything that the return had set going would have come as well.
    assert_eq!(traffic(&demo, "west")[..2], [1.0, 0.0], "one policy on one proxy is one resource");
    assert_no_failure(&load.end());

    // The control run: a proxy that comes with nothing gets all of it, which the same count shows.
    demo.kill("west/web-api");
    demo.start_host("west/web-api");
    wait_until("a full send is counted", || resources_sent(&demo, "west") > 3.0);
}

/// No connected proxy is without what it should have.
fn none_behind(demo: &Demo, cluster: &str) -> bool {
    demo.proxies(cluster).iter().all(|proxy| proxy["connected"] == false || proxy["synced"] == true)
}

/// Whether a cluster has heard that another one offers a host.
fn offers(demo: &Demo, cluster: &str, host: &str) -> bool {
    let page = demo.page(&format!("{cluster}/control"), lab::plan::API_PORT, "/leno/v1/clusters");
    let clusters: serde_json::Value = serde_json::from_str(&page).expect("JSON");
    let others = clusters["others"].as_array().expect("others");
    others.iter().any(|other| other["exports"].to_string().contains(host))
}

fn renewals(demo: &Demo, cluster: &str) -> f64 {
    let name = "leno_control_certificates_issued_total";
    demo.metric(&format!("{cluster}/control"), METRICS, name, &["call=\"sign\""])
}

fn reporting(demo: &Demo) -> usize {
    let page = demo.page("mgmt", lab::plan::MANAGER_API_PORT, "/leno/v1/clusters");
    let clusters: serde_json::Value = serde_json::from_str(&page).expect("JSON");
    let rows = clusters["clusters"].as_array().expect("clusters");
    rows.iter().filter(|row| row["connected"] == true).count()
}

/// A service that east offers to others.
fn exported(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: default}}\nspec:\n  \
         selector: {{app: web-api}}\n  ports: [{{name: http, port: 80, targetPort: 8080}}]\n---\n\
         apiVersion: leno.dev/v1alpha1\nkind: GlobalService\nmetadata: {{name: {name}, namespace: default}}\n\
         spec:\n  hosts: [{name}.mesh.internal]\n  backends: [{{service: {{name: {name}}}}}]\n"
    )
}

/// A policy that applies to the client alone and changes nothing for the load.
fn policy_on_client() -> String {
    "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata:\n  name: client-inbound\n  \
     namespace: default\nspec:\n  selector:\n    matchLabels: {app: client}\n  action: DENY\n  rules:\n  \
     - from:\n    - source: {namespaces: [nowhere]}\n"
        .to_owned()
}
