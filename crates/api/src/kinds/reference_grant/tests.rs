use super::*;
use crate::Spec;
use crate::parse::documents;

fn grant(spec: &str) -> Option<ReferenceGrantSpec> {
    let text = format!(
        "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {{name: g}}\nspec: {spec}\n"
    );
    let (objects, findings) = documents(&text, "f.yaml");
    assert_eq!(objects.is_empty(), !findings.is_empty(), "{findings:?}");
    match objects.into_iter().next()?.spec {
        Spec::ReferenceGrant(spec) => Some(*spec),
        _ => None,
    }
}

#[test]
fn every_part_of_a_reference_must_be_granted() {
    const HTTP: (&str, &str, &str) = (GATEWAY_GROUP, "HTTPRoute", "web");
    let spec = "{from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: web}], \
                to: [{group: '', kind: Service}, {group: '', kind: Secret, name: cert}]}";
    let allows = |from, to| grant(spec).is_some_and(|grant| grant.allows(from, to));
    assert!(allows(HTTP, ("", "Service", "any")));
    assert!(allows(HTTP, ("", "Secret", "cert")));
    assert!(!allows(HTTP, ("", "Secret", "other")));
    assert!(!allows(HTTP, ("leno.dev", "Service", "any")));
    assert!(!allows((GATEWAY_GROUP, "TCPRoute", "web"), ("", "Service", "any")));
    assert!(!allows((GATEWAY_GROUP, "HTTPRoute", "other"), ("", "Service", "any")));
    assert!(!allows(("", "HTTPRoute", "web"), ("", "Service", "any")));
}

#[test]
fn an_empty_grant_is_refused() {
    assert_eq!(grant("{from: [], to: [{group: '', kind: Service}]}"), None);
    assert_eq!(grant("{from: [{group: '', kind: Secret, namespace: a}], to: []}"), None);
    assert_eq!(
        grant("{from: [{group: '', kind: '', namespace: a}], to: [{group: '', kind: Service}]}"),
        None
    );
}
