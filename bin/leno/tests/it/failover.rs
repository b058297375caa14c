//! Truths 3 and 4: scaled to zero or killed, a service goes on in the other cluster, and comes home again.

use crate::demo::{Demo, Load, assert_no_failure, changes};
use lab::load::Line;
use lab::protocol::Manner;
use serde_json::Value;

const URL: &str = "http://web-api.mesh.internal/";
const SERVICE: &str = "purchase-history";

fn answered_by(lines: &[Line], cluster: &str) -> bool {
    lines.last().is_some_and(|line| line.cluster_of(SERVICE) == Some(cluster))
}

fn principal(account: &str) -> String {
    format!("spiffe://leno.demo/ns/default/sa/{account}")
}

/// Under 200 requests/s: west's service goes in `manner`, then comes back.
fn there_and_back(demo: &Demo, manner: Manner) -> Vec<Line> {
    let mut load: Load = demo.load("west/client", 200, "120s", &[URL]);
    load.wait_for_more(200);
    demo.scale("west/purchase-history", 0, manner);
    load.wait("east answers", |lines| answered_by(lines, "east"));
    load.wait_for_more(400);
    demo.scale("west/purchase-history", 1, Manner::Graceful);
    load.wait("west answers again", |lines| answered_by(lines, "west"));
    load.wait_for_more(400);
    load.end()
}

#[test]
fn t03_t04_scaled_to_zero_it_answers_from_east_and_comes_home() {
    let demo = Demo::start("t03");
    let lines = there_and_back(&demo, Manner::Graceful);
    println!("{} requests, {} changes of cluster", lines.len(), changes(&lines, SERVICE));
    assert_no_failure(&lines);
    // One worker in the demo's proxies: away once, home once, no flapping.
    assert_eq!(changes(&lines, SERVICE), 2);
    assert!(lines.iter().all(|line| line.cluster_of("web-api") == Some("west")));
    assert!(lines.iter().all(|line| line.cluster_of("recommendation") == Some("west")));
    assert_path_and_identities(&demo);
}

#[test]
fn t03_killed_it_answers_from_east_without_a_failed_request() {
    let demo = Demo::start("t03k");
    let lines = there_and_back(&demo, Manner::Abrupt);
    println!("{} requests, {} changes of cluster", lines.len(), changes(&lines, SERVICE));
    assert_no_failure(&lines);
    assert_eq!(changes(&lines, SERVICE), 2);
}

#[test]
fn t03_control_run_without_the_other_cluster_requests_fail_and_are_seen_to_fail() {
    let demo = Demo::start("t03c");
    demo.scale("east/purchase-history", 0, Manner::Graceful);
    let mut load = demo.load("west/client", 50, "60s", &[URL]);
    load.wait_for_more(50);
    demo.scale("west/purchase-history", 0, Manner::Graceful);
    load.wait("a failed request", |lines| lines.iter().any(|line| !line.is_ok()));
    load.end();
}

/// The hop went through east's east-west gateway and never through the edge, and each side saw the other
/// workload's certificate, not a gateway's.
fn assert_path_and_identities(demo: &Demo) {
    let is_for = |line: &&Value| line["authority"].as_str().is_some_and(|a| a.starts_with(SERVICE));
    let caller = demo.access_log("west/recommendation");
    let across: Vec<_> = caller
        .iter()
        .filter(is_for)
        .filter(|line| line["upstream_host"].as_str().is_some_and(|host| host.starts_with("172.30.0.23:")))
        .collect();
    assert!(across.len() >= 400, "{} requests went through east's gateway", across.len());
    assert!(across.iter().all(|line| line["destination_principal"] == principal(SERVICE)), "{:?}", across[0]);

    let callee = demo.access_log("east/purchase-history");
    let served: Vec<_> = callee.iter().filter(|line| line["direction"] == "inbound").collect();
    assert!(served.len() >= 400, "{} requests served in east", served.len());
    assert!(
        served.iter().all(|line| line["source_principal"] == principal("recommendation")),
        "{:?}",
        served.iter().find(|line| line["source_principal"] != principal("recommendation"))
    );

    // Its tunnels are still open, so the gateway shows them in its metrics, not yet in its log.
    let service = format!("destination_service=\"{SERVICE}.mesh.internal\"");
    let tunnels =
        demo.metric("east/east-west", 15000, "istio_tcp_connections_opened_total", &[service.as_str()]);
    assert!(tunnels >= 1.0, "east's east-west gateway forwarded it");
    let edge = demo.access_log("edge/gateway");
    assert_eq!(edge.iter().filter(is_for).count(), 0, "never through the edge");
}
