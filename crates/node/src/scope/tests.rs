#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use model::capture_scope::{Included, blocks};

#[test]
fn what_is_told_of_the_mesh_is_put_together_with_what_the_owner_says() {
    let owner = CaptureScope { exclude_inbound_ports: [9090].into(), ..CaptureScope::default() };
    let told = r#"{"ipv6_prefix":"fd12:3456:789a::/48","annotations":{"traffic.sidecar.istio.io/includeOutboundIPRanges":"10.0.0.0/8"}}"#;
    let expected = CaptureScope {
        outbound_ip_ranges: Included::These(blocks("10.0.0.0/8").unwrap()),
        mesh_prefix: MeshPrefix::parse("fd12:3456:789a::/48").unwrap(),
        ..owner.clone()
    };
    assert_eq!(wanted(&owner, told), Some(expected));
}

#[test]
fn what_has_no_reading_changes_nothing() {
    for told in [
        "",
        "{}",
        r#"{"ipv6_prefix":"10.0.0.0/8","annotations":{}}"#,
        r#"{"ipv6_prefix":"fd12:3456:789a::/48","annotations":{"traffic.sidecar.istio.io/excludeInboundPorts":"ssh"}}"#,
    ] {
        assert_eq!(wanted(&CaptureScope::default(), told), None, "{told}");
    }
}
