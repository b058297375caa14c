#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::parse::documents;

/// What is said of a VirtualService with this `spec`, errors before warnings.
fn said(spec: &str) -> String {
    let text = format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: v, namespace: n}}\nspec: {spec}\n"
    );
    let (objects, mut findings) = documents(&text, "f");
    findings.extend(objects.into_iter().flat_map(|object| object.warnings));
    findings.iter().map(|f| format!("{}: {}", f.code.as_str(), f.cause)).collect::<Vec<_>>().join("\n")
}

fn check(spec: &str, expected: &str) {
    let found = said(spec);
    assert!(found.starts_with(expected) && found.is_empty() == expected.is_empty(), "{spec}: {found}");
}

const LEADS: &str = "route: [{destination: {host: a}}]";

#[test]
fn hosts_are_names_suffixes_or_everything_at_a_gateway() {
    let of = |hosts: &str, more: &str| format!("{{hosts: [{hosts}], {more}http: [{{{LEADS}}}]}}");
    check(&of("a, a.n.svc.cluster.local, '*.example.com', '*-a.example.com', 10.0.0.1", ""), "");
    check(&of("'*'", "gateways: [g], "), "");
    check(&of("'*'", ""), "LENO0004: `spec.hosts[0]` is `*`, which is not possible for `mesh`");
    check(&of("'*'", "gateways: [g, mesh], "), "LENO0004: `spec.hosts[0]` is `*`");
    check(&of("a, a", ""), "LENO0004: `spec.hosts[1]` `a` occurs twice");
    check(&of("a.*.b", ""), "LENO0004: `spec.hosts[0]` cannot be");
    check(&of("a", "gateways: [n/g/x], "), "LENO0004: `spec.gateways[0]` cannot be `n/g/x`");
    check(&of("a", "exportTo: ['*', b], "), "LENO0004: `spec.exportTo[0]` is `*`, which cannot stand");
    check("{hosts: [a]}", "LENO0005: `spec` has no routes");
}

#[test]
fn a_route_leads_one_way() {
    let of = |route: &str| format!("{{hosts: [a], http: [{{{route}}}]}}");
    check(&of("timeout: 1s"), "LENO0005: `spec.http[0]` leads nowhere");
    check(
        &of(&format!("redirect: {{uri: /a}}, {LEADS}")),
        "LENO0004: `spec.http[0]` has both `route` and `redirect`",
    );
    check(
        &of("redirect: {uri: /a}, rewrite: {uri: /b}"),
        "LENO0004: `spec.http[0].rewrite` cannot stand beside",
    );
    check(&of("redirect: {uri: /a, prefixRewrite: /b}"), "LENO0004: `spec.http[0].redirect` sets both");
    check(
        &of("route: [{destination: {host: a}}, {destination: {host: b}}]"),
        "LENO0004: `spec.http[0].route` has no weight",
    );
    check(&of("route: [{destination: {host: a}, weight: 1}, {destination: {host: b}}]"), "");
    check(&of("directResponse: {status: 99}"), "LENO0004: `spec.http[0].directResponse.status` cannot be 99");
    check(&of(&format!("{LEADS}, timeout: 1d")), "LENO0004: `spec.http[0].timeout` cannot be `1d`");
    check(&of(&format!("{LEADS}, timeout: 0s")), "LENO0004: `spec.http[0].timeout` cannot be `0s`");
    check(&of(&format!("{LEADS}, rewrite: {{}}")), "LENO0005: `spec.http[0].rewrite` says nothing");
    check(
        &of(&format!("{LEADS}, fault: {{delay: {{fixedDelay: 1s}}}}")),
        "LENO0109: `spec.http[0].fault.delay` names no `percentage`",
    );
    check(
        &of(&format!("{LEADS}, mirrorPercentage: {{value: 101}}, mirror: {{host: b}}")),
        "LENO0004: `spec.http[0].mirrorPercentage` cannot be 101",
    );
    for answer in ["redirect: {uri: /b}", "directResponse: {status: 200}"] {
        check(
            &of(&format!("{answer}, headers: {{request: {{set: {{a: b}}}}}}")),
            "LENO0109: `spec.http[0].headers.request` has no effect: the route answers by itself",
        );
    }
    check(
        &of(&format!("{LEADS}, headers: {{request: {{set: {{a: '%X%'}}}}}}")),
        "LENO0004: `spec.http[0].headers.request.set[a]` has a variable",
    );
    check(
        &of(&format!("{LEADS}, match: [{{headers: {{':path': {{exact: /}}}}}}]")),
        "LENO0004: `spec.http[0].match[0].headers[:path]` is no header",
    );
    check(
        &of(&format!("{LEADS}, match: [{{uri: {{exact: /, prefix: /}}}}]")),
        "LENO0004: `spec.http[0].match[0].uri` sets more than one",
    );
}

#[test]
fn retries_that_cannot_be_are_told() {
    let of = |retries: &str| format!("{{hosts: [a], http: [{{{LEADS}, retries: {{{retries}}}}}]}}");
    check(&of("attempts: 2, retryOn: 'gateway-error, 503,reset'"), "");
    check(&of("retryOn: 5xx"), "LENO0109: `spec.http[0].retries` names no `attempts`");
    check(&of("attempts: 2, retryOn: 5xxx"), "LENO0109: `spec.http[0].retries.retryOn` names `5xxx`");
    check(&of("attempts: 99"), "LENO0004: `spec.http[0].retries.attempts` cannot be 99");
}

#[test]
fn what_is_delegated_can_be_merged() {
    check(&format!("{{http: [{{{LEADS}, match: [{{uri: {{prefix: /a}}}}]}}]}}"), "");
    check(
        "{http: [{delegate: {name: d}}]}",
        "LENO0004: `spec.http[0].delegate` cannot stand in an object without hosts",
    );
    check(
        &format!("{{gateways: [g], http: [{{{LEADS}}}]}}"),
        "LENO0004: `spec.gateways` cannot stand without",
    );
    check(
        &format!("{{http: [{{{LEADS}, match: [{{uri: {{regex: a}}}}]}}]}}"),
        "LENO0004: `spec.http[0].match[0]` has a regular",
    );
    check(
        &format!("{{http: [{{{LEADS}, match: [{{sourceNamespace: b}}]}}]}}"),
        "LENO0004: `spec.http[0].match[0].sourceNamespace` cannot",
    );
    check("{hosts: [a], http: [{delegate: {}}]}", "LENO0005: `spec.http[0].delegate.name` is missing");
}

#[test]
fn server_names_are_hosts_of_the_object() {
    let of = |name: &str| {
        format!(
            "{{hosts: ['*.a.com', b.com], tls: [{{match: [{{sniHosts: ['{name}']}}], route: [{{destination: {{host: a}}}}]}}]}}"
        )
    };
    for name in ["b.com", "x.a.com", "*.a.com", "*.x.a.com"] {
        check(&of(name), "");
    }
    check(&of("a.com"), "LENO0004: `spec.tls[0].match[0].sniHosts[0]` is `a.com`, which no entry");
    check(&of("*.com"), "LENO0004: `spec.tls[0].match[0].sniHosts[0]` is `*.com`, which no entry");
}
