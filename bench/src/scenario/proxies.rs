//! One control plane with many simulated proxies that all want one service: what they cost, and how soon they know of a
//! change of its endpoint.

use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use serde_json::json;

use crate::control_plane::{ApiClient, ControlAddresses, RunningControl};
use crate::gates::Figure;
use crate::options::Options;
use crate::process::{self, PROXY_CORE};
use crate::report::ScenarioReport;
use crate::statistics::median;
use crate::subscribers::Subscribers;

/// Proxies.
const SIZES: [usize; 2] = [100, 1000];
/// Changes of the one endpoint, after one that is not counted.
const CHANGES: usize = 50;
/// How long the control plane is looked at while nothing changes.
const IDLE: Duration = Duration::from_secs(5);
/// The service that all of them want.
const HOST: &str = "callee.default.svc.cluster.local";

/// What so many proxies cost.
struct Cost {
    proxies: usize,
    /// Resident memory of the control plane without and with them.
    empty_mib: f64,
    full_mib: f64,
    /// Until all had joined and were served.
    joined_s: f64,
    /// Share of a core while nothing changes.
    idle_share: f64,
    /// For each change: CPU, bytes to each proxy, and when half of them and almost all knew.
    change_ms: f64,
    change_bytes: f64,
    p50_ms: f64,
    p99_ms: f64,
}

pub(crate) fn run(options: &Options) -> Result<ScenarioReport> {
    let mut costs = Vec::new();
    for proxies in SIZES {
        let cost = measure(options, proxies)?;
        let line = json!({
            "proxies": cost.proxies, "empty_mib": cost.empty_mib, "full_mib": cost.full_mib, "joined_s": cost.joined_s,
            "idle_share": cost.idle_share, "change_ms": cost.change_ms, "change_bytes": cost.change_bytes,
            "p50_ms": cost.p50_ms, "p99_ms": cost.p99_ms,
        });
        options.folder()?.append("proxies.jsonl", &line.to_string())?;
        costs.push(cost);
    }
    let figure = |cost: &Cost| Figure::exact(format!("proxies/{}/p99 ms", cost.proxies), cost.p99_ms);
    let figures = costs.iter().map(figure).collect();
    Ok(ScenarioReport { section: section(&costs), charts: Vec::new(), figures })
}

fn measure(options: &Options, proxies: usize) -> Result<Cost> {
    let folder = options.folder()?.fresh("proxies")?;
    let at = ControlAddresses {
        streams: process::free_address()?,
        api: process::free_address()?,
        metrics: process::free_address()?,
    };
    let control = RunningControl::start(&options.leno()?, PROXY_CORE, folder.root(), &at, None)?;
    let mut client = control.client()?;
    put_objects(&mut client)?;
    let tokens = folder.path("tokens");
    // The first one is the endpoint.
    let mut lines = format!("callee {}\n", client.token("callee")?);
    for _ in 1..proxies {
        let _ = writeln!(lines, "caller {}", client.token("caller")?);
    }
    fs::write(&tokens, lines)?;
    let running = control.running();
    let empty_mib = running.resident_mib();
    let began = Instant::now();
    let mut subscribers = Subscribers::start(at.streams, HOST, &tokens, &folder.path("subscribers.log"))?;
    let joined_s = began.elapsed().as_secs_f64();
    let total_us = || running.cpu().map(|cpu| cpu.user + cpu.system);
    let before = total_us()?;
    process::pass(IDLE);
    let idle_share = (total_us()? - before) / IDLE.as_micros() as f64;
    put_weight(&mut client, 2)?;
    subscribers.seen(SystemTime::now())?;
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    let (before, sent) = (total_us()?, process::sent_bytes(at.streams.port())?);
    for change in 0..CHANGES {
        let made = SystemTime::now();
        put_weight(&mut client, 3 + change)?;
        let seen = subscribers.seen(made)?;
        p50.push(seen.p50_ms);
        p99.push(seen.p99_ms);
    }
    let changes = CHANGES as f64;
    Ok(Cost {
        proxies,
        empty_mib,
        full_mib: running.resident_mib(),
        joined_s,
        idle_share,
        change_ms: (total_us()? - before) / 1000.0 / changes,
        change_bytes: (process::sent_bytes(at.streams.port())? - sent) / changes / proxies as f64,
        p50_ms: median(p50.into_iter()),
        p99_ms: median(p99.into_iter()),
    })
}

fn put_objects(client: &mut ApiClient) -> Result<()> {
    put_weight(client, 1)?;
    client.put("apis/networking.istio.io/v1", "workloadgroups/caller", &group("caller", 1))?;
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: callee}\n\
                   spec: {selector: {app: callee}, ports: [{name: http, port: 80, targetPort: 8080}]}\n";
    client.put("api/v1", "services/callee", service)
}

/// A change of the endpoint that all of them want.
fn put_weight(client: &mut ApiClient, weight: usize) -> Result<()> {
    client.put("apis/networking.istio.io/v1", "workloadgroups/callee", &group("callee", weight))
}

fn group(name: &str, weight: usize) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: WorkloadGroup\nmetadata: {{name: {name}}}\n\
         spec: {{metadata: {{labels: {{app: {name}}}}}, template: {{serviceAccount: {name}, weight: {weight}}}}}\n"
    )
}

fn section(costs: &[Cost]) -> String {
    let mut out = String::from(ABOUT);
    let _ = writeln!(
        out,
        "Machine: {}.\n\n| proxies | joined in s | memory for each, KiB | CPU while idle, of a core | CPU of a change, ms \
         | bytes of a change to each | change seen by half, ms | by 99 %, ms |\n|---|---|---|---|---|---|---|---|",
        process::machine()
    );
    for cost in costs {
        let _ = writeln!(
            out,
            "| {} | {:.1} | {:.1} | {:.3} | {:.1} | {:.0} | {:.1} | {:.1} |",
            cost.proxies,
            cost.joined_s,
            (cost.full_mib - cost.empty_mib) * 1024.0 / cost.proxies as f64,
            cost.idle_share,
            cost.change_ms,
            cost.change_bytes,
            cost.p50_ms,
            cost.p99_ms
        );
    }
    out
}

const ABOUT: &str = "## Many proxies on one control plane

`leno control` alone on core 1; on core 0 a process that plays so many proxies: each has joined by a token, has a
certificate and a stream in mutual TLS of its own, wants one service, and acknowledges. A change is of the weight of that
service's one endpoint, over the API; times count from before the call until a proxy has read the response, medians of 50
changes. The process that plays them works through all of them one after the other, and is in these times. How soon all
have joined is set by the control plane, which takes 512 joins at once and 20 a second after that.

";
