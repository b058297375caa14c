use super::OutboundMode;
use crate::parse::documents;

#[test]
fn settings_out_of_range_are_refused_with_the_field() {
    let check = |spec: &str, path: &str| {
        let text = format!(
            "apiVersion: leno.dev/v1alpha1\nkind: MeshSettings\nmetadata: {{name: default}}\nspec: {{{spec}}}\n"
        );
        let (objects, findings) = documents(&text, "f.yaml");
        assert!(objects.is_empty(), "{spec}");
        assert!(findings.iter().any(|finding| finding.cause.contains(path)), "{spec}: {findings:?}");
    };
    check("pathNormalization: {normalization: merge}", "spec.pathNormalization.normalization");
    check(
        "pathNormalization: {pathWithEscapedSlashesAction: KEEP}",
        "spec.pathNormalization.pathWithEscapedSlashesAction",
    );
    let http = |field: &str, path: &str| {
        check(&format!("httpConnectionManager: {{{field}}}"), &format!("spec.httpConnectionManager.{path}"))
    };
    http("xffNumTrustedHops: 33", "xffNumTrustedHops");
    http("xffTrustedCidrs: [10.0.0.0/33]", "xffTrustedCidrs[0]");
    http("xffNumTrustedHops: 1, xffTrustedCidrs: [10.0.0.0/8]", "xffTrustedCidrs");
    for prefix in
        ["fd00::/64", "fe80::/48", "2001:db8::/48", "fd12:3456:789a:1::/48", "fd12::", "10.0.0.0/8", ""]
    {
        check(&format!("dns: {{ipv6Prefix: '{prefix}'}}"), "spec.dns.ipv6Prefix");
    }
    for protocol in ["", "a b", "a,b", "a/b/c"] {
        let configs = format!("upgradeConfigs: [{{upgradeType: '{protocol}'}}]");
        http(&configs, "upgradeConfigs[0].upgradeType");
    }
    http("upgradeConfigs: [{upgradeType: h2c}]", "upgradeConfigs[0]");
    let twice = "upgradeConfigs: [{upgradeType: a}, {upgradeType: A}]";
    http(twice, "upgradeConfigs[1]");
    let many = "{upgradeType: websocket}, ".repeat(16);
    http(&format!("upgradeConfigs: [{many}]"), "upgradeConfigs");
    for time in ["0s", "500ms", "25h", "620", "1 h"] {
        http(&format!("idleTimeout: '{time}'"), "idleTimeout");
        http(&format!("streamIdleTimeout: '{time}'"), "streamIdleTimeout");
        http(&format!("upgradeIdleTimeout: '{time}'"), "upgradeIdleTimeout");
    }
}

#[test]
fn websocket_is_on_unless_an_entry_says_otherwise() {
    let check = |configs: &[(&str, Option<bool>)], expected: &[&str]| {
        let config = |(upgrade_type, enabled): &(&str, _)| super::UpgradeConfig {
            upgrade_type: (*upgrade_type).to_owned(),
            enabled: *enabled,
        };
        assert_eq!(super::upgrade_types(&configs.iter().map(config).collect::<Vec<_>>()), expected);
    };
    check(&[], &["websocket"]);
    check(&[("SPDY/3.1", None)], &["websocket", "spdy/3.1"]);
    check(&[("WebSocket", Some(true)), ("tcp", Some(false))], &["websocket"]);
    check(&[("WebSocket", Some(false))], &[]);
}

#[test]
fn what_may_leave_stays_closed_where_the_rest_is_refused() {
    for (outbound, expected) in [
        ("outbound: RegistryOnly", Some(OutboundMode::RegistryOnly)),
        ("outbound: RegistryOnyl", Some(OutboundMode::RegistryOnly)),
        ("outbound: AllowAny", Some(OutboundMode::AllowAny)),
        ("trustDomain: example.com", None),
    ] {
        let text = format!(
            "apiVersion: leno.dev/v1alpha1\nkind: MeshSettings\nmetadata: {{name: default}}\n\
             spec: {{{outbound}, dns: [nothing]}}\n"
        );
        let (objects, findings) = crate::parse::documents_fail_closed(&text, "f");
        assert!(!findings.is_empty(), "{text}");
        let stands_in = objects.first().map(|object| match &object.spec {
            crate::kinds::Spec::MeshSettings(spec) => spec.outbound,
            other => panic!("{other:?}"),
        });
        assert_eq!(stands_in.flatten(), expected, "{text}");
    }
}
