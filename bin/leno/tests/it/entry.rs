//! Truth 1: from outside, requests through the edge reach both clusters.

use crate::demo::Demo;
use lab::app::AppAnswer;
use std::collections::BTreeMap;

/// One GET to a loopback address of this machine.
pub(crate) fn get(address: &str, path: &str) -> (u16, String) {
    let url = format!("http://{address}{path}");
    let output = std::process::Command::new("curl")
        .args(["-sS", "--max-time", "20", "-w", "\n%{http_code}", &url])
        .output()
        .expect("curl runs");
    assert!(output.status.success(), "{url}: {}", crate::demo::text(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').expect("curl prints the status");
    (status.parse().expect("a status"), body.to_owned())
}

fn entered(demo: &Demo, entrance: &str, requests: u32) -> BTreeMap<String, u32> {
    let address = demo.status().entrances[entrance].clone();
    let mut clusters = BTreeMap::new();
    for _ in 0..requests {
        let (status, body) = get(&address, "/");
        assert_eq!(status, 200, "{body}");
        let answer: AppAnswer = serde_json::from_str(&body).expect("the application's answer");
        assert_eq!(answer.hops.len(), 3, "{answer:?}");
        *clusters.entry(answer.hops[0].cluster.clone()).or_default() += 1;
    }
    clusters
}

#[test]
fn t01_requests_from_outside_reach_both_clusters() {
    let demo = Demo::start("t01");
    let through_edge = entered(&demo, "edge", 100);
    println!("through the edge: {through_edge:?}");
    assert!(through_edge.get("west").is_some_and(|n| *n >= 10), "{through_edge:?}");
    assert!(through_edge.get("east").is_some_and(|n| *n >= 10), "{through_edge:?}");
    for cluster in ["west", "east"] {
        let through_ingress = entered(&demo, cluster, 20);
        assert_eq!(through_ingress.keys().collect::<Vec<_>>(), [cluster], "ingress of {cluster}");
    }
    // The control run: without its workloads, west does not answer through the edge any more.
    demo.scale("west/web-api", 0, lab::protocol::Manner::Graceful);
    let without_west = entered(&demo, "edge", 50);
    assert_eq!(without_west.keys().collect::<Vec<_>>(), ["east"]);
}
