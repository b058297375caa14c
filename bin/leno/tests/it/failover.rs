//! Truths 3 and 4: scaled to zero or killed, a service goes on in the other cluster, and comes home again.

use crate::demo::{Demo, Load, assert_no_failure, changes, wait_until};
use lab::load::LoadLine;
use lab::protocol::Manner;
use serde_json::Value;
use std::collections::BTreeMap;

const URL: &str = "http://web-api.mesh.internal/";
const SERVICE: &str = "purchase-history";
/// East's east-west gateway on the backbone.
const EAST_GATEWAY: &str = "172.30.0.23:";
/// `west/purchase-history` on west's network.
const WEST_WORKLOAD: &str = "10.244.0.13:";
/// Enough that both workers of a proxy have some.
const CONNECTIONS: u32 = 8;

fn answered_by(lines: &[LoadLine], cluster: &str) -> bool {
    lines.last().is_some_and(|line| line.cluster_of(SERVICE) == Some(cluster))
}

fn principal(account: &str) -> String {
    format!("spiffe://leno.demo/ns/default/sa/{account}")
}

/// Under `load`: west's service goes in `manner`, then comes back.
fn there_and_back(demo: &Demo, load: &mut Load, manner: Manner) {
    load.wait_for_more(200);
    demo.scale("west/purchase-history", 0, manner);
    load.wait("east answers", |lines| answered_by(lines, "east"));
    load.wait_for_more(400);
    demo.scale("west/purchase-history", 1, Manner::Graceful);
    load.wait("west answers again", |lines| answered_by(lines, "west"));
    load.wait_for_more(400);
}

/// 200 requests/s through the whole chain, there and back; checks all that must hold of one run.
fn check_chain(demo: &Demo, manner: Manner) {
    let mut load = demo.load("west/client", 200, "120s", &[URL]);
    there_and_back(demo, &mut load, manner);
    let lines = load.end();
    println!("{} requests, {} changes of cluster", lines.len(), changes(&lines, SERVICE));
    assert_no_failure(&lines);
    // One worker in the demo's proxies: away once, home once, no flapping.
    assert_eq!(changes(&lines, SERVICE), 2);
    assert!(lines.iter().all(|line| line.hops.len() == 3));
    assert!(lines.iter().all(|line| line.cluster_of("web-api") == Some("west")));
    assert!(lines.iter().all(|line| line.cluster_of("recommendation") == Some("west")));
    let away = lines.iter().filter(|line| line.cluster_of(SERVICE) == Some("east")).count();
    assert_path_and_identities(demo, lines.len(), away);
}

#[test]
fn t03_t04_scaled_to_zero_it_answers_from_east_and_comes_home() {
    check_chain(&Demo::start("t03"), Manner::Graceful);
}

#[test]
fn t03_killed_it_answers_from_east_without_a_failed_request() {
    check_chain(&Demo::start("t03k"), Manner::Abrupt);
}

#[test]
fn t04_each_client_worker_changes_once_per_event() {
    let demo = Demo::start_with("t04w", &["--workers", "2"]);
    // The proxy of recommendation decides; a kept connection stays with the worker that accepted it, so
    // what one connection sees is what one worker decides.
    let url = format!("http://{SERVICE}.mesh.internal/");
    let connections = CONNECTIONS.to_string();
    let arguments = ["--connections", &connections, &url];
    let mut load = demo.load("west/recommendation", 200, "120s", &arguments);
    for manner in [Manner::Graceful, Manner::Abrupt] {
        there_and_back(&demo, &mut load, manner);
    }
    let lines = load.end();
    assert_no_failure(&lines);
    for connection in 0..CONNECTIONS {
        let of: Vec<LoadLine> = lines.iter().filter(|line| line.connection == connection).cloned().collect();
        println!("connection {connection}: {} requests", of.len());
        assert_eq!(changes(&of, SERVICE), 4, "two events, there and back, on connection {connection}");
    }
    // The control run of the attribution: the proxy saw all of it on as many connections as the load says it
    // used (beside those of the application).
    let logged = || outbound(&demo.access_log("west/recommendation"));
    wait_until("all requests are logged", || logged().len() >= lines.len());
    let mut callers: BTreeMap<String, usize> = BTreeMap::new();
    for line in logged() {
        *callers.entry(line["downstream_remote_address"].to_string()).or_default() += 1;
    }
    let share = lines.len() / CONNECTIONS as usize;
    let busy = callers.values().filter(|requests| **requests >= share).count();
    assert_eq!(busy, CONNECTIONS as usize, "{callers:?}");
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

/// Requests for the service that a proxy sent, out of its access log.
fn outbound(log: &[Value]) -> Vec<Value> {
    let is_for = |line: &&Value| line["authority"].as_str().is_some_and(|a| a.starts_with(SERVICE));
    log.iter().filter(|line| line["direction"] == "outbound").filter(is_for).cloned().collect()
}

/// Of `all` requests, `away` went through east's east-west gateway and none through the edge, and each side
/// saw the other workload's certificate (principals in the log are those of verified peers), not a gateway's.
fn assert_path_and_identities(demo: &Demo, all: usize, away: usize) {
    assert!(away >= 400, "{away} requests were answered in east");
    let caller = || outbound(&demo.access_log("west/recommendation"));
    // The log is written by a thread of its own.
    wait_until("all requests are logged", || caller().len() >= all);
    let caller = caller();
    let host = |line: &Value| line["upstream_host"].as_str().unwrap_or_default().to_owned();
    let across = caller.iter().filter(|line| host(line).starts_with(EAST_GATEWAY)).count();
    assert_eq!(across, away, "requests through east's east-west gateway");
    for line in &caller {
        assert!([EAST_GATEWAY, WEST_WORKLOAD].iter().any(|known| host(line).starts_with(known)), "{line}");
        assert_eq!(line["source_principal"], principal("recommendation"), "{line}");
        assert_eq!(line["destination_principal"], principal(SERVICE), "{line}");
    }

    let served = || {
        let log = demo.access_log("east/purchase-history").into_iter();
        log.filter(|line| line["direction"] == "inbound" && line["response_code"] == 200).collect::<Vec<_>>()
    };
    wait_until("all requests are logged in east", || served().len() >= away);
    for line in served() {
        assert_eq!(line["source_principal"], principal("recommendation"), "{line}");
        assert_eq!(line["destination_principal"], principal(SERVICE), "{line}");
    }

    // Who calls, from where, is known from the certificate on the far side too.
    let source = ["source_workload=\"recommendation\"", "source_cluster=\"west\""];
    let counted = demo.metric("east/purchase-history", 15000, "istio_requests_total", &source);
    assert!(counted >= away as f64, "{counted} of {away} requests are counted as coming from west");

    // Its tunnels are still open, so the gateway shows them in its metrics, not yet in its log.
    let service = format!("destination_service=\"{SERVICE}.mesh.internal\"");
    let [workload, cluster] = source;
    let tunnels = demo.metric(
        "east/east-west",
        15000,
        "istio_tcp_connections_opened_total",
        &[service.as_str(), workload, cluster],
    );
    assert!(tunnels >= 1.0, "east's east-west gateway forwarded it");
    let edge = demo.access_log("edge/gateway");
    assert_eq!(outbound(&edge).len(), 0, "never through the edge");
    // The control run: the edge's log is not empty because nobody writes it.
    let entrance = demo.status().entrances["edge"].clone();
    assert_eq!(crate::entry::get(&entrance, "/").0, 200);
    wait_until("the edge logs what it does handle", || demo.access_log("edge/gateway").len() > edge.len());
}
