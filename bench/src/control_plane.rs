//! `leno control` as its users run it, with a root of trust in this process, and calls to its API.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ca::issuer::serve::{Grant, Holder, Lifetimes, serve};
use model::TrustDomain;

use crate::process::RunningProgram;

/// Of all that it vouches for.
pub(crate) const TRUST_DOMAIN: &str = "leno.bench";
/// Its cluster.
const CLUSTER: &str = "bench";
/// Of the certificates of the root and of the cluster.
const LIFE: Duration = Duration::from_secs(24 * 3600);
/// Of the certificates of proxies, in seconds: a measurement is no time to renew.
const LEAF_LIFE_S: u64 = 12 * 3600;

/// A running control plane; ends when dropped.
pub(crate) struct RunningControl {
    running: RunningProgram,
    api: SocketAddr,
}

/// Where it listens.
pub(crate) struct ControlAddresses {
    pub streams: SocketAddr,
    pub api: SocketAddr,
    pub metrics: SocketAddr,
}

impl RunningControl {
    /// Starts one on `core` that keeps its files in `folder`, and waits for its API.
    pub(crate) fn start(
        leno: &Path,
        core: usize,
        folder: &Path,
        at: &ControlAddresses,
        config: Option<&Path>,
    ) -> Result<RunningControl> {
        let state = folder.join("state");
        // What an earlier run left would be known again.
        let _ = std::fs::remove_dir_all(&state);
        std::fs::create_dir_all(folder)?;
        let mut command =
            [&leno.display().to_string(), "control", "--api-insecure-loopback"].map(str::to_owned).to_vec();
        let mut option = |name: &str, value: String| command.extend([name.to_owned(), value]);
        option("--cluster", CLUSTER.to_owned());
        option("--state-dir", state.display().to_string());
        option("--issuer-fd", "0".to_owned());
        option("--listen", at.streams.to_string());
        option("--api", at.api.to_string());
        option("--metrics", at.metrics.to_string());
        option("--certificate-ttl-s", LEAF_LIFE_S.to_string());
        if let Some(config) = config {
            option("--config", config.display().to_string());
        }
        let log = folder.join("control.log");
        let mut running = RunningProgram::start_hearing("leno control", core, &command, &log, issuer()?)?;
        running.wait_for(at.api)?;
        Ok(RunningControl { running, api: at.api })
    }

    /// The process.
    pub(crate) fn running(&self) -> &RunningProgram {
        &self.running
    }

    /// A connection to its API.
    pub(crate) fn client(&self) -> Result<ApiClient> {
        Ok(ApiClient(BufReader::new(TcpStream::connect(self.api)?)))
    }
}

/// A socket over which the control plane has its certificates signed.
fn issuer() -> Result<Stdio> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let trust_domain = TrustDomain::parse(TRUST_DOMAIN).context("read the trust domain")?;
    let root = ca::Root::generate(trust_domain.clone(), LIFE)?;
    let grants = [Grant::Intermediate { trust_domain, cluster: CLUSTER.into() }];
    let holder = Holder { root, lifetimes: Lifetimes { intermediate: LIFE, leaf: LIFE } };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Ends with the process at the other end.
    std::thread::spawn(move || {
        let served = runtime.block_on(async {
            let ours = tokio::net::UnixStream::from_std(ours)?;
            serve(ours, &holder, grants.as_slice()).await.context("serve the issuer")
        });
        if let Err(error) = served {
            eprintln!("issuer: {error:#}");
        }
    });
    Ok(Stdio::from(OwnedFd::from(theirs)))
}

/// One connection to the API.
pub(crate) struct ApiClient(BufReader<TcpStream>);

impl ApiClient {
    /// Stores a document; `group` is as in `apis/GROUP/VERSION`.
    pub(crate) fn put(&mut self, group: &str, object: &str, body: &str) -> Result<()> {
        self.call("PUT", &format!("{group}/namespaces/default/{object}"), body).map(drop)
    }

    /// A join token for a proxy of a WorkloadGroup.
    pub(crate) fn token(&mut self, group: &str) -> Result<String> {
        let path = format!("apis/networking.istio.io/v1/namespaces/default/workloadgroups/{group}/token");
        let answer: serde_json::Value = serde_json::from_str(&self.call("POST", &path, "")?)?;
        Ok(answer.get("token").and_then(serde_json::Value::as_str).context("no token")?.to_owned())
    }

    /// The body of the answer, which must be a good one.
    fn call(&mut self, method: &str, path: &str, body: &str) -> Result<String> {
        let head = format!(
            "{method} /{path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/yaml\r\ncontent-length: {}\r\n\r\n",
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
        let answer = String::from_utf8_lossy(&answer).into_owned();
        ensure!(status.starts_with("HTTP/1.1 20"), "{path}: {status} {answer}");
        Ok(answer)
    }
}
