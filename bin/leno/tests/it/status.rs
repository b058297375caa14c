//! Truth 10: status shows what each proxy was sent and what it acknowledged, and never flatters.

use crate::demo::{Demo, text, wait_until};

const CHANGE: &str = "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: slow
  namespace: default
spec:
  selector:
    matchLabels:
      app: web-api
  action: DENY
  rules:
  - from:
    - source:
        namespaces: [nowhere]
";

/// The row of a workload in `leno status`.
fn row(demo: &Demo, workload: &str) -> String {
    let output = demo.leno("west", &["status"]);
    let table = text(&output);
    let row = table.lines().find(|line| line.starts_with(workload) || line.contains(&format!("/{workload}")));
    row.unwrap_or_else(|| panic!("{workload} in:\n{table}")).to_owned()
}

#[test]
fn t10_a_proxy_that_has_not_acknowledged_is_never_shown_in_sync() {
    let demo = Demo::start("t10");
    for workload in ["web-api", "recommendation", "purchase-history", "client", "ingress", "east-west"] {
        wait_until(&format!("{workload} in sync"), || row(&demo, workload).contains("SYNCED"));
    }
    demo.client.pause("west/web-api").expect("paused");
    demo.configure("west", "change.yaml", Some(CHANGE));
    wait_until("web-api is shown as stale", || row(&demo, "web-api").contains("STALE"));
    let stale = row(&demo, "web-api");
    assert!(!stale.contains("SYNCED"), "{stale}");
    let proxy = demo.proxies("west").into_iter().find(|proxy| proxy["group"] == "web-api").expect("listed");
    assert_ne!(proxy["sent"], proxy["applied"], "{proxy}");
    assert_eq!(proxy["synced"], false, "{proxy}");
    // Others are not held up by it.
    assert!(row(&demo, "recommendation").contains("SYNCED"));

    demo.client.resume("west/web-api").expect("resumed");
    wait_until("web-api is in sync again", || row(&demo, "web-api").contains("SYNCED"));
    let proxy = demo.proxies("west").into_iter().find(|proxy| proxy["group"] == "web-api").expect("listed");
    assert_eq!(proxy["sent"], proxy["applied"], "{proxy}");
}
