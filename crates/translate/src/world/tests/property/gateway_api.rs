//! Documents of Gateway API's kinds beside `HTTPRoute` and `Gateway`.

use super::pick;

/// Some in the namespace of what they refer to, some not.
pub(super) fn tcp_route(slot: u8, variant: u8) -> String {
    let namespace = pick(&["a", "default"], variant);
    let parent = pick(
        &[
            "{name: gw0, namespace: a}",
            "{group: '', kind: Service, name: s1, namespace: a}",
            "{group: leno.dev, kind: GlobalService, name: gs0, namespace: a, port: 80}",
        ],
        variant + slot,
    );
    let backend = pick(
        &["{name: s0, namespace: a, port: 80}", "{name: s1, port: 80}, {name: s0, port: 81, weight: 0}"],
        variant / 2,
    );
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: TCPRoute\nmetadata: {{name: r{slot}, namespace: {namespace}}}\nspec: {{parentRefs: [{parent}], rules: [{{backendRefs: [{backend}]}}]}}\n"
    )
}

pub(super) fn reference_grant(slot: u8, variant: u8) -> String {
    let name = pick(&["", ", name: s0"], variant / 2);
    let kind = pick(&["TCPRoute", "HTTPRoute"], variant);
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: ReferenceGrant\nmetadata: {{name: g{slot}, namespace: a}}\nspec: {{from: [{{group: gateway.networking.k8s.io, kind: {kind}, namespace: default}}], to: [{{group: '', kind: Service{name}}}]}}\n"
    )
}

pub(super) fn udp_route(slot: u8, variant: u8) -> String {
    let backend = pick(&["b0", "b1"], variant);
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: UDPRoute\nmetadata: {{name: r{slot}, namespace: a}}\nspec: {{parentRefs: [{{name: gw0}}], rules: [{{backendRefs: [{{group: leno.dev, kind: Backend, name: {backend}}}]}}]}}\n"
    )
}

pub(super) fn listener_set(slot: u8, variant: u8) -> String {
    let gateway = pick(&["gw0", "gw1"], variant);
    let namespace = pick(&["a", "default"], slot);
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: ListenerSet\nmetadata: {{name: l{slot}, namespace: {namespace}}}\nspec: {{parentRef: {{name: {gateway}, namespace: a}}, listeners: [{{name: more, port: 8{}, protocol: HTTP}}]}}\n",
        variant % 4
    )
}

pub(super) fn tls_route(slot: u8, variant: u8) -> String {
    let backend = pick(&["{name: s0, port: 80}", "{name: s1, port: 80}, {name: s0, port: 81}"], variant);
    let host = pick(&["a.example.com", "*.example.com"], variant / 2);
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: TLSRoute\nmetadata: {{name: tls{slot}, namespace: a}}\nspec: {{hostnames: ['{host}'], parentRefs: [{{name: gw{slot}}}], rules: [{{backendRefs: [{backend}]}}]}}\n"
    )
}

pub(super) fn grpc_route(slot: u8, variant: u8) -> String {
    let parent = pick(
        &[
            "{name: gw0, namespace: a}",
            "{name: gw1, namespace: a, sectionName: web}",
            "{group: '', kind: Service, name: s1, namespace: a}",
        ],
        variant + slot,
    );
    let host = pick(&["", "hostnames: ['*.example.com'], "], variant / 2);
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: GRPCRoute\nmetadata: {{name: r{slot}, namespace: a}}\nspec: {{{host}parentRefs: [{parent}], rules: [{{matches: [{{method: {{service: s{slot}}}}}], backendRefs: [{{name: s0, port: 80}}]}}]}}\n"
    )
}
