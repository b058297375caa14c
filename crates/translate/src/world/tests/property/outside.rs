//! Documents about what is outside the mesh.

use super::pick;

/// Two policies, and the authorities of one.
pub(super) fn backend_tls(slot: u8, variant: u8) -> String {
    if slot == 2 {
        let key = pick(&["ca.crt", "ca.crt", "other"], variant);
        return format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: ca, namespace: a}}\ndata: {{{key}: '-----BEGIN CERTIFICATE-----{variant}'}}\n"
        );
    }
    let target = pick(
        &[
            "{group: leno.dev, kind: Backend, name: b0}",
            "{group: '', kind: Service, name: s0, sectionName: http}",
        ],
        variant,
    );
    let whom = pick(
        &["wellKnownCACertificates: System", "caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]"],
        variant / 2,
    );
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {{name: bt{slot}, namespace: a}}\nspec: {{targetRefs: [{target}], validation: {{hostname: h.example, {whom}}}}}\n"
    )
}

/// Two ServiceEntries, which may want the same host, and a WorkloadEntry.
pub(super) fn entry(slot: u8, variant: u8) -> String {
    let app = pick(&["x", "y"], variant);
    if slot == 2 {
        let address = pick(&["192.0.2.9", "we.example.net"], variant / 2);
        return format!(
            "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {{name: we, namespace: a}}\nspec: {{address: {address}, labels: {{app: {app}}}}}\n"
        );
    }
    let created = pick(&["2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"], variant + slot);
    let hosts = pick(&["e.example.net", "e.example.net, z.example.com"], variant / 3 + slot);
    let at = match variant % 3 {
        0 => "resolution: DNS".to_owned(),
        1 => format!("resolution: STATIC, workloadSelector: {{labels: {{app: {app}}}}}"),
        _ => "resolution: STATIC, endpoints: [{address: 192.0.2.7}], addresses: [192.0.2.0/24]".to_owned(),
    };
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: se{slot}, namespace: a, creationTimestamp: {created}}}\nspec: {{hosts: [{hosts}], ports: [{{number: 80, name: http}}], {at}}}\n"
    )
}

pub(super) fn secret(slot: u8, variant: u8) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: s{slot}, namespace: a}}\ntype: kubernetes.io/tls\nstringData: {{tls.crt: '-----BEGIN CERTIFICATE-----{variant}', tls.key: '-----BEGIN PRIVATE KEY-----'}}\n"
    )
}
