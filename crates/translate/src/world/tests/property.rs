//! Whatever happens in whatever order: the outcome is that of the final state, and nobody concerned is
//! forgotten on the way.

mod gateway_api;
mod istio;
mod outside;

use super::*;
use model::trust::TrustBundle;
use proptest::prelude::*;
use std::fmt::Write as _;

/// What happens: which sort, which of its objects, and which content (0: it goes away).
type Step = (u8, u8, u8);

/// The first so many are documents.
const DOCUMENTS: u8 = 26;
const SORTS: u8 = DOCUMENTS + 5;
const WORKLOADS: u8 = DOCUMENTS;
const MORE_WORKLOADS: u8 = DOCUMENTS + 1;
const TRUST: u8 = DOCUMENTS + 2;
const SLOTS: u8 = 3;
const VARIANTS: u8 = 6;

fn pick<'a>(list: &[&'a str], number: u8) -> &'a str {
    list[usize::from(number) % list.len()]
}

fn service(slot: u8, variant: u8) -> String {
    let namespace = pick(&["a", "a", "b"], slot);
    let app = pick(&["x", "y"], variant);
    let port = pick(
        &["{name: http, port: 80, targetPort: 8080}", "{name: tcp, port: 80}", "{name: grpc, port: 81}"],
        variant,
    );
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: s{slot}, namespace: {namespace}}}\nspec: {{selector: {{app: {app}}}, ports: [{port}]}}\n"
    )
}

fn group(slot: u8, variant: u8) -> String {
    let namespace = pick(&["a", "a", "b"], slot);
    let app = pick(&["x", "y", "z"], variant);
    let account = pick(&["one", "two"], variant);
    format!(
        "apiVersion: networking.istio.io/v1\nkind: WorkloadGroup\nmetadata: {{name: g{slot}, namespace: {namespace}}}\nspec: {{metadata: {{labels: {{app: {app}}}}}, template: {{serviceAccount: {account}}}}}\n"
    )
}

fn global(slot: u8, variant: u8) -> String {
    let hosts = pick(&["x.mesh.internal", "y.mesh.internal, x.mesh.internal", "z.example.com"], variant);
    let ports = pick(&["", "ports: [{port: 80, name: http}], "], variant);
    let order = pick(&["", "failover: {order: [east, nroth]}, "], variant / 2);
    let created = pick(&["2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"], variant + slot);
    format!(
        "apiVersion: leno.dev/v1alpha1\nkind: GlobalService\nmetadata: {{name: G, namespace: {}, creationTimestamp: {created}}}\nspec: {{hosts: [{hosts}], {order}{ports}backends: [{{service: {{name: s{variant}, namespace: a}}}}, {{service: {{name: s0}}}}]}}\n",
        pick(&["a", "b", "default"], slot),
    )
    .replace("name: G,", &format!("name: gs{slot},"))
}

fn route(slot: u8, variant: u8) -> String {
    let parent = pick(
        &[
            "{name: gw0}",
            "{group: '', kind: Service, name: s0}",
            "{group: '', kind: Service, name: s1, port: 80}",
            "{group: leno.dev, kind: GlobalService, name: gs0}",
            "{name: gw1, sectionName: one}, {name: gw0}",
            "{kind: ListenerSet, name: l0}",
        ],
        variant + slot,
    );
    let backend = pick(
        &[
            "{name: s0, port: 80}",
            "{name: s1, port: 80}, {name: s0, port: 81}",
            "{group: leno.dev, kind: GlobalService, name: gs0}",
            "{group: leno.dev, kind: Backend, name: b0}",
            "{name: s01, port: 80}",
        ],
        variant,
    );
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r{slot}, namespace: a}}\nspec: {{parentRefs: [{parent}], rules: [{{backendRefs: [{backend}]}}, {{matches: [{{method: GET}}]}}]}}\n"
    )
}

fn gateway(slot: u8, variant: u8) -> String {
    let class = pick(&["leno", "leno-east-west", "leno"], variant);
    let allowed = pick(&["Same", "All", "Selector, selector: {matchLabels: {team: red}}"], variant / 2);
    let name = pick(&["gw0", "gw1", "g0"], slot);
    let protocol = pick(&["HTTP", "TCP", "UDP"], variant);
    let sets = pick(&["Same", "All", "None"], variant);
    let tls = pick(
        &[
            "protocol: HTTPS, tls: {certificateRefs: [{name: s0}]}",
            "protocol: TLS, tls: {mode: Passthrough}",
            "protocol: TLS, tls: {certificateRefs: [{name: s1}, {name: s0, namespace: b}]}",
        ],
        variant,
    );
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: {name}, namespace: a}}\nspec: {{gatewayClassName: {class}, allowedListeners: {{namespaces: {{from: {sets}}}}}, listeners: [{{name: one, port: 80, protocol: HTTP, allowedRoutes: {{namespaces: {{from: {allowed}}}}}}}, {{name: two, port: 81, protocol: {protocol}}}, {{name: three, port: 443, {tls}}}]}}\n"
    )
}

fn policy(slot: u8, variant: u8) -> String {
    let namespace = pick(&["a", "leno-system", "b"], slot);
    let who = pick(
        &[
            "selector: {matchLabels: {app: x}}, ",
            "",
            "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: gw0}], ",
        ],
        variant,
    );
    let what = pick(
        &[
            "rules: [{to: [{operation: {ports: ['80'], methods: [GET]}}]}]",
            "rules: [{from: [{source: {namespaces: [a]}}]}]",
            "action: DENY, rules: [{to: [{operation: {paths: [/a]}}]}]",
            "action: DENY, rules: [{to: [{operation: {ports: ['8080', '81']}}]}]",
        ],
        variant + slot,
    );
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p, namespace: {namespace}}}\nspec: {{{who}{what}}}\n"
    )
}

fn leno(slot: u8, variant: u8) -> String {
    let suffix = pick(&["example.com", "corp.test"], variant);
    let zone = pick(&["a", "b"], variant);
    let team = pick(&["red", "blue"], variant);
    match slot {
        0 => format!(
            "apiVersion: leno.dev/v1alpha1\nkind: MeshSettings\nmetadata: {{name: m}}\nspec: {{dns: {{suffixes: [{suffix}]}}}}\n"
        ),
        1 => format!(
            "apiVersion: leno.dev/v1alpha1\nkind: Cluster\nmetadata: {{name: west}}\nspec: {{zone: {zone}, gateways: [172.30.0.1]}}\n"
        ),
        _ => format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: a, labels: {{team: {team}}}}}\n"),
    }
}

fn backend(slot: u8, variant: u8) -> String {
    format!(
        "apiVersion: leno.dev/v1alpha1\nkind: Backend\nmetadata: {{name: b{}, namespace: a}}\nspec: {{type: Static, addresses: [{{host: 10.0.0.{variant}, port: 9000}}]}}\n",
        slot % 2
    )
}

/// What stands beside others of its kind.
fn beside(slot: u8, variant: u8) -> String {
    let domain = pick(&["leno.test", "other.test"], variant);
    match slot {
        0 => format!(
            "apiVersion: leno.dev/v1alpha1\nkind: MeshSettings\nmetadata: {{name: default}}\nspec: {{trustDomain: {domain}, pathNormalization: {{normalization: NONE}}}}\n"
        ),
        1 => format!(
            "apiVersion: leno.dev/v1alpha1\nkind: Cluster\nmetadata: {{name: north}}\nspec: {{zone: z{variant}}}\n"
        ),
        _ => format!(
            "apiVersion: leno.dev/v1alpha1\nkind: Cluster\nmetadata: {{name: south}}\nspec: {{zone: z{variant}}}\n"
        ),
    }
}

/// Of the mesh, a namespace, and workloads with a port of their own.
fn peer_authentication(slot: u8, variant: u8) -> String {
    let namespace = pick(&["leno-system", "a", "a"], slot);
    let created = pick(&["2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"], variant + slot);
    let mode = pick(&["STRICT", "DISABLE", "UNSET", "PERMISSIVE"], variant);
    let app = pick(&["x", "y"], variant / 2);
    let narrow = match (slot, variant % 3) {
        (2, 0 | 1) => format!(
            ", selector: {{matchLabels: {{app: {app}}}}}, portLevelMtls: {{'8080': {{mode: DISABLE}}, '81': {{mode: UNSET}}}}"
        ),
        _ => String::new(),
    };
    format!(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: pa{slot}, namespace: {namespace}, creationTimestamp: {created}}}\nspec: {{mtls: {{mode: {mode}}}{narrow}}}\n"
    )
}

fn traffic(slot: u8, variant: u8) -> String {
    let target = pick(
        &[
            "{kind: Service, name: s0}",
            "{group: leno.dev, kind: GlobalService, name: gs0}",
            "{group: leno.dev, kind: Backend, name: b0}, {kind: Service, name: s1}",
            "{group: gateway.networking.k8s.io, kind: Gateway, name: gw0}, {kind: Service, name: s0}",
            "{group: gateway.networking.k8s.io, kind: Gateway, name: gw1, sectionName: two}",
        ],
        variant,
    );
    let backend = pick(
        &[
            "backend: {loadBalancer: {simple: ROUND_ROBIN}}, ",
            "backend: {loadBalancer: {consistentHash: {httpHeaderName: x}}}, client: {headers: {requestID: Disable}}, ",
            "client: {proxyProtocol: {trustedCIDRs: [10.0.0.1]}}, ",
            "",
        ],
        variant / 2,
    );
    format!(
        "apiVersion: leno.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: t{slot}, namespace: a}}\nspec: {{{backend}targetRefs: [{target}]}}\n"
    )
}

/// The document of a sort that comes as one.
fn document(sort: u8, slot: u8, content: u8) -> String {
    match sort {
        0 | 1 => service(slot, content),
        2 | 3 => group(slot, content),
        4 => global(slot, content),
        5 | 6 => route(slot, content),
        7 => gateway(slot, content),
        8 => policy(slot, content),
        9 => leno(slot, content),
        10 => backend(slot, content),
        11 => traffic(slot, content),
        12 => peer_authentication(slot, content),
        13 => istio::virtual_service(slot, content),
        14 => istio::destination_rule(slot, content),
        15 => istio::beside(slot, content),
        16 => outside::backend_tls(slot, content),
        17 => outside::entry(slot, content),
        18 => outside::secret(slot, content),
        19 => gateway_api::tcp_route(slot, content),
        20 => gateway_api::reference_grant(slot, content),
        21 => gateway_api::udp_route(slot, content),
        22 => gateway_api::tls_route(slot, content),
        23 => gateway_api::listener_set(slot, content),
        24 => gateway_api::grpc_route(slot, content),
        _ => beside(slot, content),
    }
}

#[test]
fn every_kind_is_among_the_documents() {
    let all = (0..DOCUMENTS).flat_map(|sort| (0..SLOTS).map(move |slot| document(sort, slot, 1)));
    let all: String = all.collect();
    for kind in api::kinds::ALL {
        let start = format!("apiVersion: {}\nkind: {}\n", kind.api_version(), kind.written());
        assert!(all.contains(&start), "{} is never changed here", kind.kind);
    }
}

/// What was refused, which is told apart from what does not exist.
fn refused((_, slot, variant): Step) -> Vec<Finding> {
    let object = match slot {
        0 => ObjectRef::new("Gateway", "a", "gw0"),
        1 => ObjectRef::new("Service", "a", "s01"),
        _ => ObjectRef::new("Backend", "a", "b0"),
    };
    let origin = model::Origin { object, file: "f.yaml".into(), line: u32::from(variant) };
    let finding = Finding::new(model::Code::BadValue, &origin, "is refused", "");
    if variant == 0 { Vec::new() } else { vec![finding] }
}

fn change((sort, slot, variant): Step) -> WorldChange {
    let (gone, content) = (variant == 0, variant.max(1));
    let document = match sort {
        0..DOCUMENTS => document(sort, slot, content),
        WORKLOADS | MORE_WORKLOADS => {
            let (uid, namespace) = (format!("w{slot}{}", content % 2), pick(&["a", "a", "b"], slot));
            let state = if content > 3 { EndpointState::Draining } else { EndpointState::Ready };
            return match gone {
                true => WorldChange::WorkloadGone(uid.as_str().into()),
                false => WorldChange::Workload(workload(&uid, namespace, &format!("g{slot}"), state)),
            };
        }
        TRUST => {
            let domain = TrustDomain::parse("leno.test").unwrap();
            let bundle = TrustBundle { trust_domain: domain, roots: vec![vec![content]] };
            return WorldChange::Trust(if gone { Vec::new() } else { vec![bundle] });
        }
        _ => {
            let cluster = pick(&["east", "north", "west"], slot);
            let hosts =
                [&["x.mesh.internal"][..], &["x.mesh.internal", "z.example.com"]][usize::from(content % 2)];
            return match gone {
                true => WorldChange::RemoteGone(cluster.into()),
                false => WorldChange::Remote(remote(cluster, u32::from(content - 1), hosts)),
            };
        }
    };
    let (objects, findings) = api::parse::documents(&document, "f.yaml");
    assert!(findings.is_empty(), "{document}: {findings:?}");
    match gone {
        true => WorldChange::ObjectGone(objects[0].object.clone()),
        false => WorldChange::Object(Arc::new(objects[0].clone())),
    }
}

type Contents = BTreeMap<Subscription, Vec<(ResourceKey, Resource)>>;

/// All that anybody could ask for.
fn contents(world: &World) -> Contents {
    let hosts = ["s0.a", "s1.a", "s2.b"].map(|name| format!("{name}.svc.cluster.local")).into_iter();
    let hosts = hosts.chain(
        ["x.mesh.internal", "y.mesh.internal", "z.example.com", "e.example.net", "b0.a.backend.leno"]
            .map(String::from),
    );
    let hosts = hosts.chain(istio::SUBSETS.map(String::from));
    let mut subscriptions = vec![Subscription::Mesh, Subscription::Exports, Subscription::Clusters];
    subscriptions.extend(hosts.map(|host| Subscription::Host(Hostname::parse(&host).unwrap())));
    subscriptions.extend(world.addresses().into_values().map(Subscription::Address));
    for (namespace, name) in [("a", "g0"), ("a", "g1"), ("b", "g2"), ("a", "gw0"), ("a", "gw1")] {
        subscriptions.push(Subscription::Inbound { namespace: namespace.into(), group: name.into() });
        subscriptions.push(Subscription::Gateway { namespace: namespace.into(), name: name.into() });
    }
    let content = |subscription: &Subscription| {
        let keys = members(subscription, world).into_iter();
        keys.map(|key| (key.clone(), resource(&key, world).unwrap_or_else(|| panic!("{key} has no content"))))
            .collect()
    };
    // Without content: an address that was allotted once is kept, and means nothing as long as its host is gone.
    let all = subscriptions.into_iter().map(|subscription| (subscription.clone(), content(&subscription)));
    all.filter(|(_, content): &(_, Vec<_>)| !content.is_empty()).collect()
}

/// Takes one step; the last sort is about what was refused.
fn take(step: Step, world: &mut World) -> Touched {
    if step.0 == SORTS - 1 {
        world.set_refused(&refused(step));
        return Touched::new();
    }
    world.apply(change(step))
}

/// A world that has been told nothing but what is so after these steps.
fn from_scratch(steps: &[Step], addresses: BTreeMap<Hostname, Ipv4Addr>) -> World {
    let mut scratch = World::new(place());
    scratch.apply(WorldChange::Addresses(addresses));
    for change in final_state(steps) {
        scratch.apply(change);
    }
    scratch.set_refused(&last_refused(steps));
    scratch
}

fn last_refused(steps: &[Step]) -> Vec<Finding> {
    steps.iter().rev().find(|step| step.0 == SORTS - 1).map(|step| refused(*step)).unwrap_or_default()
}

fn final_state(steps: &[Step]) -> Vec<WorldChange> {
    let mut last: BTreeMap<String, WorldChange> = BTreeMap::new();
    for step in steps.iter().filter(|step| step.0 != SORTS - 1) {
        let change = change(*step);
        let mut name = String::new();
        match &change {
            WorldChange::Object(object) => write!(name, "object {}", object.object),
            WorldChange::ObjectGone(object) => write!(name, "object {object}"),
            WorldChange::Workload(workload) => write!(name, "workload {}", workload.uid),
            WorldChange::WorkloadGone(uid) => write!(name, "workload {uid}"),
            WorldChange::Remote(remote) => write!(name, "remote {}", remote.cluster),
            WorldChange::RemoteGone(cluster) => write!(name, "remote {cluster}"),
            WorldChange::Trust(_) => write!(name, "trust"),
            WorldChange::Addresses(_) => Ok(()),
        }
        .unwrap();
        last.insert(name, change);
    }
    let gone = |change: &WorldChange| {
        matches!(
            change,
            WorldChange::ObjectGone(_) | WorldChange::WorkloadGone(_) | WorldChange::RemoteGone(_)
        )
    };
    last.into_values().filter(|change| !gone(change)).collect()
}

/// How a slip of the hand changes a text: where (in 65536ths of it), which slip, and which of the pieces.
type Slip = (u16, u8, u8);

/// What people and programs put where it does not belong.
const PIECES: [&str; 12] =
    ["", " ", "\n", ":", "{", "]", "'", "null", "-1", "\u{e9}\u{0}", "*a", "99999999999999999999"];

fn slip(text: &mut String, (place, sort, piece): Slip) {
    let at = text.len() * usize::from(place) / 65536;
    let at = (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let next = text[at..].char_indices().nth(1 + usize::from(piece % 7)).map_or(text.len(), |(i, _)| at + i);
    let replaced = text[at..next].to_owned();
    match sort {
        0 => text.replace_range(at..next, ""),
        1 => text.insert_str(at, &replaced),
        2 => text.replace_range(at..next, PIECES[usize::from(piece) % PIECES.len()]),
        _ => text.insert_str(at, PIECES[usize::from(piece) % PIECES.len()]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_slip_of_the_hand_panics_or_goes_unsaid(
        sort in 0..DOCUMENTS,
        slot in 0..SLOTS,
        content in 1..VARIANTS,
        slips in prop::collection::vec((any::<u16>(), 0..4_u8, any::<u8>()), 1..5),
    ) {
        let mut text = document(sort, slot, content);
        for one in slips {
            slip(&mut text, one);
        }
        let (objects, findings) = api::parse::documents(&text, "f.yaml");
        let says_something = text.lines().any(|line| !line.trim_start().starts_with(['#', '-', '.', '%']) && !line.trim().is_empty());
        prop_assert!(!objects.is_empty() || !findings.is_empty() || !says_something, "{text}");
        let mut world = World::new(place());
        for step in [(0, 0, 1), (2, 0, 1), (4, 0, 1), (7, 0, 1), (7, 2, 1), (13, 0, 1), (12, 2, 1), (16, 0, 2)] {
            world.apply(change(step));
        }
        for object in objects {
            world.apply(WorldChange::Object(Arc::new(object)));
        }
        contents(&world);
        world.findings();
        world.export();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn incremental_equals_from_scratch_and_touches_all(
        steps in prop::collection::vec((0..SORTS, 0..SLOTS, 0..VARIANTS), 1..60),
    ) {
        let mut incremental = World::new(place());
        let mut before = contents(&incremental);
        for (at, step) in steps.iter().enumerate() {
            let touched = take(*step, &mut incremental);
            let after = contents(&incremental);
            for subscription in after.keys().chain(before.keys()) {
                let none = Vec::new();
                let (old, new) = (before.get(subscription).unwrap_or(&none), after.get(subscription).unwrap_or(&none));
                prop_assert!(
                    old == new || touched.contains(subscription),
                    "{step:?} changed {subscription} silently\nfrom {old:#?}\nto {new:#?}"
                );
            }
            before = after;
            // As a control plane does after each change; what is told now is looked at again only if it may differ.
            incremental.set_refused(&last_refused(&steps[..=at]));
            let findings = incremental.findings();
            if at % 8 == 7 {
                let mut scratch = from_scratch(&steps[..=at], incremental.addresses());
                prop_assert_eq!(scratch.findings(), findings, "after {:?}", step);
            }
        }
        let mut scratch = from_scratch(&steps, incremental.addresses());
        prop_assert_eq!(contents(&scratch), contents(&incremental));
        let all = incremental.findings();
        prop_assert_eq!(&scratch.findings(), &all);
        prop_assert_eq!(scratch.export(), incremental.export());
        let objects: Vec<ObjectRef> = incremental.objects().map(|object| object.object.clone()).collect();
        for object in &objects {
            let about: Vec<Finding> =
                all.iter().filter(|finding| finding.origin.object == *object).cloned().collect();
            let mut found = incremental.findings_about([object]);
            found.sort_by_key(|finding| (finding.origin.line, finding.code));
            prop_assert_eq!(found, about);
        }
        for name in ["g0", "gw0", "gw1"] {
            let proxy = ProxyKey { namespace: "a".into(), group: name.into() };
            prop_assert_eq!(visible(&proxy, &scratch), visible(&proxy, &incremental));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_tried_tells_what_would_be_and_leaves_nothing(
        steps in prop::collection::vec((0..SORTS, 0..SLOTS, 0..VARIANTS), 1..30),
        tried in prop::collection::vec((0..DOCUMENTS, 0..SLOTS, 0..VARIANTS), 1..10),
    ) {
        let [mut world, mut other] = [(); 2].map(|()| World::new(place()));
        for step in &steps {
            take(*step, &mut world);
            take(*step, &mut other);
        }
        let before = (contents(&world), world.findings(), world.export(), world.addresses());
        let seen = world.try_out(tried.iter().map(|step| change(*step)).collect(), |world| {
            (contents(world), world.findings())
        });
        for step in &tried {
            other.apply(change(*step));
        }
        prop_assert_eq!(seen, (contents(&other), other.findings()));
        prop_assert_eq!((contents(&world), world.findings(), world.export(), world.addresses()), before);
    }
}
