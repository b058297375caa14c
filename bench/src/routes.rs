//! What many HTTPRoutes cost: memory of `leno gateway -f DIR`, and writes per second over the API of
//! `leno control`. Measured, never asserted.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ca::issuer::serve::{Grant, Lifetimes, serve};
use model::TrustDomain;
use serde_json::json;

use crate::change;
use crate::measured::ManyRoutes;
use crate::process::{self, RunningProgram};
use crate::report;

/// HTTPRoutes of the gateway, of one host name, one rule and one match each.
const GATEWAY_ROUTES: usize = 10_000;
/// Documents of one file: a thousand are 0.3 MB.
const ROUTES_PER_FILE: usize = 1000;
/// HTTPRoutes at the control plane beside the one that is written again and again.
const STORED_ROUTES: [usize; 2] = [0, 1000];
/// Writes that are timed.
const WRITES: usize = 300;
/// A gateway that does not serve its last route by then ends the measurement with an error.
const SERVED_WITHIN: Duration = Duration::from_secs(120);
/// Of the control plane.
const CLUSTER: &str = "bench";
/// Of its certificates.
const LIFE: Duration = Duration::from_secs(24 * 3600);
/// For the program under test.
const CORE: usize = 1;

#[derive(clap::Parser)]
pub(crate) struct Options {
    /// The program to measure
    #[arg(long, default_value = "target/release/leno")]
    leno: PathBuf,
    /// Where the section goes
    #[arg(long, default_value = "docs/benchmarks.md")]
    out: PathBuf,
    /// Where configurations, logs and raw numbers go
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let folder = options.folder.join("routes");
    // What an earlier run left would be read again.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let folder = fs::canonicalize(folder)?;
    let leno = fs::canonicalize(&options.leno)
        .with_context(|| format!("find {}", options.leno.display()))?
        .display()
        .to_string();
    let (empty_mib, _) = gateway(&leno, &folder, 0)?;
    let (full_mib, served_s) = gateway(&leno, &folder, GATEWAY_ROUTES)?;
    let writes = writes(&leno, &folder)?;
    let measured = ManyRoutes { gateway_routes: GATEWAY_ROUTES, empty_mib, full_mib, served_s, writes };
    let line = json!({
        "empty_mib": empty_mib, "full_mib": full_mib, "served_s": served_s, "writes_per_s": measured.writes,
    });
    fs::write(options.folder.join("routes.json"), format!("{line}\n"))?;
    report::put(&options.out, &report::routes(&measured))
}

/// Memory of a gateway with so many routes beside its first one, and how long it took until all were served.
fn gateway(leno: &str, folder: &Path, routes: usize) -> Result<(f64, f64)> {
    let directory = folder.join(format!("gateway-{routes}"));
    fs::create_dir_all(&directory)?;
    let (from, to) = (process::free_address()?, change::backend("here")?);
    let base = format!("{}---\n{}---\n{}", gateway_document(from), backend_document(to), route("first", 0));
    fs::write(directory.join("base.yaml"), base)?;
    for first in (1..=routes).step_by(ROUTES_PER_FILE) {
        let last = (first + ROUTES_PER_FILE - 1).min(routes);
        let documents: Vec<String> = (first..=last).map(|n| route(&format!("route-{n}"), n)).collect();
        fs::write(directory.join(format!("{first}.yaml")), documents.join("---\n"))?;
    }
    let arguments =
        ["gateway", "-f", &directory.display().to_string(), "--admin-port", "0", "--workers", "1"];
    let command: Vec<String> = [leno].into_iter().chain(arguments).map(str::to_owned).collect();
    let log = folder.join(format!("gateway-{routes}.log"));
    let began = Instant::now();
    let running = RunningProgram::start("leno gateway", CORE, &command, &log)?;
    while ask(from, routes).is_none_or(|answer| answer != "here") {
        ensure!(began.elapsed() < SERVED_WITHIN, "{routes} routes are not served; see {}", log.display());
        std::thread::yield_now();
    }
    Ok((running.resident_mib(), began.elapsed().as_secs_f64()))
}

/// The body of one answer by route `n`, if it is one.
fn ask(address: SocketAddr, n: usize) -> Option<String> {
    let mut socket = TcpStream::connect(address).ok()?;
    write!(socket, "GET /route-{n} HTTP/1.1\r\nhost: host-{n}.example.com\r\nconnection: close\r\n\r\n")
        .ok()?;
    BufReader::new(socket).lines().map_while(Result::ok).last()
}

/// Writes per second of one route after the other, each answered before the next, with so many others stored.
fn writes(leno: &str, folder: &Path) -> Result<Vec<(usize, f64)>> {
    let api = process::free_address()?;
    let (listen, metrics) = (process::free_address()?.to_string(), process::free_address()?.to_string());
    let state = folder.join("state").display().to_string();
    let arguments = ["control", "--cluster", CLUSTER, "--state-dir", &state, "--issuer-fd", "0"];
    let command = [leno].into_iter().chain(arguments).chain(["--listen", &listen, "--metrics", &metrics]);
    let command: Vec<String> = command.chain(["--api", &api.to_string()]).map(str::to_owned).collect();
    let log = folder.join("control.log");
    let mut running = RunningProgram::start_hearing("leno control", CORE, &command, &log, issuer()?)?;
    running.wait_for(api)?;
    let mut client = Client(BufReader::new(TcpStream::connect(api)?));
    let here: SocketAddr = ([127, 0, 0, 1], 9).into();
    client.put("apis/gateway.networking.k8s.io/v1", "gateways/g", &gateway_document(here))?;
    client.put("apis/leno.dev/v1alpha1", "backends/b", &backend_document(here))?;
    let (mut stored, mut rates) = (0, Vec::new());
    for count in STORED_ROUTES {
        for n in stored + 1..=count {
            client.put_route(&format!("route-{n}"), n)?;
        }
        stored = count;
        let began = Instant::now();
        for write in 0..WRITES {
            client.put_route("changed", write)?;
        }
        rates.push((count, WRITES as f64 / began.elapsed().as_secs_f64()));
    }
    Ok(rates)
}

/// A socket over which the control plane has its certificates signed.
fn issuer() -> Result<Stdio> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let trust_domain = TrustDomain::parse("leno.bench").context("read the trust domain")?;
    let root = ca::Root::generate(trust_domain.clone(), LIFE)?;
    let grants = [Grant::Intermediate { trust_domain, cluster: CLUSTER.into() }];
    let lifetimes = Lifetimes { intermediate: LIFE, leaf: LIFE };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Ends with the process at the other end.
    std::thread::spawn(move || {
        let served = runtime.block_on(async {
            let ours = tokio::net::UnixStream::from_std(ours)?;
            serve(ours, &root, &grants, lifetimes, Vec::new).await.context("serve the issuer")
        });
        if let Err(error) = served {
            eprintln!("issuer: {error:#}");
        }
    });
    Ok(Stdio::from(OwnedFd::from(theirs)))
}

/// One connection to the API.
struct Client(BufReader<TcpStream>);

impl Client {
    fn put_route(&mut self, name: &str, n: usize) -> Result<()> {
        self.put("apis/gateway.networking.k8s.io/v1", &format!("httproutes/{name}"), &route(name, n))
    }

    fn put(&mut self, group: &str, object: &str, body: &str) -> Result<()> {
        let head = format!(
            "PUT /{group}/namespaces/default/{object} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/yaml\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        self.0.get_mut().write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
        let mut status = String::new();
        self.0.read_line(&mut status)?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line)?;
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            if line.is_empty() {
                break;
            }
        }
        let mut answer = vec![0; length];
        self.0.read_exact(&mut answer)?;
        let is_good = status.starts_with("HTTP/1.1 20");
        ensure!(is_good, "{object}: {status} {}", String::from_utf8_lossy(&answer));
        Ok(())
    }
}

fn gateway_document(from: SocketAddr) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata:\n  name: g\n  annotations:\n    \
         leno.dev/bind-address: {}\nspec:\n  gatewayClassName: leno\n  listeners:\n  \
         - {{name: http, protocol: HTTP, port: {}}}\n",
        from.ip(),
        from.port()
    )
}

fn backend_document(to: SocketAddr) -> String {
    format!(
        "apiVersion: leno.dev/v1alpha1\nkind: Backend\nmetadata: {{name: b}}\nspec:\n  type: Static\n  \
         addresses: [{{host: {}, port: {}}}]\n",
        to.ip(),
        to.port()
    )
}

fn route(name: &str, n: usize) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata:\n  name: {name}\nspec:\n  parentRefs:\n  \
         - name: g\n  hostnames:\n  - host-{n}.example.com\n  rules:\n  - matches:\n    - path:\n        \
         type: PathPrefix\n        value: /route-{n}\n    backendRefs:\n    - group: leno.dev\n      \
         kind: Backend\n      name: b\n"
    )
}
