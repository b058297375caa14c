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
