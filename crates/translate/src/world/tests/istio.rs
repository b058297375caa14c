//! What Istio's networking kinds come out as.

mod server_tls;
mod bookinfo;
mod egress_gateway;
mod virtual_service;

use super::*;
use model::Code;
use model::traffic::{LoadBalancer, SimpleLoadBalancer};

const REVIEWS: &str = "
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec: {selector: {app: reviews}, ports: [{name: http, port: 9080}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: reviews-v1, namespace: shop}
spec: {metadata: {labels: {app: reviews}}, template: {serviceAccount: reviews, labels: {version: v1}}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: reviews-v2, namespace: shop}
spec: {metadata: {labels: {app: reviews}}, template: {serviceAccount: reviews, labels: {version: v2}}}
---
";
const HOST: &str = "reviews.shop.svc.cluster.local";

/// The services of the shop, these documents, and a workload of each version.
fn shop(documents: &str) -> World {
    let mut world = world(&format!("{REVIEWS}{documents}"));
    for version in ["v1", "v2"] {
        let group = format!("reviews-{version}");
        world.apply(WorldChange::Workload(workload(version, "shop", &group, EndpointState::Ready)));
    }
    world
}

fn rule(name: &str, namespace: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n"
    )
}

fn route(name: &str, namespace: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n"
    )
}

/// Who is in a subset of the reviews; `None`: there is no such subset.
fn members_of(subset: &str, world: &World) -> Option<Vec<String>> {
    let host = Hostname::parse(&format!("{subset}.{HOST}.subset.leno")).unwrap();
    let keys = members(&Subscription::Host(host.clone()), world);
    keys.contains(&ResourceKey::Service(host)).then(|| {
        let slices = keys.iter().filter_map(|key| match resource(key, world).unwrap() {
            Resource::Slice(slice) => {
                Some(slice.endpoints.iter().map(|one| one.uid.to_string()).collect::<Vec<_>>())
            }
            _ => None,
        });
        slices.flatten().collect()
    })
}

/// How the endpoints of a host are balanced, by the objects that say so.
fn balancing(host: &str, world: &World) -> Vec<(String, Option<LoadBalancer>)> {
    let keys = members(&Subscription::Host(Hostname::parse(host).unwrap()), world);
    let is_own = |key: &&ResourceKey| matches!(key, ResourceKey::TrafficPolicy { host: own, .. } if own.as_str() == host);
    let policies = keys.iter().filter(is_own).filter_map(|key| match resource(key, world).unwrap() {
        Resource::TrafficPolicy(attached) => {
            Some((attached.origin.object.to_string(), attached.policy.load_balancer.clone()))
        }
        _ => None,
    });
    policies.collect()
}

fn said(world: &mut World, code: Code) -> Vec<String> {
    let findings = world.findings().into_iter().filter(|finding| finding.code == code);
    findings.map(|finding| format!("{}: {}", finding.origin.object, finding.cause)).collect()
}

const SUBSETS: &str = "{host: reviews, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}, {name: all}, {name: v3, labels: {version: v3}}]}";

#[test]
fn a_subset_is_the_workloads_with_its_labels() {
    let names = "{hosts: [reviews], http: [{route: [{destination: {host: reviews, subset: v1}, weight: 1}, {destination: {host: reviews, subset: v2}, weight: 1}, {destination: {host: reviews.shop.svc.cluster.local, subset: all}, weight: 1}], mirror: {host: reviews, subset: v3}}, {route: [{destination: {host: reviews, subset: v4}}]}]}";
    let mut world = shop(&[rule("r", "shop", SUBSETS), route("r", "shop", names)].concat());
    let check = |subset: &str, expected: Option<&[&str]>, world: &World| {
        let expected = expected.map(|uids| uids.iter().map(ToString::to_string).collect());
        assert_eq!(members_of(subset, world), expected, "{subset}");
    };
    check("v1", Some(&["v1"]), &world);
    check("v2", Some(&["v2"]), &world);
    check("all", Some(&["v1", "v2"]), &world);
    check("v3", Some(&[]), &world);
    check("v4", None, &world);
    let empty = said(&mut world, Code::NoWorkloads);
    assert!(empty.len() == 1 && empty[0].contains("subset `v3` selects no WorkloadGroup"), "{empty:?}");
    // It is there as long as somebody names it.
    world.apply(WorldChange::ObjectGone(ObjectRef::new("VirtualService", "shop", "r")));
    check("v1", None, &world);
    assert_eq!(world.outputs.subset.len() + world.outputs.subset_endpoints.len(), 0);
}

#[test]
fn the_rule_of_the_hosts_namespace_counts_before_that_of_the_mesh_and_the_narrower_before_the_wider() {
    let balances = |how: &str, host: &str| {
        format!("{{host: {host:?}, trafficPolicy: {{loadBalancer: {{simple: {how}}}}}}}")
    };
    let check = |rules: &[String], expected: &[&str]| {
        let world = shop(&rules.concat());
        let found = balancing(HOST, &world);
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, expected, "{rules:?}");
    };
    let mesh = rule("mesh", "leno-system", &balances("ROUND_ROBIN", "*.local"));
    let root = rule("root", "leno-system", &balances("ROUND_ROBIN", HOST));
    let namespace = rule("wide", "shop", &balances("ROUND_ROBIN", "*.shop.svc.cluster.local"));
    let own = rule("own", "shop", &balances("LEAST_REQUEST", "reviews"));
    let foreign = rule("foreign", "other", &balances("ROUND_ROBIN", HOST));
    let nobody = rule(
        "nobody",
        "shop",
        "{host: reviews, exportTo: ['~'], trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}}",
    );
    check(std::slice::from_ref(&mesh), &["DestinationRule/mesh.leno-system"]);
    check(&[mesh.clone(), namespace.clone()], &["DestinationRule/wide.shop"]);
    check(&[mesh.clone(), root.clone()], &["DestinationRule/root.leno-system"]);
    check(&[mesh, root, namespace, own.clone(), foreign.clone()], &["DestinationRule/own.shop"]);
    check(&[nobody, foreign.clone()], &[]);
    let mut world = shop(&[own, foreign].concat());
    let told = said(&mut world, Code::Outvoted);
    assert!(
        told.len() == 1
            && told[0].starts_with("DestinationRule/foreign.other: has no effect on reviews.shop"),
        "{told:?}"
    );
}

#[test]
fn what_is_said_of_a_subset_goes_before_what_is_said_of_its_host() {
    let spec = "{host: reviews, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}, subsets: [{name: v1, labels: {version: v1}, trafficPolicy: {loadBalancer: {simple: LEAST_REQUEST}}}, {name: v2, labels: {version: v2}}]}";
    let names = "{hosts: [reviews], http: [{route: [{destination: {host: reviews, subset: v1}, weight: 1}, {destination: {host: reviews, subset: v2}, weight: 1}]}]}";
    let world = shop(&[rule("r", "shop", spec), route("r", "shop", names)].concat());
    let check = |host: &str, expected: SimpleLoadBalancer| {
        let found = balancing(host, &world);
        assert_eq!(
            found,
            [("DestinationRule/r.shop".to_owned(), Some(LoadBalancer::Simple(expected)))],
            "{host}"
        );
    };
    check(HOST, SimpleLoadBalancer::RoundRobin);
    check(&format!("v1.{HOST}.subset.leno"), SimpleLoadBalancer::LeastRequest);
    check(&format!("v2.{HOST}.subset.leno"), SimpleLoadBalancer::RoundRobin);
}

#[test]
fn a_rule_for_nothing_is_told() {
    let mut world = shop(
        &[
            rule("a", "shop", "{host: review, subsets: [{name: v1}]}"),
            rule("b", "shop", "{host: '*.example.com', subsets: [{name: v1}]}"),
        ]
        .concat(),
    );
    let told = said(&mut world, Code::ParentNotFound);
    assert!(told[0].contains("host review.shop.svc.cluster.local is no service"), "{told:?}");
    assert!(told[1].contains("no service that is known here matches `*.example.com`"), "{told:?}");
}

#[test]
fn of_two_virtual_services_for_a_host_the_older_counts_and_the_other_is_told() {
    let spec = "{hosts: [reviews.shop.svc.cluster.local], http: [{route: [{destination: {host: reviews.shop.svc.cluster.local}}]}]}";
    let young =
        route("a", "shop", spec).replace("{name: a,", "{name: a, creationTimestamp: 2021-01-01T00:00:00Z,");
    let old =
        route("b", "other", spec).replace("{name: b,", "{name: b, creationTimestamp: 2020-01-01T00:00:00Z,");
    let wide =
        route("c", "shop", &spec.replace("[reviews.shop.svc.cluster.local]", "['*.shop.svc.cluster.local']"));
    let mut world = shop(&[young, old, wide].concat());
    let told = said(&mut world, Code::RouteConflict);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("VirtualService/a.shop: has no effect on reviews.shop.svc.cluster.local in the mesh: VirtualService/b.other"), "{told:?}");
}

#[test]
fn hosts_of_no_service_and_gateways_that_are_not_there_are_told() {
    let spec = |hosts: &str, gateways: &str| {
        format!("{{hosts: [{hosts}], {gateways}http: [{{route: [{{destination: {{host: reviews}}}}]}}]}}")
    };
    let mut world = shop(
        &[
            route("a", "shop", &spec("review", "")),
            route("b", "shop", &spec("www.example.com", "gateways: [g], ")),
            route("c", "shop", &spec("'*.example.com'", "")),
        ]
        .concat(),
    );
    let told = said(&mut world, Code::ParentNotFound);
    let expected = [
        "VirtualService/a.shop: host review.shop.svc.cluster.local is no service",
        "VirtualService/b.shop: gateway Gateway.networking.istio.io/g.shop does not exist",
        "VirtualService/c.shop: no service that is known here matches *.example.com",
    ];
    assert_eq!(told.len(), expected.len(), "{told:?}");
    assert!(told.iter().zip(expected).all(|(told, expected)| told.starts_with(expected)), "{told:?}");
}
