//! What many HTTPRoutes cost: memory of `leno gateway -f DIR`, and writes per second over the API of
//! `leno control`. Measured, never asserted.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;

use crate::control_plane::{ApiClient, ControlAddresses, RunningControl};
use crate::folder::Folder;
use crate::gates::Figure;
use crate::options::Options;
use crate::process::{PROXY_CORE, RunningProgram};
use crate::report::ScenarioReport;
use crate::{change, documents, process};

/// HTTPRoutes of the gateway, of one host name, one rule and one match each.
const GATEWAY_ROUTES: [usize; 3] = [10, 1000, 10_000];
/// Documents of one file: a thousand are 0.3 MB.
const ROUTES_PER_FILE: usize = 1000;
/// HTTPRoutes at the control plane beside the one that is written again and again.
const STORED_ROUTES: [usize; 2] = [0, 1000];
/// Writes that are timed.
const WRITES: usize = 300;
/// After so long an allocator has given back what reading the documents took.
const SETTLED: Duration = Duration::from_secs(5);
/// A gateway that does not serve its last route by then ends the measurement with an error.
const SERVED_WITHIN: Duration = Duration::from_secs(120);

pub(crate) fn run(options: &Options) -> Result<ScenarioReport> {
    let folder = options.folder()?.fresh("routes")?;
    let leno = options.leno()?;
    let empty_mib = gateway(&leno, &folder, 0)?.settled_mib;
    let mut grown = Vec::new();
    for routes in GATEWAY_ROUTES {
        grown.push(gateway(&leno, &folder, routes)?);
    }
    let writes = writes(&leno, &folder)?;
    let routes: Vec<_> = grown
        .iter()
        .map(|at| json!({"routes": at.routes, "served_mib": at.served_mib, "settled_mib": at.settled_mib, "served_s": at.served_s}))
        .collect();
    let line = json!({"empty_mib": empty_mib, "routes": routes, "writes_per_s": writes});
    options.folder()?.append("routes.jsonl", &line.to_string())?;
    let figure = |at: &Grown| Figure::exact(format!("routes/{}/KiB", at.routes), at.each_kib(empty_mib));
    let figures = grown.iter().map(figure).collect();
    Ok(ScenarioReport { section: section(empty_mib, &grown, &writes), charts: Vec::new(), figures })
}

/// A gateway with so many routes more.
struct Grown {
    routes: usize,
    /// Resident when the last one is served, and 5 seconds later.
    served_mib: f64,
    settled_mib: f64,
    /// From the start to the first answer by the last route.
    served_s: f64,
}

impl Grown {
    fn each_kib(&self, empty_mib: f64) -> f64 {
        (self.settled_mib - empty_mib) * 1024.0 / self.routes as f64
    }
}

fn section(empty_mib: f64, grown: &[Grown], writes: &[(usize, f64)]) -> String {
    let mut out = String::from(ABOUT);
    let _ = writeln!(out, "Machine: {}.\n", process::machine());
    let _ = writeln!(
        out,
        "RSS of the gateway with one HTTPRoute: {empty_mib:.1} MiB.\n\n\
         | HTTPRoutes more | RSS when served, MiB | RSS 5 s later, MiB | of that for each, KiB | from start to an answer by the \
         last one, s |\n|---|---|---|---|---|"
    );
    for at in grown {
        let each_kib = at.each_kib(empty_mib);
        let Grown { routes, served_mib, settled_mib, served_s } = at;
        let _ = writeln!(
            out,
            "| {routes} | {served_mib:.1} | {settled_mib:.1} | {each_kib:.1} | {served_s:.2} |"
        );
    }
    out.push_str("\n| HTTPRoutes stored at `leno control` | writes per second |\n|---|---|\n");
    for (stored, rate) in writes {
        let _ = writeln!(out, "| {stored} | {rate:.0} |");
    }
    out
}

/// Memory of a gateway with so many routes beside its first one, and how long it took until all were served.
fn gateway(leno: &Path, folder: &Folder, routes: usize) -> Result<Grown> {
    let directory = folder.fresh(&format!("gateway-{routes}"))?;
    let (from, to) = (process::free_address()?, change::backend("here")?);
    let base = format!(
        "{}---\n{}---\n{}",
        documents::gateway(from),
        documents::backend("b", [to].into_iter()),
        documents::route("first", 0)
    );
    directory.write("base.yaml", &base)?;
    for first in (1..=routes).step_by(ROUTES_PER_FILE) {
        let last = (first + ROUTES_PER_FILE - 1).min(routes);
        let documents: Vec<String> =
            (first..=last).map(|n| documents::route(&format!("route-{n}"), n)).collect();
        directory.write(&format!("{first}.yaml"), &documents.join("---\n"))?;
    }
    let arguments = ["gateway", "-f", &directory.text(), "--admin-port", "0", "--workers", "1"];
    let command: Vec<String> =
        [leno.display().to_string().as_str()].into_iter().chain(arguments).map(str::to_owned).collect();
    let log = folder.path(&format!("gateway-{routes}.log"));
    let began = Instant::now();
    let running = RunningProgram::start("leno gateway", PROXY_CORE, &command, &log)?;
    while ask(from, routes).is_none_or(|answer| answer != "here") {
        ensure!(began.elapsed() < SERVED_WITHIN, "{routes} routes are not served; see {}", log.display());
        std::thread::yield_now();
    }
    let (served_s, served_mib) = (began.elapsed().as_secs_f64(), running.resident_mib());
    process::pass(SETTLED);
    Ok(Grown { routes, served_mib, settled_mib: running.resident_mib(), served_s })
}

/// The body of one answer by route `n`, if it is one.
fn ask(address: SocketAddr, n: usize) -> Option<String> {
    let mut socket = TcpStream::connect(address).ok()?;
    write!(socket, "GET /route-{n} HTTP/1.1\r\nhost: host-{n}.example.com\r\nconnection: close\r\n\r\n")
        .ok()?;
    BufReader::new(socket).lines().map_while(Result::ok).last()
}

/// Writes per second of one route after the other, each answered before the next, with so many others stored.
fn writes(leno: &Path, folder: &Folder) -> Result<Vec<(usize, f64)>> {
    let at = ControlAddresses {
        streams: process::free_address()?,
        api: process::free_address()?,
        metrics: process::free_address()?,
    };
    let control = RunningControl::start(leno, PROXY_CORE, folder.root(), &at, None)?;
    let mut client = control.client()?;
    let here: SocketAddr = ([127, 0, 0, 1], 9).into();
    client.put("apis/gateway.networking.k8s.io/v1", "gateways/g", &documents::gateway(here))?;
    client.put("apis/leno.dev/v1alpha1", "backends/b", &documents::backend("b", [here].into_iter()))?;
    let (mut stored, mut rates) = (0, Vec::new());
    for count in STORED_ROUTES {
        for n in stored + 1..=count {
            put_route(&mut client, &format!("route-{n}"), n)?;
        }
        stored = count;
        let began = Instant::now();
        for write in 0..WRITES {
            put_route(&mut client, "changed", write)?;
        }
        rates.push((count, WRITES as f64 / began.elapsed().as_secs_f64()));
    }
    Ok(rates)
}

fn put_route(client: &mut ApiClient, name: &str, n: usize) -> Result<()> {
    client.put("apis/gateway.networking.k8s.io/v1", &format!("httproutes/{name}"), &documents::route(name, n))
}

const ABOUT: &str = "## Many HTTPRoutes

HTTPRoutes of one host name, one rule, one match and one backend. The gateway reads them from files of a thousand
documents each; its memory is taken when the last one is served, and once more when the allocator has given back what
reading took: that is what routes cost. A write is a PUT of one route with another content
over the API, answered when it is stored and in force, one after the other on one connection; no proxy is connected.

";
