//! Services that somebody describes by hand: how they are found, and where they are.

use super::*;
use model::Code;
use model::external::Resolution;
use model::route::HostMatch;
use model::service::{Reach, Service};

fn entry(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}, namespace: a}}\nspec: {spec}\n---\n"
    )
}

/// The service of a host, and its endpoints as `ADDRESS:PORT/WEIGHT`.
fn found(world: &World, host: &str) -> Option<(Service, Vec<String>)> {
    let (mut service, mut endpoints) = (None, Vec::new());
    for key in members(&Subscription::Host(model::Hostname::parse(host).unwrap()), world) {
        match resource(&key, world) {
            Some(Resource::Service(found)) => service = Some(found),
            Some(Resource::Slice(slice)) => {
                let text = |e: &model::service::Endpoint| format!("{}:{}/{}", e.address, e.port, e.weight);
                endpoints.extend(slice.endpoints.iter().map(text));
            }
            _ => {}
        }
    }
    endpoints.sort();
    Some((service?, endpoints))
}

fn names_of(world: &World) -> model::names::Names {
    match resource(&ResourceKey::Names, world) {
        Some(Resource::Names(names)) => names,
        other => panic!("{other:?}"),
    }
}

#[test]
fn fixed_endpoints_have_ports_weights_and_places_of_their_own() {
    let world = world(&entry(
        "e",
        "{hosts: [a.example.com], ports: [{number: 443, name: tls, protocol: TLS}], resolution: STATIC, endpoints: [{address: 192.0.2.1, ports: {tls: 8443}, weight: 3}, {address: '2001:db8::1', locality: us/b}]}",
    ));
    let (service, endpoints) = found(&world, "a.example.com").unwrap();
    assert_eq!(endpoints, ["192.0.2.1:8443/3", "2001:db8::1:0/1"]);
    assert_eq!((service.ports[0].port, service.ports[0].target_port), (443, 443));
    assert!(service.address.is_some(), "it has a mesh-only address");
    assert_eq!(service.external.unwrap().resolution, Resolution::Static);
    assert_eq!(names_of(&world).hosts.len(), 1, "the mesh answers for its name");
}

#[test]
fn names_are_resolved_by_proxies() {
    let world = world(
        &entry("e", "{hosts: [a.example.com, b.example.com], ports: [{number: 80, name: http, targetPort: 8080}], resolution: DNS}")
            .replace("namespace: a}", "namespace: a, annotations: {leno.dev/resolvers: '192.0.2.53, 192.0.2.54:5353'}}"),
    );
    for host in ["a.example.com", "b.example.com"] {
        let (service, endpoints) = found(&world, host).unwrap();
        assert_eq!((endpoints.len(), service.ports[0].target_port), (0, 8080));
        let external = service.external.unwrap();
        let names: Vec<&str> = external.names.iter().map(|named| named.host.as_str()).collect();
        assert_eq!(names, [host]);
        let resolvers: Vec<String> = external.resolvers.iter().map(ToString::to_string).collect();
        assert_eq!(resolvers, ["192.0.2.53:53", "192.0.2.54:5353"]);
    }
}

#[test]
fn a_selector_finds_workloads_with_and_without_a_proxy() {
    let documents = [
        &entry("e", "{hosts: [a.example.com], ports: [{number: 80, name: http}], location: MESH_INTERNAL, resolution: STATIC, workloadSelector: {labels: {app: x}}}"),
        "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: we, namespace: a}\nspec: {address: 192.0.2.9, labels: {app: x}}\n---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: other, namespace: a}\nspec: {address: 192.0.2.8, labels: {app: y}}\n---\napiVersion: networking.istio.io/v1\nkind: WorkloadGroup\nmetadata: {name: g, namespace: a}\nspec: {metadata: {labels: {app: x}}, template: {serviceAccount: g}}\n",
    ]
    .concat();
    let mut world = world(&documents);
    world.apply(WorldChange::Workload(workload("w", "a", "g", EndpointState::Ready)));
    let key = ResourceKey::Slice(model::Hostname::parse("a.example.com").unwrap(), 0);
    let Some(Resource::Slice(slice)) = resource(&key, &world) else { panic!("no endpoints") };
    let mut reaches: Vec<bool> = slice.endpoints.iter().map(|e| e.reach == Reach::Native).collect();
    reaches.sort_unstable();
    assert_eq!(reaches, [false, true]);
    assert!(slice.endpoints.iter().any(|e| e.address.to_string() == "192.0.2.9"));
}

#[test]
fn addresses_and_names_that_mean_it_are_told_to_all() {
    let world = world(
        &[
            entry("a", "{hosts: ['*.example.com'], ports: [{number: 443, name: tls}]}"),
            entry("b", "{hosts: [db.example.net], addresses: [192.0.2.0/24, 198.51.100.7], ports: [{number: 5432, name: tcp}], resolution: NONE}"),
        ]
        .concat(),
    );
    let names = names_of(&world);
    let claims: Vec<(HostMatch, &str)> =
        names.claims.iter().map(|claim| (claim.name.clone(), claim.host.as_str())).collect();
    let parse = |text| model::Hostname::parse(text).unwrap();
    assert_eq!(
        claims,
        [
            (HostMatch::Exact(parse("db.example.net")), "db.example.net"),
            (HostMatch::Suffix(parse("example.com")), "_wildcard.example.com"),
        ]
    );
    let blocks: Vec<(String, u8)> =
        names.addresses.iter().map(|claim| (claim.block.address.to_string(), claim.block.prefix)).collect();
    assert_eq!(blocks, [("198.51.100.7".to_owned(), 32), ("192.0.2.0".to_owned(), 24)]);
    let (service, _) = found(&world, "db.example.net").unwrap();
    assert_eq!(service.address, None, "it has addresses of its own");
    assert!(found(&world, "_wildcard.example.com").unwrap().0.address.is_none());
}

#[test]
fn what_means_it_is_told_with_who_sees_it_and_not_of_hosts_that_others_have() {
    let spec =
        |rest: &str| format!("{{ports: [{{number: 443, name: tls}}], addresses: [192.0.2.1], {rest}}}");
    let mut world = world(
        &[
            entry("mine", &spec("hosts: [a.example.com], exportTo: [., b]")),
            entry("all", &spec("hosts: [web.prod.svc.cluster.local]")),
        ]
        .concat(),
    );
    let told = |world: &World| {
        let names = names_of(world);
        let addresses =
            names.addresses.iter().map(|claim| (claim.host.to_string(), claim.visible_in.join(" ")));
        let by_name = names.claims.iter().map(|claim| (claim.host.to_string(), claim.visible_in.join(" ")));
        let mut all: Vec<_> = addresses.chain(by_name).map(|(host, seen)| format!("{host} {seen}")).collect();
        all.sort();
        all
    };
    let (mine, web) = ("a.example.com a b", "web.prod.svc.cluster.local ");
    assert_eq!(told(&world), [mine, mine, web, web]);
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: prod}\nspec: {ports: [{port: 443}]}\n";
    let (objects, _) = api::parse::documents(service, "g.yaml");
    let touched = world.apply(WorldChange::Object(Arc::new(objects[0].clone())));
    assert_eq!(told(&world), [mine, mine]);
    assert!(touched.contains(&Subscription::Mesh), "{touched:?}");
}

#[test]
fn ports_where_clients_begin_with_tls_are_told() {
    let world = world(&entry(
        "e",
        "{hosts: [a.example.com], ports: [{number: 443, name: a, protocol: HTTPS}, {number: 444, name: tls-x}, {number: 445, name: tls, protocol: TCP}, {number: 80, name: http}], resolution: DNS}",
    ));
    assert_eq!(found(&world, "a.example.com").unwrap().0.external.unwrap().tls_ports, [443, 444]);
}

#[test]
fn export_to_says_who_sees_it() {
    let of = |export_to: &str| {
        let spec = format!(
            "{{hosts: [a.example.com], ports: [{{number: 80, name: http}}], resolution: DNS, exportTo: {export_to}}}"
        );
        let world = world(&entry("e", &spec));
        let external = found(&world, "a.example.com").unwrap().0.external.unwrap();
        (external.is_visible_in("a"), external.is_visible_in("b"), external.is_visible_in("c"))
    };
    assert_eq!(of("['*']"), (true, true, true));
    assert_eq!(of("[]"), (true, true, true));
    assert_eq!(of("[.]"), (true, false, false));
    assert_eq!(of("[b]"), (false, true, false));
    assert_eq!(of("[., c]"), (true, false, true));
    assert_eq!(of("['~']"), (false, false, false));
}

#[test]
fn a_host_belongs_to_one() {
    let spec = "{hosts: [a.example.com], ports: [{number: 80, name: http}], resolution: DNS}";
    let mut world = world(&[entry("first", spec), entry("second", spec)].concat());
    let findings = world.findings();
    let conflicts: Vec<String> =
        findings.iter().filter(|f| f.code == Code::HostConflict).map(ToString::to_string).collect();
    assert_eq!(conflicts.len(), 1, "{findings:?}");
    assert!(conflicts[0].contains("ServiceEntry/second.a") && conflicts[0].contains("ServiceEntry/first.a"));
}

#[test]
fn a_backend_may_be_a_name() {
    let world = world(
        "apiVersion: leno.dev/v1alpha1\nkind: Backend\nmetadata: {name: b}\nspec: {type: Static, addresses: [{host: api.example.com, port: 8080}, {host: 192.0.2.1, port: 80}]}\n",
    );
    let (service, endpoints) = found(&world, "b.default.backend.leno").unwrap();
    assert_eq!(endpoints, ["192.0.2.1:80/1"]);
    let external = service.external.unwrap();
    assert_eq!((external.names[0].host.as_str(), external.names[0].port), ("api.example.com", 8080));
}

#[test]
fn what_has_no_effect_is_told() {
    let check = |spec: &str, annotation: &str, expected: &str| {
        let document = entry("e", spec).replace("namespace: a}", &format!("namespace: a{annotation}}}"));
        let told: Vec<String> = world(&document).findings().iter().map(ToString::to_string).collect();
        assert_eq!(told.is_empty(), expected.is_empty(), "{told:?}");
        assert!(told.iter().all(|one| one.contains(expected)), "{told:?}");
    };
    let two = |first: &str, second: &str| {
        format!(
            "{{hosts: [a.b], resolution: STATIC, ports: [{{number: 80, name: http}}, {{number: 443, name: tls}}], endpoints: [{{address: 192.0.2.1, ports: {first}}}, {{address: 192.0.2.2, ports: {second}}}]}}"
        )
    };
    check(&two("{http: 8080}", "{http: 8080}"), "", "");
    check(&two("{http: 8080}", "{http: 8081}"), "", "endpoints have different `ports` named `http`");
    let dns = "{hosts: [a.b], resolution: DNS, ports: [{number: 80, name: http}]}";
    check(dns, ", annotations: {leno.dev/resolvers: 192.0.2.53}", "");
    check(dns, ", annotations: {leno.dev/resolvers: '192.0.2.53, dns'}", "names `dns`, which is no address");
}

#[test]
fn policies_of_an_entry_say_nothing_of_hosts_that_others_have() {
    let first =
        entry("first", "{hosts: [api.example.com], ports: [{number: 443, name: tls}], resolution: DNS}");
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: prod}\nspec: {selector: {app: web}, ports: [{port: 443}]}\n---\n";
    let second = |hosts: &str| {
        entry(
            "second",
            &format!("{{hosts: [{hosts}], ports: [{{number: 443, name: tls}}], resolution: DNS}}"),
        )
    };
    let policies = "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {name: p, namespace: a}\nspec: {targetRefs: [{group: networking.istio.io, kind: ServiceEntry, name: second}], validation: {hostname: evil.example, wellKnownCACertificates: System}}\n---\napiVersion: leno.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {name: p, namespace: a}\nspec: {targetRefs: [{group: networking.istio.io, kind: ServiceEntry, name: second}], backend: {loadBalancer: {simple: ROUND_ROBIN}}}\n";
    let attached = |world: &World, host: &str| {
        let keys = members(&Subscription::Host(model::Hostname::parse(host).unwrap()), world);
        keys.iter().filter(|key| matches!(key, ResourceKey::TrafficPolicy { .. })).count()
    };
    let lost = "api.example.com, web.prod.svc.cluster.local";
    let mut partly =
        world(&[&first, service, &second(&format!("{lost}, own.example.com")), policies].concat());
    assert_eq!(attached(&partly, "own.example.com"), 2);
    assert_eq!(attached(&partly, "api.example.com"), 0);
    assert_eq!(attached(&partly, "web.prod.svc.cluster.local"), 0);
    let told = |world: &mut World, code: Code| {
        let findings = world.findings().into_iter().filter(|finding| finding.code == code);
        findings.map(|finding| finding.to_string()).collect::<Vec<_>>()
    };
    let conflicts = told(&mut partly, Code::HostConflict);
    assert_eq!(conflicts.len(), 2, "{conflicts:?}");
    assert!(conflicts.iter().any(|one| one.contains("already belongs to Service/web.prod")), "{conflicts:?}");
    let mut wholly = world(&[&first, service, &second(lost), policies].concat());
    let missing = told(&mut wholly, Code::ReferenceNotFound);
    assert_eq!(missing.len(), 2, "{missing:?}");
    assert!(missing.iter().all(|one| one.contains("they belong to others")), "{missing:?}");
}
