#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;

fn check(bound: &str, hosts: &[&str], expected: bool) {
    let mut headers = HeaderMap::new();
    for host in hosts {
        headers.append(header::HOST, host.parse().unwrap());
    }
    let found = is_ours(bound.parse().unwrap(), &Uri::from_static("/leno/v1/status"), &headers);
    assert_eq!(found, expected, "{bound} {hosts:?}");
}

#[test]
fn addresses_of_ours_and_localhost_are_ours() {
    for host in ["127.0.0.1:15080", "127.0.0.1", "127.0.0.9", "[::1]:15080", "localhost:1", "LocalHost"] {
        check("127.0.0.1", &[host], true);
    }
    check("127.0.0.1", &["[::ffff:127.0.0.1]:15080"], true);
    check("10.0.0.7", &["10.0.0.7:15080"], true);
    check("0.0.0.0", &["10.0.0.7:15080"], true);
    check("127.0.0.1", &[], true);
}

#[test]
fn other_names_are_not() {
    for host in
        ["rebound.example:15080", "localhost.rebound.example", "127.0.0.1.nip.io", "127.1", "localhost.", ""]
    {
        for bound in ["127.0.0.1", "0.0.0.0"] {
            check(bound, &[host], false);
        }
    }
    for host in ["0.0.0.0:15080", "10.0.0.8", "[::]:15080", "user@rebound.example"] {
        check("127.0.0.1", &[host], false);
    }
    check("127.0.0.1", &["127.0.0.1", "rebound.example"], false);
    let absolute = Uri::from_static("http://rebound.example/leno/v1/status");
    assert!(!is_ours("127.0.0.1".parse().unwrap(), &absolute, &HeaderMap::new()));
}
