#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use socket2::SockRef;
use std::process::Command;

/// On a host whose `net.ipv6.bindv6only` says otherwise too: the test runs itself again in a network of its own.
#[test]
fn all_addresses_are_those_of_both_families() {
    const ENTERED: &str = "LENO_TEST_OWN_NETWORK";
    if std::env::var_os(ENTERED).is_some() {
        return is_of_both_families();
    }
    let name = "listener::tests::all_addresses_are_those_of_both_families";
    let script = "echo 1 > /proc/sys/net/ipv6/bindv6only && exec \"$0\" \"$@\"";
    let mut again = Command::new("unshare");
    again.args(["--user", "--map-root-user", "--net", "--", "sh", "-c", script]);
    again.arg(std::env::current_exe().unwrap()).args([name, "--exact", "--nocapture"]);
    let output = again.env(ENTERED, "1").output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let is_run = told.contains("1 passed");
    assert!(output.status.success() && is_run, "{told}{}", String::from_utf8_lossy(&output.stderr));
}

fn is_of_both_families() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let listener = runtime.block_on(bind(everywhere(0), "--listen")).unwrap();
    assert!(!SockRef::from(&listener).only_v6().unwrap());
}
