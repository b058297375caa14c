//! What workloads take from their callers, as their proxies and the proxies of callers get it.

use super::*;
use model::Code;
use model::mtls::MtlsMode::{self, Disable, Permissive, Strict};
use model::service::Reach;
use model::workload_host::workload_host;

const HOST: &str = "shop.default.svc.cluster.local";

const SHOP: &str = "
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp-db, port: 5432}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: shop}
spec: {metadata: {labels: {app: shop, version: v1}}, template: {}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: other}
spec: {metadata: {labels: {app: shop, version: v2}}, template: {}}
---
";

fn says(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n---\n"
    )
}

/// A world with one workload of each group.
fn shop(documents: &str) -> World {
    let mut world = world(&format!("{SHOP}{documents}"));
    for group in ["shop", "other"] {
        world.apply(WorldChange::Workload(workload(group, "default", group, EndpointState::Ready)));
    }
    world
}

/// What a port of a group's workloads takes, as their proxies know it, and callers by the service.
fn at(world: &World, group: &str, port: u16) -> (MtlsMode, Reach) {
    let get = |key| resource(&key, world).unwrap();
    let Resource::Inbound(inbound) = get(ResourceKey::Inbound("default".into(), group.into())) else {
        panic!("kind")
    };
    let Resource::Slice(slice) = get(ResourceKey::Slice(Hostname::parse(HOST).unwrap(), 0)) else {
        panic!("kind")
    };
    let endpoint = slice.endpoints.iter().find(|endpoint| &*endpoint.uid == group).unwrap();
    let told = inbound.mtls.at(port);
    assert_eq!(
        told,
        world.mtls("default", group).unwrap().at(port).mode,
        "what is explained is what is sent"
    );
    (told, endpoint.reach_at(port).clone())
}

#[test]
fn sixteen_pairs_of_a_mesh_and_a_workload() {
    let modes = [
        ("UNSET", None),
        ("STRICT", Some(Strict)),
        ("PERMISSIVE", Some(Permissive)),
        ("DISABLE", Some(Disable)),
    ];
    for (mesh, of_mesh) in modes {
        for (own, of_own) in modes {
            let world = shop(&format!(
                "{}{}",
                says("leno-system", "mesh", &format!("{{mtls: {{mode: {mesh}}}}}")),
                says(
                    "default",
                    "own",
                    &format!("{{selector: {{matchLabels: {{version: v1}}}}, mtls: {{mode: {own}}}}}")
                ),
            ));
            let reach = |mode| if mode == Disable { Reach::Plain } else { Reach::Native };
            let of_mesh = of_mesh.unwrap_or(Strict);
            let mode = of_own.unwrap_or(of_mesh);
            assert_eq!(at(&world, "shop", 8080), (mode, reach(mode)), "{mesh} {own}");
            assert_eq!(at(&world, "other", 8080), (of_mesh, reach(of_mesh)), "{mesh} {own}");
        }
    }
}

#[test]
fn a_port_counts_before_its_workload_and_the_namespace_before_the_mesh() {
    let ports = "{selector: {matchLabels: {app: shop, version: v1}}, portLevelMtls: {'8080': {mode: DISABLE}, '5432': {mode: UNSET}}}";
    let world = shop(&format!(
        "{}{}{}{}",
        says("leno-system", "mesh", "{mtls: {mode: DISABLE}}"),
        says("default", "all", "{mtls: {mode: PERMISSIVE}}"),
        says("elsewhere", "all", "{mtls: {mode: STRICT}}"),
        says("default", "ports", ports),
    ));
    assert_eq!(at(&world, "shop", 8080), (Disable, Reach::Plain));
    assert_eq!(at(&world, "shop", 5432), (Permissive, Reach::Native));
    assert_eq!(at(&world, "other", 8080), (Permissive, Reach::Native));
    let mtls = world.mtls("default", "shop").unwrap();
    let by = |port| &*mtls.at(port).origin.as_ref().unwrap().object.name;
    assert_eq!((by(8080), by(5432), by(1)), ("ports", "all", "all"));
}

/// Istio ignores it too.
#[test]
fn a_selector_in_the_root_namespace_means_nobody() {
    let text =
        says("leno-system", "mesh", "{selector: {matchLabels: {app: shop}}, mtls: {mode: PERMISSIVE}}");
    assert_eq!(at(&shop(&text), "shop", 8080), (Strict, Reach::Native));
}

/// A workload's proxy is told at once, and callers only where they must call otherwise.
#[test]
fn only_those_are_told_whom_it_concerns() {
    let mut world = shop("");
    let inbound = |group: &str| Subscription::Inbound { namespace: "default".into(), group: group.into() };
    let host = Subscription::Host(Hostname::parse(HOST).unwrap());
    // Of those who call the workload's address.
    let by_address = Subscription::Host(workload_host([10, 0, 0, 1].into()).unwrap());
    let mut change = |spec: &str| {
        let (objects, _) = api::parse::documents(&says("default", "own", spec), "f.yaml");
        let mut touched = world.apply(WorldChange::Object(Arc::new(objects[0].clone())));
        let is_told = touched.remove(&by_address);
        assert_eq!(is_told, touched.contains(&inbound("shop")));
        touched
    };
    let of_one =
        |mode: &str| format!("{{selector: {{matchLabels: {{version: v1}}}}, mtls: {{mode: {mode}}}}}");
    assert_eq!(change(&of_one("PERMISSIVE")), Touched::from([inbound("shop")]));
    assert_eq!(change(&of_one("DISABLE")), Touched::from([inbound("shop"), host.clone()]));
    assert_eq!(change("{mtls: {mode: STRICT}}"), Touched::from([inbound("shop"), host]));
    assert_eq!(change("{mtls: {mode: UNSET}}"), Touched::new());
}

#[test]
fn what_has_no_effect_is_told() {
    let check = |documents: &str, name: &str, expected: Option<(Code, &str)>| {
        let mut findings = world(&format!("{SHOP}{documents}")).findings();
        findings.retain(|finding| &*finding.origin.object.kind == "PeerAuthentication");
        let told: Vec<_> = findings.iter().map(|f| (&*f.origin.object.name, f.code)).collect();
        assert_eq!(told, expected.iter().map(|(code, _)| (name, *code)).collect::<Vec<_>>(), "{findings:?}");
        if let Some((_, word)) = expected {
            assert!(findings[0].to_string().contains(word), "{findings:?}");
        }
    };
    let app =
        |labels: &str| format!("{{selector: {{matchLabels: {{{labels}}}}}, mtls: {{mode: PERMISSIVE}}}}");
    let all = "{mtls: {mode: PERMISSIVE}}";
    check(&says("default", "a", &app("app: shop")), "a", None);
    check(&says("default", "a", &app("app: shpo")), "a", Some((Code::NoWorkloads, "no workload")));
    check(&says("empty", "a", all), "a", Some((Code::NoWorkloads, "no workload")));
    check(&says("istio-system", "a", all), "a", Some((Code::NoWorkloads, "put it into leno-system")));
    check(&says("leno-system", "a", all), "a", None);
    let two = |namespace: &str, one: &str, other: &str| {
        format!("{}{}", says(namespace, "a", one), says(namespace, "b", other))
    };
    let first = "PeerAuthentication/a.default";
    check(&two("default", all, all), "b", Some((Code::Outvoted, first)));
    check(&two("leno-system", all, all), "b", Some((Code::Outvoted, "PeerAuthentication/a.leno-system")));
    check(&two("default", all, &app("app: shop")), "b", None);
    check(&two("default", &app("version: v1"), &app("version: v2")), "b", None);
    let both = two("default", &app("version: v1"), &app("app: shop"));
    check(&both, "b", Some((Code::Outvoted, "on WorkloadGroup/shop.default")));
}

#[test]
fn a_port_that_other_clusters_cannot_reach_is_told() {
    const GLOBAL: &str = "apiVersion: leno.dev/v1alpha1\nkind: GlobalService\nmetadata: {name: shop}\nspec: {hosts: [shop.mesh.internal], backends: [{service: {name: shop}}]}\n---\n";
    let told = |documents: &str| {
        let mut findings = world(&format!("{SHOP}{documents}")).findings();
        findings.retain(|finding| finding.code == Code::PlaintextExport);
        findings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let port = |mode: &str| {
        says(
            "default",
            "p",
            &format!(
                "{{selector: {{matchLabels: {{version: v1}}}}, portLevelMtls: {{'8080': {{mode: {mode}}}}}}}"
            ),
        )
    };
    assert_eq!(told(&port("DISABLE")).len(), 0, "nobody else may call it");
    assert_eq!(told(&format!("{GLOBAL}{}", port("PERMISSIVE"))).len(), 0);
    let told = told(&format!("{GLOBAL}{}", port("DISABLE")));
    assert_eq!(told.len(), 1, "{told:?}");
    for word in
        ["WorkloadGroup/shop.default", "port 8080", "PeerAuthentication/p.default", "shop.mesh.internal:80"]
    {
        assert!(told[0].contains(word), "{told:?}");
    }
}
