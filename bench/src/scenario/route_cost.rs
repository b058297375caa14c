//! What a request costs where there are few rules, and where there are many: instructions, for the same requests.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::caller::{self, ToldCaller};
use crate::folder::Folder;
use crate::options::Options;
use crate::process::{PROXY_CORE, RunningProgram};
use crate::{callgrind, documents};

/// Rules of a small and of a large table.
const FEW: usize = 10;
const MANY: usize = 10_000;
/// Rules of one HTTPRoute; of every second one they have a host of their own, the others share one.
const RULES_PER_ROUTE: usize = 5;
const SHARED_HOST: &str = "many.example.com";
/// What is called: rules that are in both tables, by an exact path, a prefix, and a field on top of it, of both sorts of
/// hosts; none of them is the last one of its path.
const CALLED: [&str; 6] = [
    "host-0.example.com/0/0",
    "host-0.example.com/0/1/below/it",
    "host-0.example.com/0/2",
    "many.example.com/1/0",
    "many.example.com/1/1/below/it",
    "many.example.com/1/2",
];
/// Requests before and while it is counted.
const WARM_UP: usize = 120;
const COUNTED: usize = 300;
/// What only a worker runs.
const WORKER: &str = "codec::http1";
/// A gateway that does not serve by then ends the count with an error: it reads its documents under valgrind.
const SERVED_WITHIN: Duration = Duration::from_secs(180);

/// Instructions of a request beside many rules, as a multiple of those beside few.
pub(super) fn growth(options: &Options, folder: &Folder, at: SocketAddr, app: SocketAddr) -> Result<f64> {
    let few = instructions(options, folder, at, app, FEW)?;
    Ok(instructions(options, folder, at, app, MANY)? / few)
}

fn instructions(
    options: &Options,
    folder: &Folder,
    at: SocketAddr,
    app: SocketAddr,
    rules: usize,
) -> Result<f64> {
    let name = format!("rules-{rules}");
    let directory = folder.fresh(&name)?;
    directory.write("gateway.yaml", &documents::gateway(at))?;
    directory.write("backend.yaml", &documents::backend("b", [app].into_iter()))?;
    directory.write("routes.yaml", &routes(rules))?;
    let path = directory.root().display().to_string();
    let leno = options.leno()?.display().to_string();
    let command = [&leno, "gateway", "--workers", "1", "--admin-port", "0", "-f", &path].map(str::to_owned);
    let log = folder.path(&format!("{name}.log"));
    // Only what serves requests is counted: the gateway looks at its files now and then, and hashes them.
    let counted = folder.fresh("rules-counted")?;
    let command = callgrind::wrap_idle(&command, counted.root(), &name);
    let running = RunningProgram::start(&name, PROXY_CORE, &command, &log)?;
    let mut caller = caller(at, &folder.path("caller.log"))?;
    callgrind::begin(&running)?;
    caller.call(WARM_UP)?;
    callgrind::zero(&running)?;
    caller.call(COUNTED)?;
    Ok(callgrind::instructions_of_thread(&running, counted.root(), WORKER)? / COUNTED as f64)
}

/// One whose first request was answered.
fn caller(at: SocketAddr, log: &std::path::Path) -> Result<ToldCaller> {
    let mut command = caller::command(at)?;
    command.extend(CALLED.map(str::to_owned));
    let began = Instant::now();
    loop {
        while TcpStream::connect(at).is_err() && began.elapsed() < SERVED_WITHIN {
            std::thread::yield_now();
        }
        let first = ToldCaller::start(&command, log).and_then(|mut caller| {
            caller.call(1)?;
            Ok(caller)
        });
        if first.is_ok() {
            return first;
        }
        ensure!(began.elapsed() < SERVED_WITHIN, "the gateway does not serve its routes");
    }
}

/// So many rules in HTTPRoutes.
fn routes(rules: usize) -> String {
    let mut text = String::new();
    for route in 0..rules / RULES_PER_ROUTE {
        let own = format!("host-{route}.example.com");
        let host = if route % 2 == 0 { own.as_str() } else { SHARED_HOST };
        let _ = write!(
            text,
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: route-{route}}}\nspec:\n  \
             parentRefs: [{{name: {}}}]\n  hostnames: [{host}]\n  rules:\n",
            documents::GATEWAY
        );
        for (rule, (kind, fields)) in RULES.iter().enumerate() {
            // The last two lose or win by a field on the path of the one before.
            let path = format!("/{route}/{}", rule.min(2));
            let _ = writeln!(
                text,
                "  - {{matches: [{{path: {{type: {kind}, value: {path}}}{fields}}}], backendRefs: [{{group: leno.dev, kind: \
                 Backend, name: b}}]}}"
            );
        }
    }
    text
}

/// How each rule of a route matches, beside its path.
const RULES: [(&str, &str); RULES_PER_ROUTE] = [
    ("Exact", ""),
    ("PathPrefix", ""),
    ("PathPrefix", ", headers: [{name: x-version, value: '3'}]"),
    ("PathPrefix", ", headers: [{name: x-version, value: '1'}]"),
    ("PathPrefix", ""),
];
