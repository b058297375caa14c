//! The workload at an address, as who calls that address is told of it.

use super::*;
use model::service::{Protocol, Reach};
use model::workload_host::workload_host;

const SHOP: &str = "
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp-db, port: 5432}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: shop}
spec: {metadata: {labels: {app: shop}}, template: {}}
---
";

fn host(address: &str) -> Hostname {
    workload_host(address.parse().unwrap()).unwrap()
}

fn at(uid: &str, address: &str) -> WorldChange {
    let workload = workload(uid, "default", "shop", EndpointState::Ready);
    WorldChange::Workload(JoinedWorkload { address: address.parse().unwrap(), ..workload })
}

fn mode(spec: &str) -> Arc<Object> {
    let text = format!(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: shop}}\nspec: {spec}\n"
    );
    Arc::new(api::parse::documents(&text, "f.yaml").0.remove(0))
}

/// Ports and the one endpoint, if there is such a workload.
fn told(world: &World, host: &Hostname) -> Option<(Vec<(u16, Protocol)>, model::service::Endpoint)> {
    let keys = members(&Subscription::Host(host.clone()), world);
    if keys.is_empty() {
        return None;
    }
    assert_eq!(keys, [ResourceKey::Service(host.clone()), ResourceKey::Slice(host.clone(), 0)]);
    let (Some(Resource::Service(service)), Some(Resource::Slice(slice))) =
        (resource(&keys[0], world), resource(&keys[1], world))
    else {
        panic!("kind")
    };
    let ports = service.ports.iter().map(|port| (port.target_port, port.protocol)).collect();
    assert_eq!((service.address, slice.endpoints.len()), (None, 1));
    Some((ports, slice.endpoints[0].clone()))
}

#[test]
fn the_workload_at_an_address_is_told_with_the_ports_that_are_declared_for_it() {
    let mut world = world(SHOP);
    let (first, second) = (host("10.0.0.1"), host("fd00::2"));
    assert_eq!(told(&world, &first), None);
    let touched = world.apply(at("a", "10.0.0.1"));
    assert!(touched.contains(&Subscription::Host(first.clone())), "{touched:?}");
    world.apply(at("b", "fd00::2"));
    for (host, uid) in [(&first, "a"), (&second, "b")] {
        let (ports, endpoint) = told(&world, host).unwrap();
        assert_eq!(ports, [(5432, Protocol::Tcp), (8080, Protocol::Http1)]);
        assert_eq!((&*endpoint.uid, &endpoint.reach, endpoint.port), (uid, &Reach::Native, 0));
    }

    // It moves; whoever asked for its old address hears of that, too.
    let touched = world.apply(at("a", "10.0.0.9"));
    for address in ["10.0.0.1", "10.0.0.9"] {
        assert!(touched.contains(&Subscription::Host(host(address))), "{address}: {touched:?}");
    }
    assert_eq!((told(&world, &first), told(&world, &host("10.0.0.9")).is_some()), (None, true));
    let touched = world.apply(WorldChange::WorkloadGone("a".into()));
    assert!(touched.contains(&Subscription::Host(host("10.0.0.9"))), "{touched:?}");
    assert_eq!(told(&world, &host("10.0.0.9")), None);
}

#[test]
fn of_two_at_one_address_the_one_that_may_be_chosen_is_meant() {
    let mut world = world(SHOP);
    for (uid, state) in [("a", EndpointState::Draining), ("b", EndpointState::Ready)] {
        world.apply(WorldChange::Workload(workload(uid, "default", "shop", state)));
    }
    let uid = |world: &World| told(world, &host("10.0.0.1")).map(|(_, endpoint)| endpoint.uid);
    assert_eq!(uid(&world).as_deref(), Some("b"));
    world.apply(WorldChange::WorkloadGone("b".into()));
    // A call of its address means it, whatever its state.
    let (_, endpoint) = told(&world, &host("10.0.0.1")).unwrap();
    assert_eq!((&*endpoint.uid, endpoint.state), ("a", EndpointState::Ready));
}

#[test]
fn modes_are_told_to_who_calls_the_address() {
    let mut world = world(SHOP);
    world.apply(at("a", "10.0.0.1"));
    let asked = Subscription::Host(host("10.0.0.1"));
    let one_port = "{selector: {matchLabels: {app: shop}}, portLevelMtls: {9000: {mode: DISABLE}}}";
    let touched = world.apply(WorldChange::Object(mode(one_port)));
    assert!(touched.contains(&asked), "{touched:?}");
    let (_, endpoint) = told(&world, &host("10.0.0.1")).unwrap();
    assert_eq!((endpoint.reach_at(9000), endpoint.reach_at(8080)), (&Reach::Plain, &Reach::Native));
    // It takes nothing but plaintext: it is called as what is outside the mesh.
    let touched = world.apply(WorldChange::Object(mode("{mtls: {mode: DISABLE}}")));
    assert!(touched.contains(&asked), "{touched:?}");
    assert_eq!(told(&world, &host("10.0.0.1")), None);
}

/// Through its own proxy all callers would have the gateway's address.
#[test]
fn a_gateway_for_callers_from_outside_is_called_as_they_call_it() {
    let mut world = world(SHOP);
    world.apply(at("a", "10.0.0.1"));
    let asked = Subscription::Host(host("10.0.0.1"));
    let gateway = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: shop}
spec: {gatewayClassName: leno, listeners: [{name: web, port: 80, protocol: HTTP}]}
";
    let gateway = Arc::new(api::parse::documents(gateway, "f.yaml").0.remove(0));
    let name = gateway.object.clone();
    for (change, is_told) in [(WorldChange::Object(gateway), false), (WorldChange::ObjectGone(name), true)] {
        let touched = world.apply(change);
        assert!(touched.contains(&asked), "{touched:?}");
        assert_eq!(told(&world, &host("10.0.0.1")).is_some(), is_told);
    }
}
