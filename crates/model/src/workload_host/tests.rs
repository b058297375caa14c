#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

#[test]
fn an_address_has_one_name_and_the_name_one_address() {
    for (ip, name) in [
        ("10.0.0.13", "ip-10-0-0-13.workload.leno"),
        ("fd00::13", "ip6-fd00-0-0-0-0-0-0-13.workload.leno"),
        ("::ffff:10.0.0.13", "ip-10-0-0-13.workload.leno"),
    ] {
        let ip: IpAddr = ip.parse().unwrap();
        let host = workload_host(ip).unwrap();
        assert_eq!(host.as_str(), name);
        assert_eq!(workload_address(&host), Some(ip.to_canonical()));
        assert!(is_workload_host(&host));
    }
    for other in [
        "ip-10-0-0.workload.leno",
        "ip-10-0-0-013.workload.leno",
        "ip6-fd00--13.workload.leno",
        "ip6-0-0-0-0-0-ffff-a00-d.workload.leno",
        "workload.leno",
        "ip-10-0-0-13.example",
    ] {
        assert_eq!(workload_address(&Hostname::parse(other).unwrap()), None, "{other}");
    }
}
