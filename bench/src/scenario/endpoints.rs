//! What endpoints cost: memory of each at a control plane and at a proxy, and the time until a change of one is in
//! force there. In this process, with the library code that ships. Measured, never asserted.

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use decide::balance::ProxyLocality;
use model::service::EndpointState;
use model::{Hostname, Locality, Resource, ResourceKey, SpiffeId, Subscription, TrustDomain};
use proxy::snapshot::{LocalNode, SnapshotChange, SnapshotStore};
use serde_json::json;
use translate::{JoinedWorkload, LocalCluster, World, WorldChange};
use xds::wire::Any;

use crate::gates::Figure;
use crate::options::Options;
use crate::received::{self, read};
use crate::report::ScenarioReport;
use crate::statistics::median;
use crate::{allocations, process};

/// How many endpoints there are together.
const ENDPOINTS: [usize; 4] = [100, 1000, 10_000, 100_000];
/// Endpoints of one service.
const OF_SERVICE: usize = 100;
/// Changes that are timed.
const CHANGES: usize = 200;

pub(crate) fn run(options: &Options) -> Result<ScenarioReport> {
    let mut rows = Vec::new();
    for endpoints in ENDPOINTS {
        let row = measure(endpoints)?;
        let line = json!({
            "endpoints": row.endpoints, "control_b": row.control_b, "proxy_b": row.proxy_b,
            "scratch_ms": row.scratch_ms, "world_us": row.world_us, "proxy_us": row.proxy_us,
        });
        options.folder()?.append("endpoints.jsonl", &line.to_string())?;
        rows.push(row);
    }
    let figure =
        |row: &ManyEndpoints| Figure::exact(format!("endpoints/{}/proxy", row.endpoints), row.proxy_b);
    let figures = rows.iter().map(figure).collect();
    Ok(ScenarioReport { section: section(&rows), charts: Vec::new(), figures })
}

/// What so many endpoints cost.
struct ManyEndpoints {
    endpoints: usize,
    /// Heap of each in the world of a control plane, and in the snapshot of a proxy that has asked for all services.
    control_b: f64,
    proxy_b: f64,
    /// Until the proxy has taken all of them in, in one change.
    scratch_ms: f64,
    /// One that changes, medians: until the world knows whom it concerns, and until the proxy's snapshot has it.
    world_us: f64,
    proxy_us: f64,
}

fn section(rows: &[ManyEndpoints]) -> String {
    let mut out = String::from(ABOUT);
    let _ = writeln!(out, "Machine: {}.\n", process::machine());
    out.push_str(
        "| endpoints | B each, control plane | B each, proxy | all taken in by the proxy, ms | one changes: control plane, \
         µs | one changes: proxy, µs |\n|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let _ = writeln!(
            out,
            "| {} | {:.0} | {:.0} | {:.1} | {:.1} | {:.1} |",
            row.endpoints, row.control_b, row.proxy_b, row.scratch_ms, row.world_us, row.proxy_us
        );
    }
    out
}

fn measure(endpoints: usize) -> Result<ManyEndpoints> {
    let services = endpoints.div_ceil(OF_SERVICE);
    let mut world = world(services)?;
    let empty = sent(&world, services)?;
    let (made, control_bytes) = allocations::held(|| -> Result<()> {
        for n in 0..endpoints {
            world.apply(WorldChange::Workload(workload(n, 0)?));
        }
        Ok(())
    });
    made?;
    let store = SnapshotStore::new(&node());
    store.apply(SnapshotChange { upserts: read(&empty)?, ..SnapshotChange::default() });
    // As they come over a network: nothing is shared with the world.
    let full = sent(&world, services)?;
    let (scratch_ms, proxy_bytes) = allocations::held(|| -> Result<f64> {
        let upserts = read(&full)?;
        let began = Instant::now();
        store.apply(SnapshotChange { upserts, ..SnapshotChange::default() });
        Ok(began.elapsed().as_secs_f64() * 1e3)
    });
    let (mut world_us, mut proxy_us) = (Vec::new(), Vec::new());
    for round in 1..=CHANGES {
        // 7919 is prime, so each service has its turn.
        let n = round * 7919 % endpoints;
        let workload = workload(n, round)?;
        let began = Instant::now();
        black_box(world.apply(WorldChange::Workload(workload)));
        world_us.push(began.elapsed().as_secs_f64() * 1e6);
        let upserts = read(&slices(&world, n / OF_SERVICE)?)?;
        let began = Instant::now();
        // A control plane sends the slice that changed and no other.
        let changed = upserts.into_iter().filter(|(_, resource)| holds(resource, n));
        store.apply(SnapshotChange { upserts: changed.collect(), ..SnapshotChange::default() });
        proxy_us.push(began.elapsed().as_secs_f64() * 1e6);
    }
    let held: usize = store.snapshot().hosts().map(|entry| entry.endpoints.len()).sum();
    ensure!(held == endpoints, "the proxy holds {held} of {endpoints} endpoints");
    Ok(ManyEndpoints {
        endpoints,
        control_b: control_bytes as f64 / endpoints as f64,
        proxy_b: proxy_bytes as f64 / endpoints as f64,
        scratch_ms: scratch_ms?,
        world_us: median(world_us.into_iter()),
        proxy_us: median(proxy_us.into_iter()),
    })
}

fn holds(resource: &Resource, n: usize) -> bool {
    let uid = uid(n);
    matches!(resource, Resource::Slice(slice) if slice.endpoints.iter().any(|endpoint| *endpoint.uid == *uid))
}

fn world(services: usize) -> Result<World> {
    let mut world = World::new(LocalCluster {
        cluster: "bench".into(),
        network: "bench".into(),
        locality: Locality { region: "eu-west".into(), zone: "eu-west-1a".into() },
        trust_domain: TrustDomain::parse("leno.bench").context("read the trust domain")?,
    });
    let text: Vec<String> = (0..services).map(documents).collect();
    let (objects, findings) = api::parse::documents(&text.join("---\n"), "bench.yaml");
    ensure!(findings.is_empty(), "the documents are not in order: {:?}", findings.first());
    for object in objects {
        world.apply(WorldChange::Object(Arc::new(object)));
    }
    Ok(world)
}

fn documents(service: usize) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: WorkloadGroup\nmetadata: {{name: shop-{service}}}\n\
         spec: {{metadata: {{labels: {{app: shop-{service}}}}}, template: {{serviceAccount: shop}}}}\n---\n\
         apiVersion: v1\nkind: Service\nmetadata: {{name: shop-{service}}}\n\
         spec: {{selector: {{app: shop-{service}}}, ports: [{{name: http, port: 80}}]}}\n"
    )
}

fn uid(n: usize) -> String {
    let random = (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16;
    model::id::uid("bench", "default", &format!("shop-{}", n / OF_SERVICE), &format!("{random:012x}"))
}

fn workload(n: usize, round: usize) -> Result<JoinedWorkload> {
    Ok(JoinedWorkload {
        uid: uid(n).into(),
        namespace: "default".into(),
        group: format!("shop-{}", n / OF_SERVICE).into(),
        address: std::net::Ipv4Addr::from(0x0a00_0000 | u32::try_from(n)?).into(),
        identity: SpiffeId::parse("spiffe://leno.bench/ns/default/sa/shop").context("read the identity")?,
        locality: Locality::default(),
        state: if round % 2 == 1 { EndpointState::Draining } else { EndpointState::Ready },
    })
}

fn host(service: usize) -> Result<Hostname> {
    Hostname::parse(&format!("shop-{service}.default.svc.cluster.local")).context("read the host")
}

/// All that a proxy is sent that asks for all services.
fn sent(world: &World, services: usize) -> Result<Vec<(ResourceKey, Any)>> {
    let mut all = Vec::new();
    for service in 0..services {
        all.extend(slices(world, service)?);
    }
    Ok(all)
}

/// What a service is sent as.
fn slices(world: &World, service: usize) -> Result<Vec<(ResourceKey, Any)>> {
    Ok(received::sent(world, &Subscription::Host(host(service)?)))
}

fn node() -> LocalNode {
    LocalNode {
        uid: "bench/default/caller-0".into(),
        namespace: "default".into(),
        group: "caller".into(),
        network: "bench".into(),
        place: ProxyLocality { cluster: "bench".into(), locality: Locality::default() },
        addresses: vec![[10, 255, 0, 1].into()],
    }
}

const ABOUT: &str = "## Many endpoints

Workloads of services with 100 each, in the bench's own process: in the world of a control plane, and in the snapshot of
a proxy that has asked for all of these services and reads them as they come over a network. Heap is bytes as asked for,
counted by the allocator, without what the services cost before they have endpoints. Times of a change are medians.

";
