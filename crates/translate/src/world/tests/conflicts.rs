//! Objects that contradict each other, or refer to what was refused.

use super::*;
use model::Code;

const GROUP: &str = "apiVersion: networking.istio.io/v1\nkind: WorkloadGroup\nmetadata: {name: web}\nspec: {metadata: {labels: {app: web}}, template: {serviceAccount: web}}\n---\n";

fn said(world: &mut World, code: Code) -> Vec<String> {
    let findings = world.findings().into_iter().filter(|finding| finding.code == code);
    findings.map(|finding| finding.to_string()).collect()
}

#[test]
fn one_port_of_workloads_declared_with_two_protocols_is_told() {
    let check = |first: &str, second: &str, expected: usize| {
        let service = |name: &str, port: &str| {
            format!(
                "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{selector: {{app: web}}, ports: [{port}]}}\n---\n"
            )
        };
        let mut world = world(&[GROUP, &service("a", first), &service("b", second)].concat());
        let told = said(&mut world, Code::ProtocolConflict);
        assert_eq!(told.len(), expected, "{first} {second}: {told:?}");
        assert!(
            told.iter().all(|text| text.contains("Service/b.default") && text.contains("Service/a.default"))
        );
    };
    check(
        "{port: 80, targetPort: 8080, appProtocol: http}",
        "{port: 81, targetPort: 8080, appProtocol: tcp}",
        1,
    );
    check(
        "{port: 80, targetPort: 8080, appProtocol: http}",
        "{port: 81, targetPort: 8081, appProtocol: tcp}",
        0,
    );
    check("{port: 80, targetPort: 8080}", "{port: 81, targetPort: 8080, appProtocol: tcp}", 0);
    check("{port: 80, targetPort: 8080, name: tcp-a}", "{port: 81, targetPort: 8080, name: tcp-b}", 0);
}

#[test]
fn an_unknown_cluster_in_a_failover_order_is_told_once_others_are_known() {
    let mut world = world(
        "apiVersion: leno.dev/v1alpha1\nkind: GlobalService\nmetadata: {name: g}\nspec: {hosts: [g.mesh.internal], failover: {order: [west, est, east]}}\n",
    );
    assert_eq!(said(&mut world, Code::Ignored), [] as [&str; 0], "nobody is known yet");
    world.apply(WorldChange::Remote(remote("east", 1, &[])));
    let told = said(&mut world, Code::Ignored);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("cluster `est`") && told[0].contains("did you mean `east`?"), "{told:?}");
}

#[test]
fn a_reference_to_a_refused_object_says_so() {
    let documents = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: g}\nspec: {gatewayClassName: leno, listeners: [{name: a, port: 80, protocol: HTTP}], adresses: []}\n---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r}\nspec: {parentRefs: [{name: g}], rules: []}\n";
    let (objects, refused) = api::parse::documents(documents, "f.yaml");
    assert_eq!((objects.len(), refused.len()), (1, 1));
    let mut world = World::new(place());
    objects.into_iter().for_each(|object| drop(world.apply(WorldChange::Object(Arc::new(object)))));
    assert!(
        said(&mut world, Code::ParentNotFound)[0].contains("create Gateway/g.default"),
        "the control run"
    );
    world.set_refused(&refused);
    let told = said(&mut world, Code::ParentNotFound);
    assert!(told[0].contains("Gateway/g.default was refused") && told[0].contains("(f.yaml:4)"), "{told:?}");
}

#[test]
fn localhost_is_an_address_and_what_is_neither_address_nor_name_is_refused() {
    let backend = |host: &str| {
        format!(
            "apiVersion: leno.dev/v1alpha1\nkind: Backend\nmetadata: {{name: b}}\nspec: {{type: Static, addresses: [{{host: {host}, port: 80}}]}}\n"
        )
    };
    let world = world(&backend("localhost"));
    let key = ResourceKey::Slice(model::Hostname::parse("b.default.backend.leno").unwrap(), 0);
    let Some(Resource::Slice(slice)) = resource(&key, &world) else {
        panic!("no endpoints");
    };
    assert_eq!(slice.endpoints[0].address.to_string(), "127.0.0.1");
    assert_eq!(api::parse::documents(&backend("10.0.0."), "f").1[0].code, Code::BadValue);
}

#[test]
fn a_traffic_policy_without_its_target_or_behind_an_older_one_is_told() {
    let policy = |name: &str, year: u16, target: &str| {
        format!(
            "---\napiVersion: leno.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: {name}, creationTimestamp: '{year}-01-01T00:00:00Z'}}\nspec: {{targetRefs: [{{kind: Service, name: {target}}}], backend: {{loadBalancer: {{simple: LEAST_REQUEST}}}}}}\n"
        )
    };
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: shop}\nspec: {selector: {app: shop}, ports: [{port: 80}]}\n";
    let mut world =
        world(&format!("{service}{}{}", policy("new", 2021, "shop"), policy("lost", 2020, "shoop")));
    let missing = said(&mut world, Code::ReferenceNotFound);
    assert_eq!(missing.len(), 1);
    assert!(missing[0].contains("did you mean `shop`?"), "{missing:?}");
    assert_eq!(said(&mut world, Code::Outvoted), [] as [&str; 0]);
    let host = Subscription::Host(Hostname::parse("shop.default.svc.cluster.local").unwrap());
    let keys = |world: &World| members(&host, world).iter().map(ToString::to_string).collect::<Vec<_>>();
    let attached = "traffic-policy/shop.default.svc.cluster.local/default/new";
    assert!(keys(&world).iter().any(|key| key == attached), "{:?}", keys(&world));
    add(&mut world, &policy("old", 2020, "shop"));
    let outvoted = said(&mut world, Code::Outvoted);
    assert!(outvoted[0].contains("TrafficPolicy/old.default says it too, and is older"), "{outvoted:?}");
    let gone = world.apply(WorldChange::ObjectGone(model::ObjectRef::new("TrafficPolicy", "default", "new")));
    assert!(gone.contains(&host), "{gone:?}");
    assert!(!keys(&world).iter().any(|key| key == attached));
}
