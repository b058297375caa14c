//! What the configuration of a large mesh costs in `translate`: memory, and the time of a change. In this process,
//! with the library code that ships. Measured, never asserted.

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use api::Object;
use model::service::EndpointState;
use model::{Locality, SpiffeId, TrustDomain};
use serde_json::json;
use translate::{JoinedWorkload, LocalCluster, World, WorldChange};

use crate::options::Options;
use crate::report::ScenarioReport;
use crate::statistics::median;
use crate::{allocations, process};

/// Services, each with a WorkloadGroup and a workload of its own.
const SERVICES: usize = 10_000;
/// HTTPRoutes, each on a Service of its own.
const ROUTES: usize = 1000;
/// AuthorizationPolicies; each tenth is for all workloads of its namespace.
const POLICIES: usize = 1000;
/// GlobalServices, each on a Service of its own.
const GLOBALS: usize = 100;
/// Namespaces, all equally large.
const NAMESPACES: usize = 100;
/// Changes of each sort that are timed.
const CHANGES: usize = 200;
/// How often all findings are asked for, after each sort of change.
const LOOKS: usize = 5;

pub(crate) fn run(options: &Options) -> Result<ScenarioReport> {
    let measured = measure()?;
    let changes: Vec<_> = measured
        .changes
        .iter()
        .map(|one| json!({"what": one.what, "change_us": one.change_us, "findings_ms": one.findings_ms}))
        .collect();
    let line = json!({
        "objects_mib": measured.objects_mib, "world_mib": measured.world_mib, "scratch_ms": measured.scratch_ms,
        "findings_ms": measured.findings_ms, "changes": changes,
    });
    options.folder()?.append("world.jsonl", &line.to_string())?;
    Ok(ScenarioReport { section: section(&measured), charts: Vec::new(), figures: Vec::new() })
}

/// What a world of many objects costs.
struct ManyObjects {
    /// Heap of the objects, and of all that is made of them and of the workloads.
    objects_mib: f64,
    world_mib: f64,
    /// Until all of them are taken in, one after the other.
    scratch_ms: f64,
    /// All findings for the first time, and how many there are.
    findings_ms: f64,
    findings: usize,
    changes: Vec<OneChange>,
}

/// What one change costs, medians.
struct OneChange {
    what: &'static str,
    /// Until it is known which proxies it concerns.
    change_us: f64,
    /// All findings after it.
    findings_ms: f64,
}

fn section(measured: &ManyObjects) -> String {
    let mut out = String::from(ABOUT);
    let _ = writeln!(out, "Machine: {}.\n", process::machine());
    let _ = writeln!(
        out,
        "| {SERVICES} Services, {ROUTES} HTTPRoutes, {POLICIES} AuthorizationPolicies, {GLOBALS} GlobalServices | |\n\
         |---|---|\n| heap of the objects, MiB | {:.1} |\n| heap of the world without them, MiB | {:.1} |\n\
         | from nothing, one after the other, ms | {:.0} |\n| all findings for the first time ({}), ms | {:.1} |\n",
        measured.objects_mib,
        measured.world_mib,
        measured.scratch_ms,
        measured.findings,
        measured.findings_ms
    );
    out.push_str("| change of | which proxies, µs | all findings then, ms |\n|---|---|---|\n");
    for one in &measured.changes {
        let _ = writeln!(out, "| {} | {:.1} | {:.2} |", one.what, one.change_us, one.findings_ms);
    }
    out
}

fn measure() -> Result<ManyObjects> {
    let text = documents();
    let (objects, objects_bytes) = allocations::held(|| read(&text));
    let objects = objects?;
    let workloads: Vec<JoinedWorkload> = (0..SERVICES).filter_map(|n| workload(n, 0)).collect();
    let mut world = World::new(place()?);
    let ((scratch_ms, (findings_ms, findings)), world_bytes) = allocations::held(|| {
        let began = Instant::now();
        for object in objects {
            world.apply(WorldChange::Object(object));
        }
        for workload in workloads {
            world.apply(WorldChange::Workload(workload));
        }
        (milliseconds(began), look(&mut world))
    });
    let mut changes = Vec::new();
    for (what, make) in CHANGED {
        changes.push(change(what, make, &mut world)?);
    }
    let mib = |bytes: i64| bytes as f64 / f64::from(1 << 20);
    Ok(ManyObjects {
        objects_mib: mib(objects_bytes),
        world_mib: mib(world_bytes),
        scratch_ms,
        findings_ms,
        findings,
        changes,
    })
}

/// What is changed: from the number of the object and that of the change.
type Make = fn(usize, usize) -> Result<WorldChange>;

const CHANGED: [(&str, Make); 6] = [
    ("a Service", |n, round| one(&service(n, 8080 + round % 2))),
    ("a WorkloadGroup", |n, round| one(&group(n, 1 + round % 2))),
    ("a workload", |n, round| Ok(WorldChange::Workload(workload(n, round).context("make a workload")?))),
    ("an HTTPRoute", |n, round| one(&route(n % ROUTES, round))),
    ("a GlobalService", |n, round| one(&global(n % GLOBALS, round))),
    ("an AuthorizationPolicy", |n, round| one(&policy(n % POLICIES, round))),
];

fn change(what: &'static str, make: Make, world: &mut World) -> Result<OneChange> {
    let mut times = Vec::new();
    let mut findings = Vec::new();
    for round in 1..=CHANGES {
        // 7 is prime to all counts, so each object has its turn.
        let change = make(round * 7, round)?;
        let began = Instant::now();
        black_box(world.apply(change));
        times.push(milliseconds(began) * 1000.0);
        if round <= LOOKS {
            findings.push(look(world).0);
        }
    }
    Ok(OneChange { what, change_us: median(times.into_iter()), findings_ms: median(findings.into_iter()) })
}

/// How long it takes to have all findings, in milliseconds, and how many there are.
fn look(world: &mut World) -> (f64, usize) {
    let began = Instant::now();
    let count = black_box(world.findings()).len();
    (milliseconds(began), count)
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

fn read(text: &str) -> Result<Vec<Arc<Object>>> {
    let (objects, findings) = api::parse::documents(text, "bench.yaml");
    ensure!(findings.is_empty(), "the documents are not in order: {:?}", findings.first());
    Ok(objects.into_iter().map(Arc::new).collect())
}

fn one(text: &str) -> Result<WorldChange> {
    Ok(WorldChange::Object(read(text)?.pop().context("read one document")?))
}

fn place() -> Result<LocalCluster> {
    Ok(LocalCluster {
        cluster: "bench".into(),
        network: "bench".into(),
        locality: Locality::default(),
        trust_domain: TrustDomain::parse("leno.bench").context("read the trust domain")?,
    })
}

/// All documents, those that are referred to first.
fn documents() -> String {
    let mut all = Vec::new();
    all.extend((0..SERVICES).map(|n| group(n, 1)));
    all.extend((0..SERVICES).map(|n| service(n, 8080)));
    all.extend((0..GLOBALS).map(|n| global(n, 0)));
    all.extend((0..ROUTES).map(|n| route(n, 0)));
    all.extend((0..POLICIES).map(|n| policy(n, 0)));
    all.join("---\n")
}

fn head(version: &str, kind: &str, name: &str, n: usize) -> String {
    let namespace = n % NAMESPACES;
    format!(
        "apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}-{n}, namespace: ns-{namespace}}}\n"
    )
}

fn service(n: usize, target: usize) -> String {
    let mut text = head("v1", "Service", "shop", n);
    let _ = writeln!(
        text,
        "spec: {{selector: {{app: shop-{n}}}, ports: [{{name: http, port: 80, targetPort: {target}}}, {{name: tcp-db, port: 5432}}]}}"
    );
    text
}

fn group(n: usize, weight: usize) -> String {
    let mut text = head("networking.istio.io/v1", "WorkloadGroup", "shop", n);
    let _ = writeln!(
        text,
        "spec: {{metadata: {{labels: {{app: shop-{n}, team: bench}}}}, template: {{serviceAccount: shop, weight: {weight}}}}}"
    );
    text
}

fn global(n: usize, round: usize) -> String {
    let mut text = head("leno.dev/v1alpha1", "GlobalService", "shop", n);
    let _ = writeln!(
        text,
        "spec: {{hosts: [shop-{n}.mesh.internal], failover: {{order: [bench-{round}]}}, backends: [{{service: {{name: shop-{n}}}}}]}}"
    );
    text
}

fn route(n: usize, round: usize) -> String {
    let mut text = head("gateway.networking.k8s.io/v1", "HTTPRoute", "shop", n);
    let _ = writeln!(
        text,
        "spec: {{parentRefs: [{{group: '', kind: Service, name: shop-{n}}}], rules: [{{matches: [{{path: {{value: /{round}}}}}], backendRefs: [{{name: shop-{n}, port: 80}}]}}]}}"
    );
    text
}

fn policy(n: usize, round: usize) -> String {
    let mut text = head("security.istio.io/v1", "AuthorizationPolicy", "shop", n);
    let selector = match n % 10 {
        0 => String::new(),
        _ => format!("selector: {{matchLabels: {{app: shop-{n}}}}}, "),
    };
    let _ = writeln!(
        text,
        "spec: {{{selector}rules: [{{from: [{{source: {{namespaces: [ns-{round}]}}}}], to: [{{operation: {{ports: ['8080', '5432']}}}}]}}]}}"
    );
    text
}

fn workload(n: usize, round: usize) -> Option<JoinedWorkload> {
    let namespace = n % NAMESPACES;
    Some(JoinedWorkload {
        uid: format!("bench/ns-{namespace}/shop-{n}-a").into(),
        namespace: format!("ns-{namespace}").into(),
        group: format!("shop-{n}").into(),
        address: [10, 0, (n / 256) as u8, (n % 256) as u8].into(),
        identity: SpiffeId::parse(&format!("spiffe://leno.bench/ns/ns-{namespace}/sa/shop"))?,
        locality: Locality::default(),
        state: if round % 2 == 1 { EndpointState::Draining } else { EndpointState::Ready },
    })
}

const ABOUT: &str = "## Many objects

The world of `translate` alone, in the bench's own process: each Service has a WorkloadGroup and one workload, in 100
namespaces; each tenth policy is for its whole namespace. Heap is bytes as asked for, counted by the allocator. Times of
changes are medians: of taking in one change and knowing which proxies it concerns, and of all findings after it.

";
