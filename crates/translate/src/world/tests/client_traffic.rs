//! What is said of who calls a gateway, at its listeners.

use super::*;
use model::Code;
use model::client_traffic::{
    ClientIpDetection, ClientTraffic, ForwardClientCertMode, RequestIdAction, UnderscoresAction,
};

const GATEWAY: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: leno
  listeners: [{name: a, port: 80, protocol: HTTP}, {name: b, port: 81, protocol: HTTP}, {name: c, port: 81, protocol: HTTP, hostname: c.example}]
";

/// A policy of that age, for the gateway or one of its listeners.
fn policy(name: &str, year: u16, section: &str, client: &str) -> String {
    let section = if section.is_empty() { String::new() } else { format!(", sectionName: {section}") };
    format!(
        "---\napiVersion: leno.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: {name}, creationTimestamp: '{year}-01-01T00:00:00Z'}}\nspec: {{targetRefs: [{{group: gateway.networking.k8s.io, kind: Gateway, name: edge{section}}}], client: {client}}}\n"
    )
}

fn clients(world: &World) -> Vec<Option<ClientTraffic>> {
    match resource(&ResourceKey::parse("gateway/default/edge").unwrap(), world) {
        Some(Resource::Gateway(gateway)) => {
            gateway.listeners.iter().map(|listener| listener.client.as_deref().cloned()).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn said(world: &mut World, code: Code) -> Vec<String> {
    let found = world.findings().into_iter().filter(|finding| finding.code == code);
    found.map(|finding| finding.cause).collect()
}

#[test]
fn fields_are_taken_over_and_the_narrower_counts() {
    let all = "{proxyProtocol: {trustedCIDRs: [10.0.0.0/8]}, \
               clientIPDetection: {xForwardedFor: {numTrustedHops: 2}}, \
               headers: {xForwardedClientCert: {mode: SanitizeSet, certDetailsToAdd: [URI, Subject]}, \
               withUnderscoresAction: RejectRequest, requestID: Generate}}";
    let own = "{headers: {withUnderscoresAction: DropHeader}}";
    let mut world =
        world(&format!("{GATEWAY}{}{}", policy("all", 2020, "", all), policy("own", 2024, "a", own)));
    let found = clients(&world);
    let (a, b) = (found[0].clone().unwrap(), found[1].clone().unwrap());
    assert_eq!(a.with_underscores, Some(UnderscoresAction::DropHeader));
    assert_eq!(b.with_underscores, Some(UnderscoresAction::RejectRequest));
    for said in [a, b] {
        assert_eq!(said.proxy_protocol.unwrap().trusted_cidrs.len(), 1);
        assert_eq!(said.client_ip_detection, Some(ClientIpDetection::TrustedHops(2)));
        assert_eq!(said.forward_client_cert.unwrap().mode, ForwardClientCertMode::SanitizeSet);
        assert_eq!(said.request_id, Some(RequestIdAction::Generate));
    }
    assert_eq!(said(&mut world, Code::Outvoted), [] as [&str; 0]);
    // The proxies of the gateway hear of it, and of its end.
    let edge = Subscription::Gateway { namespace: "default".into(), name: "edge".into() };
    let gone = |name| WorldChange::ObjectGone(model::ObjectRef::new("TrafficPolicy", "default", name));
    assert!(world.apply(gone("own")).contains(&edge));
    assert!(world.apply(gone("all")).contains(&edge));
    assert_eq!(clients(&world), [None, None, None]);
}

#[test]
fn what_has_no_effect_is_told() {
    let id = "{headers: {requestID: Disable}}";
    let mut world = world(&format!(
        "{GATEWAY}{}{}{}",
        policy("old", 2020, "a", id),
        policy("new", 2024, "a", id),
        policy("lost", 2024, "d", id)
    ));
    let outvoted = said(&mut world, Code::Outvoted);
    assert!(
        outvoted.len() == 1 && outvoted[0].contains("TrafficPolicy/old.default says it too"),
        "{outvoted:?}"
    );
    let lost = said(&mut world, Code::ReferenceNotFound);
    assert!(lost.len() == 1 && lost[0].contains("has no listener `d`"), "{lost:?}");
    add(&mut world, &policy("shared", 2024, "c", id));
    let shared = said(&mut world, Code::Ignored);
    assert!(shared.iter().any(|cause| cause.contains("has the port of listener `b`")), "{shared:?}");
}
