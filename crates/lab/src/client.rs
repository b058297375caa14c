//! Drives a running lab from outside: what the command line and the end-to-end tests use.
//!
//! Blocking, because its users wait anyway. Each call is one connection to the lab's abstract socket.

use crate::protocol::{Drops, HttpAnswer, LabReply, LabRequest, LabStatus, Manner, ProcessRow};
use crate::wire;
use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::SigSet;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

mod wait;
pub use wait::wait_until;

/// A handle to the lab with a certain name. Cheap; does not keep the lab alive.
#[derive(Clone, Debug)]
pub struct Client {
    name: String,
}

/// What a command in a host did.
#[derive(Clone, Debug)]
pub struct ExecOutput {
    /// Exit code, or 128 plus the signal.
    pub code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

impl ExecOutput {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

impl Client {
    /// For the lab `name` of the calling user; fails when none is running.
    pub fn connect(name: &str) -> Result<Self> {
        let client = Self { name: name.to_owned() };
        client.open().map(|_| client)
    }

    fn open(&self) -> Result<UnixStream> {
        let address = wire::address(&self.name).context("name of the control socket")?;
        let stream = UnixStream::connect_addr(&address).map_err(|_| {
            anyhow::anyhow!("no demo named {} is running; start it with: leno demo --detach", self.name)
        })?;
        // The name is free for anybody to take: what we pass and believe must go to our own lab.
        let peer = nix::sys::socket::getsockopt(&stream, nix::sys::socket::sockopt::PeerCredentials)
            .context("read peer credentials")?;
        ensure!(
            peer.uid() == nix::unistd::geteuid().as_raw(),
            "the demo named {} belongs to another user",
            self.name
        );
        Ok(stream)
    }

    /// Any request but `Exec`; an answer of `Failed` is an error.
    pub fn ask(&self, request: &LabRequest) -> Result<LabReply> {
        let stream = self.open()?;
        wire::send(&stream, request, &[])?;
        match wire::receive(&stream)?.context("the lab ended")? {
            LabReply::Failed { message } => bail!("{message}"),
            reply => Ok(reply),
        }
    }

    fn order(&self, request: &LabRequest) -> Result<()> {
        self.ask(request).map(drop)
    }

    /// Everything that runs.
    pub fn status(&self) -> Result<LabStatus> {
        as_status(self.ask(&LabRequest::Status)?)
    }

    /// The same, once the first start is complete; `Err` says why it is not.
    pub fn wait_ready(&self) -> Result<LabStatus> {
        as_status(self.ask(&LabRequest::WaitReady)?)
    }

    /// Runs a command in a host to its end, with empty input and captured output.
    pub fn exec(&self, host: &str, command: &[&str]) -> Result<ExecOutput> {
        self.spawn(host, command)?.finish()
    }

    /// The same; an exit code other than 0 is an error that shows what the command said.
    pub fn exec_ok(&self, host: &str, command: &[&str]) -> Result<String> {
        let output = self.exec(host, command)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.code == 0,
            "{} in {host} ended with {}: {}",
            command.join(" "),
            output.code,
            said.trim()
        );
        Ok(output.text())
    }

    /// Starts a command in a host. It is killed when the handle is dropped.
    pub fn spawn(&self, host: &str, command: &[&str]) -> Result<RemoteProcess> {
        let (stdout, stdout_far) = std::io::pipe().context("make a pipe")?;
        let (stderr, stderr_far) = std::io::pipe().context("make a pipe")?;
        let null = std::fs::File::open("/dev/null").context("open /dev/null")?;
        let far: [PipeWriter; 2] = [stdout_far, stderr_far];
        let fds = [null.as_raw_fd(), far[0].as_raw_fd(), far[1].as_raw_fd()];
        let (stream, pid) = self.start(host, command, BTreeMap::new(), &fds)?;
        Ok(RemoteProcess { stream, pid, stdout: Some(stdout), stderr: Some(stderr) })
    }

    /// Runs a command in a host with this process's own standard streams; its exit code. SIGINT and SIGTERM
    /// are passed on to it from then on, for good: meant for a process that does nothing else.
    pub fn exec_inherited(&self, host: &str, command: &[&str]) -> Result<i32> {
        let environment = ["TERM", "NO_COLOR", "LANG"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)));
        let fds =
            [std::io::stdin().as_raw_fd(), std::io::stdout().as_raw_fd(), std::io::stderr().as_raw_fd()];
        let (stream, _) = self.start(host, command, environment.collect(), &fds)?;
        pass_signals(&stream)?;
        ended(&stream)
    }

    /// The same with a file as standard input.
    pub fn exec_with_input(&self, host: &str, command: &[&str], input: &impl AsFd) -> Result<i32> {
        let input = input.as_fd().as_raw_fd();
        let fds = [input, std::io::stdout().as_raw_fd(), std::io::stderr().as_raw_fd()];
        let (stream, _) = self.start(host, command, BTreeMap::new(), &fds)?;
        ended(&stream)
    }

    fn start(
        &self,
        host: &str,
        command: &[&str],
        environment: BTreeMap<String, String>,
        fds: &[RawFd],
    ) -> Result<(UnixStream, i32)> {
        let stream = self.open()?;
        let command = command.iter().map(|&word| word.to_owned()).collect();
        wire::send(&stream, &LabRequest::Exec { host: host.to_owned(), command, environment }, fds)?;
        match wire::receive(&stream)?.context("the lab ended")? {
            LabReply::Started { pid } => Ok((stream, pid)),
            LabReply::Failed { message } => bail!("{message}"),
            other => bail!("unexpected answer {other:?}"),
        }
    }

    /// Sets how many workloads a service has (`west/purchase-history`); returns when they are ready or gone.
    pub fn scale(&self, service: &str, replicas: u32, manner: Manner) -> Result<()> {
        self.order(&LabRequest::Scale { service: service.to_owned(), replicas, manner })
    }

    /// `SIGKILL` to everything in a host.
    pub fn kill(&self, host: &str) -> Result<()> {
        self.order(&LabRequest::Kill { host: host.to_owned() })
    }

    /// `SIGTERM` to everything in a host, proxy first; returns when it is gone.
    pub fn stop(&self, host: &str) -> Result<()> {
        self.order(&LabRequest::Stop { host: host.to_owned() })
    }

    /// Starts what `kill` or `stop` ended; returns when it is ready.
    pub fn start_host(&self, host: &str) -> Result<()> {
        self.order(&LabRequest::Start { host: host.to_owned() })
    }

    /// `SIGSTOP` to everything in a host.
    pub fn pause(&self, host: &str) -> Result<()> {
        self.order(&LabRequest::Pause { host: host.to_owned() })
    }

    /// `SIGCONT` to everything in a host.
    pub fn resume(&self, host: &str) -> Result<()> {
        self.order(&LabRequest::Resume { host: host.to_owned() })
    }

    /// Pulls a host's cables.
    pub fn cut(&self, host: &str) -> Result<()> {
        self.order(&LabRequest::Cut { host: host.to_owned() })
    }

    /// Plugs them in again.
    pub fn restore(&self, host: &str) -> Result<()> {
        self.order(&LabRequest::Restore { host: host.to_owned() })
    }

    /// Drops packets in a host (or a router, `west/router`) that match, in nftables' words.
    pub fn drop_packets(&self, host: &str, matching: &str) -> Result<()> {
        self.order(&LabRequest::Drop(Drops { host: host.to_owned(), matching: matching.to_owned() }))
    }

    /// Ends all dropping in a host.
    pub fn pass_packets(&self, host: &str) -> Result<()> {
        self.order(&LabRequest::Pass { host: host.to_owned() })
    }

    /// All files that the lab created, as absolute paths in the lab (`/run/leno/...`).
    pub fn files(&self) -> Result<Vec<String>> {
        match self.ask(&LabRequest::Files)? {
            LabReply::Files { paths } => Ok(paths),
            other => bail!("unexpected answer {other:?}"),
        }
    }

    /// One of them, whole.
    pub fn read_file(&self, path: &str) -> Result<Vec<u8>> {
        as_file(self.ask(&LabRequest::ReadFile { path: path.to_owned() })?)
    }

    /// A log of a host: `app`, `proxy`, `control`, `manager`, `setup` or `access`.
    pub fn log(&self, host: &str, program: &str) -> Result<String> {
        let path = crate::files::in_host(host, &format!("log/{program}.log"));
        Ok(String::from_utf8_lossy(&self.read_file(&path.to_string_lossy())?).into_owned())
    }

    /// Writes a file below `/run/leno` in the lab, whole.
    pub fn write_file(&self, path: &str, contents: &[u8]) -> Result<()> {
        self.order(&LabRequest::WriteFile { path: path.to_owned(), contents: contents.to_owned() })
    }

    /// Writes a document into a cluster's configuration directory.
    pub fn configure(&self, cluster: &str, name: &str, contents: &str) -> Result<()> {
        let contents = Some(contents.to_owned());
        self.order(&LabRequest::Configure { cluster: cluster.to_owned(), name: name.to_owned(), contents })
    }

    /// Removes a document from it.
    pub fn remove_config(&self, cluster: &str, name: &str) -> Result<()> {
        self.order(&LabRequest::Configure {
            cluster: cluster.to_owned(),
            name: name.to_owned(),
            contents: None,
        })
    }

    /// Every process of the lab with arguments and environment.
    pub fn processes(&self) -> Result<Vec<ProcessRow>> {
        match self.ask(&LabRequest::Processes)? {
            LabReply::Processes { processes } => Ok(processes),
            other => bail!("unexpected answer {other:?}"),
        }
    }

    /// Starts a packet capture on a bridge (`west`, `east`, `backbone`); returns when it sees packets.
    pub fn start_capture(&self, network: &str, name: &str) -> Result<()> {
        self.order(&LabRequest::Capture { network: network.to_owned(), name: name.to_owned() })
    }

    /// Ends it; its file in pcap format.
    pub fn end_capture(&self, name: &str) -> Result<Vec<u8>> {
        as_file(self.ask(&LabRequest::EndCapture { name: name.to_owned() })?)
    }

    /// GET from a port on a host's loopback address: admin pages (15000), metrics, a control plane's API (15080).
    pub fn get(&self, host: &str, port: u16, path: &str) -> Result<HttpAnswer> {
        self.http(host, port, "GET", path, &[], Vec::new())
    }

    /// Any request to a port on a host's loopback address.
    pub fn http(
        &self,
        host: &str,
        port: u16,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<HttpAnswer> {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (host, method, path) = (host.to_owned(), method.to_owned(), path.to_owned());
        match self.ask(&LabRequest::Http { host, port, method, path, headers, body })? {
            LabReply::Http(answer) => Ok(answer),
            other => bail!("unexpected answer {other:?}"),
        }
    }

    /// A fresh join token of a workload group in namespace `default`.
    pub fn token(&self, cluster: &str, group: &str) -> Result<String> {
        match self.ask(&LabRequest::Token { cluster: cluster.to_owned(), group: group.to_owned() })? {
            LabReply::Token { token } => Ok(token),
            other => bail!("unexpected answer {other:?}"),
        }
    }

    /// Ends the lab; returns when its launcher has let go of the control socket.
    pub fn end(&self) -> Result<()> {
        self.order(&LabRequest::End)?;
        wait::look_until(&format!("end of the demo {}", self.name), END_TIMEOUT, || {
            Ok(self.open().is_err().then_some(()))
        })
    }
}

/// The kernel takes some time to end every process of a PID namespace.
const END_TIMEOUT: Duration = Duration::from_secs(30);

fn as_status(reply: LabReply) -> Result<LabStatus> {
    match reply {
        LabReply::Status(status) => Ok(status),
        other => bail!("unexpected answer {other:?}"),
    }
}

fn as_file(reply: LabReply) -> Result<Vec<u8>> {
    match reply {
        LabReply::File { contents } => Ok(contents),
        other => bail!("unexpected answer {other:?}"),
    }
}

/// Sends SIGINT and SIGTERM to the command behind `stream`, so that it can end as it wants to. Other signals
/// end this process, and the lab then kills the command.
fn pass_signals(stream: &UnixStream) -> Result<()> {
    let signals: SigSet = wire::PASSED_SIGNALS.into_iter().collect();
    signals.thread_block().context("block signals")?;
    let mut stream = stream.try_clone().context("share a connection")?;
    let thread = std::thread::Builder::new().name("signals".into());
    thread
        .spawn(move || {
            while let Ok(signal) = signals.wait() {
                // The command may have ended just now.
                let _ = stream.write_all(&[signal as u8]);
            }
        })
        .context("start a thread")?;
    Ok(())
}

fn ended(stream: &UnixStream) -> Result<i32> {
    match wire::receive(stream)?.context("the lab ended")? {
        LabReply::Ended { code } => Ok(code),
        other => bail!("unexpected answer {other:?}"),
    }
}

/// A command that runs in a host. Dropping it kills the command and what it started.
#[derive(Debug)]
pub struct RemoteProcess {
    stream: UnixStream,
    /// Process id inside the lab.
    pub pid: i32,
    stdout: Option<PipeReader>,
    stderr: Option<PipeReader>,
}

impl RemoteProcess {
    /// Lines of standard output as they come; can be taken once.
    pub fn lines(&mut self) -> Result<impl Iterator<Item = std::io::Result<String>> + use<>> {
        let stdout = self.stdout.take().context("the output was taken already")?;
        Ok(BufReader::new(stdout).lines())
    }

    /// Waits for its end and collects what is left of its output.
    pub fn finish(mut self) -> Result<ExecOutput> {
        let stderr = self.stderr.take();
        let errors = std::thread::spawn(move || read_all(stderr));
        let stdout = read_all(self.stdout.take()).context("read the output")?;
        let stderr = errors.join().map_err(|_| anyhow::anyhow!("the reader of standard error failed"))??;
        let code = ended(&self.stream)?;
        Ok(ExecOutput { code, stdout, stderr })
    }
}

impl Drop for RemoteProcess {
    fn drop(&mut self) {
        // The lab sees the end of the connection and kills the command if it still runs.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

fn read_all(pipe: Option<PipeReader>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// How a test wants its lab.
#[derive(Clone, Debug)]
pub struct StartOptions {
    /// Tells labs apart; unique among those that run.
    pub name: String,
    /// Life of workloads' certificates, in seconds (30 to 86400).
    pub certificate_ttl_s: u32,
    /// Workers of each proxy.
    pub workers: u16,
    /// Log level of all programs.
    pub log: String,
}

impl StartOptions {
    /// Defaults of the demo under a name of its own.
    pub fn named(name: &str) -> Self {
        Self {
            name: format!("{name}-{}", std::process::id()),
            certificate_ttl_s: 600,
            workers: 1,
            log: "info".into(),
        }
    }
}

/// A lab of a test's own: ends with this value, and with the test's process at the latest.
#[derive(Debug)]
pub struct Lab {
    client: Client,
}

impl Lab {
    /// Starts `leno demo --detach` from the given binary and waits until all is ready.
    pub fn start(binary: &Path, options: &StartOptions) -> Result<Self> {
        let begun = Instant::now();
        let output = Command::new(binary)
            .args(["demo", "--detach", "--port=0", "--quiet"])
            .arg(format!("--name={}", options.name))
            .arg(format!("--certificate-ttl-s={}", options.certificate_ttl_s))
            .arg(format!("--workers={}", options.workers))
            .arg(format!("--log={}", options.log))
            .arg(format!("--with-pid={}", std::process::id()))
            .stdin(Stdio::null())
            .output()
            .context("run leno demo")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "leno demo did not start: {}", said.trim());
        eprintln!("lab {} ready after {:.1?}", options.name, begun.elapsed());
        Ok(Self { client: Client::connect(&options.name)? })
    }

    /// The address on the outer host's loopback that leads into `cluster` (`edge`, `west`, `east`).
    pub fn entrance(&self, cluster: &str) -> Result<std::net::SocketAddr> {
        let status = self.client.status()?;
        let address = status.entrances.get(cluster).with_context(|| format!("{cluster} has no entrance"))?;
        address.parse().context("read an entrance's address")
    }
}

impl std::ops::Deref for Lab {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Err(error) = self.client.end() {
            eprintln!("end lab {}: {error:#}", self.client.name);
        }
    }
}
