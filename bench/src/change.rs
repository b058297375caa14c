//! From a changed file to the first request that sees it: `leno gateway -f DIR`, whose one route is pointed from
//! one backend to the other and back. Measured, never asserted: the goal is to stay within a second.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::process::{self, PROXY_CORE, RunningProgram};
use crate::statistics::median;

/// Changes that are measured, after one that is not.
const CHANGES: usize = 20;
/// A change that has not taken effect by then ends the measurement with an error.
const DEADLINE: Duration = Duration::from_secs(10);

/// Milliseconds until a change took effect.
pub(crate) struct Effect {
    pub median_ms: f64,
    pub worst_ms: f64,
}

/// Starts the gateway in `folder` and changes its route to and fro.
pub(crate) fn measure(leno: &Path, folder: &Path) -> Result<Effect> {
    let directory = folder.join("change");
    std::fs::create_dir_all(&directory)?;
    let (from, one, two) = (process::free_address()?, backend("one")?, backend("two")?);
    let write = |name: &str| {
        let partial = directory.join(".route.partial");
        std::fs::write(&partial, documents(from, one, two, name))?;
        std::fs::rename(&partial, directory.join("route.yaml"))
    };
    write("one")?;
    let command =
        [&leno.display().to_string(), "gateway", "-f", &directory.display().to_string(), "--admin-port", "0"];
    let mut gateway =
        RunningProgram::start("leno", PROXY_CORE, &command.map(str::to_owned), &folder.join("change.log"))?;
    gateway.wait_for(from)?;
    let mut times = Vec::new();
    for change in 0..=CHANGES {
        let name = if change % 2 == 0 { "two" } else { "one" };
        let began = Instant::now();
        write(name)?;
        while ask(from).is_none_or(|answer| answer != name) {
            ensure!(began.elapsed() < DEADLINE, "change {change} did not take effect in {DEADLINE:?}");
        }
        times.push(began.elapsed().as_secs_f64() * 1_000.0);
    }
    let times = &times[1..];
    Ok(Effect {
        median_ms: median(times.iter().copied()),
        worst_ms: times.iter().copied().fold(0.0, f64::max),
    })
}

/// Answers every request with its name and closes.
pub(crate) fn backend(name: &'static str) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let _ = answer(socket, name);
        }
    });
    Ok(address)
}

fn answer(mut socket: TcpStream, name: &str) -> std::io::Result<()> {
    let mut lines = BufReader::new(socket.try_clone()?).lines();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let length = name.len();
    write!(socket, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{name}")
}

/// The body of one answer, if it is one.
fn ask(address: SocketAddr) -> Option<String> {
    let mut socket = TcpStream::connect(address).ok()?;
    write!(socket, "GET / HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n").ok()?;
    BufReader::new(socket).lines().map_while(Result::ok).last()
}

fn documents(from: SocketAddr, one: SocketAddr, two: SocketAddr, to: &str) -> String {
    let backend = |name: &str, address: SocketAddr| {
        format!(
            "apiVersion: leno.dev/v1alpha1\nkind: Backend\nmetadata: {{name: {name}}}\nspec:\n  type: Static\n  \
             addresses: [{{host: {}, port: {}}}]\n---\n",
            address.ip(),
            address.port()
        )
    };
    format!(
        "{}{}apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata:\n  name: g\n  annotations:\n    \
         leno.dev/bind-address: {}\nspec:\n  gatewayClassName: leno\n  listeners:\n  \
         - {{name: http, protocol: HTTP, port: {}}}\n---\napiVersion: gateway.networking.k8s.io/v1\n\
         kind: HTTPRoute\nmetadata: {{name: r}}\nspec:\n  parentRefs: [{{name: g}}]\n  rules:\n  - backendRefs:\n    \
         - {{group: leno.dev, kind: Backend, name: {to}}}\n",
        backend("one", one),
        backend("two", two),
        from.ip(),
        from.port()
    )
}
