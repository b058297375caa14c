//! Documents of Istio's networking kinds.

use super::pick;

/// Hosts that subsets become.
pub(super) const SUBSETS: [&str; 2] =
    ["v1.s0.a.svc.cluster.local.subset.leno", "v2.x.mesh.internal.subset.leno"];

pub(super) fn virtual_service(slot: u8, variant: u8) -> String {
    let namespace = pick(&["a", "a", "b"], slot);
    let hosts = pick(
        &["hosts: [s0], ", "hosts: [s1.a.svc.cluster.local], ", "hosts: [x.mesh.internal, s0], ", ""],
        variant + slot,
    );
    let gateways = match (hosts, variant % 3) {
        ("", _) | (_, 0) => "",
        (_, 1) => "gateways: [ig0], ",
        _ => "gateways: [a/ig0, mesh], ",
    };
    let destination = pick(
        &[
            "{host: s0, subset: v1}",
            "{host: s0.a.svc.cluster.local}",
            "{host: x.mesh.internal, subset: v2}",
            "{host: s9}",
        ],
        variant,
    );
    let first = match (hosts, variant % 2) {
        ("", _) | (_, 0) => {
            format!("{{match: [{{uri: {{prefix: /v}}}}], route: [{{destination: {destination}}}]}}")
        }
        _ => "{delegate: {name: vs1, namespace: a}}".to_owned(),
    };
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: vs{slot}, namespace: {namespace}}}\nspec: {{{hosts}{gateways}http: [{first}, {{route: [{{destination: {destination}}}]}}]}}\n"
    )
}

pub(super) fn destination_rule(slot: u8, variant: u8) -> String {
    let namespace = pick(&["a", "leno-system", "a"], slot);
    let host = pick(&["s0.a.svc.cluster.local", "x.mesh.internal", "s1.a.svc.cluster.local"], variant);
    let created = pick(&["2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"], variant + slot);
    let policy = pick(&["", "trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}, "], variant / 2);
    let app = pick(&["x", "y"], variant);
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: dr{slot}, namespace: {namespace}, creationTimestamp: {created}}}\nspec: {{host: {host}, {policy}subsets: [{{name: v1, labels: {{app: {app}}}}}, {{name: v{slot}x}}]}}\n"
    )
}

/// One of each kind that there are not several of.
pub(super) fn beside(slot: u8, variant: u8) -> String {
    let app = pick(&["x", "y"], variant);
    match slot {
        0 => format!(
            "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: ig0, namespace: a}}\nspec: {{selector: {{app: {app}}}, servers: [{{port: {{number: 80, name: http, protocol: HTTP}}, hosts: ['*']}}, {{port: {{number: 8{variant}, name: more, protocol: HTTP}}, hosts: ['./*.example.com']}}]}}\n"
        ),
        1 => format!(
            "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {{name: sc, namespace: a}}\nspec: {{egress: [{{hosts: [{app}/*]}}]}}\n"
        ),
        _ => format!(
            "apiVersion: networking.istio.io/v1\nkind: ProxyConfig\nmetadata: {{name: pc, namespace: a}}\nspec: {{concurrency: {variant}}}\n"
        ),
    }
}
