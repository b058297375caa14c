//! Istio's page on egress gateways: what its objects, for other names, make of a call that is to leave by a gateway of the
//! mesh, at the caller and at the gateway.

use super::*;
use model::authz::Action;
use model::backend_tls::BackendTls;
use model::listener::ListenerProtocol;
use model::route::{Parent, RouteRule};

const HOST: &str = "edition.example.com";
const SERVICE: &str = "istio-egressgateway.istio-system.svc.cluster.local";

/// The gateway's proxies, and their Service.
const GATEWAY: &str = "
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: istio-egressgateway, namespace: istio-system}
spec: {metadata: {labels: {istio: egressgateway}}, template: {serviceAccount: egress}}
---
apiVersion: v1
kind: Service
metadata: {name: istio-egressgateway, namespace: istio-system}
spec: {selector: {istio: egressgateway}, ports: [{name: http2, port: 80, targetPort: 8080}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: who-may-leave, namespace: istio-system}
spec: {selector: {matchLabels: {istio: egressgateway}}, rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/client]}}]}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: example, namespace: istio-system}
spec: {hosts: [edition.example.com], ports: [{number: 80, name: http-port, protocol: HTTP}, {number: 443, name: https, protocol: HTTPS}], resolution: DNS}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: istio-egressgateway, namespace: istio-system}
spec: {selector: {istio: egressgateway}, servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: [edition.example.com]}]}
";

/// With the rule for the gateway's host, and the port of the outside that it leads to.
fn page(rule_for_gateway: &str, port: u16) -> World {
    let at_gateway = rule("egressgateway-for-example", "istio-system", rule_for_gateway);
    let originate = rule(
        "originate-tls-for-example",
        "istio-system",
        "{host: edition.example.com, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}, portLevelSettings: [{port: {number: 443}, tls: {mode: SIMPLE, sni: edition.example.com}}]}}",
    );
    let through = route(
        "through-egress-gateway",
        "istio-system",
        &format!(
            "{{hosts: [edition.example.com], gateways: [istio-egressgateway, mesh], http: [{{match: [{{gateways: [mesh], port: 80}}], route: [{{destination: {{host: {SERVICE}, subset: example, port: {{number: 80}}}}, weight: 100}}]}}, {{match: [{{gateways: [istio-egressgateway], port: 8080}}], route: [{{destination: {{host: edition.example.com, port: {{number: {port}}}}}, weight: 100}}]}}]}}"
        ),
    );
    let mut world = world(&[GATEWAY.to_owned(), at_gateway, originate, through].concat());
    let joined = workload("egress", "istio-system", "istio-egressgateway", EndpointState::Ready);
    world.apply(WorldChange::Workload(joined));
    world
}

/// Where the rules of a subscription lead.
fn leading(subscription: &Subscription, world: &World) -> Vec<(Parent, String, u16)> {
    let keys = members(subscription, world);
    let rules = keys.iter().filter_map(|key| match resource(key, world).unwrap() {
        Resource::Rule(rule) => Some(RouteRule::clone(&rule)),
        _ => None,
    });
    let backends = rules.flat_map(|rule| {
        let parent = rule.parent.clone();
        rule.backends.into_iter().map(move |to| (parent.clone(), to.host.unwrap().to_string(), to.port))
    });
    backends.collect()
}

#[test]
fn a_call_goes_to_the_gateway_and_from_there_outside() {
    for (for_gateway, port) in [
        ("{host: istio-egressgateway.istio-system.svc.cluster.local, subsets: [{name: example}]}", 80),
        // As the page has it for TLS that the gateway begins.
        (
            "{host: istio-egressgateway.istio-system.svc.cluster.local, subsets: [{name: example, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}, portLevelSettings: [{port: {number: 80}, tls: {mode: ISTIO_MUTUAL, sni: edition.example.com}}]}}]}",
            443,
        ),
    ] {
        let mut world = page(for_gateway, port);
        let errors: Vec<_> =
            world.findings().into_iter().filter(|one| one.code.level() == model::Severity::Error).collect();
        assert!(errors.is_empty(), "{errors:?}");
        let host = Hostname::parse(HOST).unwrap();
        let subset = format!("example.{SERVICE}.subset.leno");
        let of_caller = leading(&Subscription::Host(host.clone()), &world);
        assert_eq!(of_caller.len(), 1, "{of_caller:?}");
        assert!(matches!(&of_caller[0].0, Parent::Service { host: called, .. } if *called == host));
        assert_eq!((&*of_caller[0].1, of_caller[0].2), (&*subset, 80));
        let keys = members(&Subscription::Host(Hostname::parse(&subset).unwrap()), &world);
        let slices = keys.iter().filter_map(|key| match resource(key, &world) {
            Some(Resource::Slice(slice)) => Some(slice.endpoints.len()),
            _ => None,
        });
        assert_eq!(slices.sum::<usize>(), 1, "the gateway's workload");

        let name =
            Subscription::Gateway { namespace: "istio-system".into(), name: "istio-egressgateway".into() };
        let of_gateway = leading(&name, &world);
        assert_eq!(of_gateway.len(), 1, "{of_gateway:?}");
        assert_eq!((&*of_gateway[0].1, of_gateway[0].2), (HOST, port));
        let (mut listeners, mut policies) = (Vec::new(), Vec::new());
        for key in members(&name, &world) {
            match resource(&key, &world) {
                Some(Resource::Gateway(gateway)) => listeners.extend(gateway.listeners),
                Some(Resource::Policy(policy)) => policies.push(policy),
                _ => {}
            }
        }
        assert_eq!(listeners.len(), 1);
        assert_eq!((listeners[0].port, listeners[0].protocol), (8080, ListenerProtocol::Http));
        assert_eq!((policies.len(), policies[0].action), (1, Action::Allow));

        let tls = members(&Subscription::Host(host), &world).into_iter().find_map(|key| {
            match resource(&key, &world) {
                Some(Resource::TrafficPolicy(attached)) => attached.policy.port_tls.get(&443).cloned(),
                _ => None,
            }
        });
        let Some(BackendTls::Originate(tls)) = tls else { panic!("{tls:?}") };
        assert_eq!(tls.server_name.as_deref(), Some(HOST));
    }
}
