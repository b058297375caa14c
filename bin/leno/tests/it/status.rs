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

/// What a row of `leno status` says, column by column.
#[derive(Debug, PartialEq)]
struct Row {
    sent: String,
    acknowledged: String,
    state: String,
}

/// The row of a workload in the table that `leno status` prints, read by the places of its columns.
fn read_row(table: &str, workload: &str) -> Option<Row> {
    let header = table.lines().find(|line| line.starts_with("NAME "))?;
    let place =
        |column: &str| header.find(column).unwrap_or_else(|| panic!("no column {column} in {header}"));
    // A name ends with an id.
    let is_it = |name: &str| {
        name.rsplit_once('-').is_some_and(|(name, _)| name == format!("west/default/{workload}"))
    };
    let line = table.lines().find(|line| line.split_whitespace().next().is_some_and(is_it))?;
    // Columns are three spaces apart; a state may be two words.
    let cell = |column| {
        let rest = line.get(place(column)..).unwrap_or_default();
        rest.split("   ").next().unwrap_or_default().trim().to_owned()
    };
    Some(Row { sent: cell("SENT"), acknowledged: cell("ACKED"), state: cell("STATE") })
}

fn row(demo: &Demo, workload: &str) -> Row {
    let output = demo.leno("west", &["status"]);
    assert!(output.status.success(), "{}", text(&output));
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    read_row(&table, workload).unwrap_or_else(|| panic!("{workload} in:\n{table}"))
}

#[test]
fn a_state_is_read_from_its_column_alone() {
    // The control run of the test's own eyes: the word in another column does not count.
    let table = "NAME                        CLUSTER   SENT   ACKED   STATE   AGE   ERROR\n\
                 west/default/web-api-1      west      ab     cd      STALE   5s    was SYNCED before\n\
                 west/default/SYNCED-2       west      ab     ab      SYNCED  5s\n";
    let expected = Row { sent: "ab".into(), acknowledged: "cd".into(), state: "STALE".into() };
    assert_eq!(read_row(table, "web-api"), Some(expected));
    assert_eq!(read_row(table, "web"), None);
}

#[test]
fn t10_a_proxy_that_has_not_acknowledged_is_never_shown_in_sync() {
    let demo = Demo::start("t10");
    for workload in ["web-api", "recommendation", "purchase-history", "client", "ingress", "east-west"] {
        wait_until(&format!("{workload} in sync"), || row(&demo, workload).state == "SYNCED");
    }
    let before = row(&demo, "web-api");
    assert_eq!(before.sent, before.acknowledged);
    demo.client.pause("west/web-api").expect("paused");
    let path = demo.write_in_host("west/control", "change.yaml", CHANGE);
    let applied = demo.leno("west", &["apply", "-f", &path, "--wait=1s"]);
    // Who waits is not told that all is well, and is told who is behind.
    assert_eq!(applied.status.code(), Some(1), "{}", text(&applied));
    assert!(text(&applied).contains("not confirmed by west/default/web-api-"), "{}", text(&applied));
    // From here on it has been sent the change, and never confirmed it.
    for _ in 0..20 {
        let stale = row(&demo, "web-api");
        assert_eq!(stale.state, "STALE", "{stale:?}");
        assert_eq!(stale.acknowledged, before.acknowledged);
        assert_ne!(stale.sent, before.sent);
        let proxy = demo.proxy("west", "web-api");
        assert_ne!(proxy["sent"], proxy["applied"], "{proxy}");
        assert_eq!(proxy["synced"], false, "{proxy}");
        // Others are not held up by it.
        assert_eq!(row(&demo, "recommendation").state, "SYNCED");
    }

    // The control run: the same change, and a proxy that does answer, is shown in sync.
    demo.client.resume("west/web-api").expect("resumed");
    wait_until("web-api is in sync again", || row(&demo, "web-api").state == "SYNCED");
    let after = row(&demo, "web-api");
    assert_eq!(after.sent, after.acknowledged);
    assert_ne!(after.sent, before.sent);
    let again = demo.leno("west", &["apply", "-f", &path, "--wait"]);
    assert!(again.status.success() && text(&again).contains("confirmed by 6 proxies"), "{}", text(&again));

    // One that is away is not shown in sync either, and whoever waits learns it.
    demo.kill("west/client");
    wait_until("client is shown as stale", || row(&demo, "client").state != "SYNCED");
    let again = demo.leno("west", &["apply", "-f", &path, "--wait"]);
    assert!(again.status.success(), "{}", text(&again));
    assert!(
        text(&again).contains("not connected, get it on their return: west/default/client-"),
        "{}",
        text(&again)
    );
}
