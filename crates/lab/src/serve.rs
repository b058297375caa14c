//! Answers to the control socket. One connection, one request; each in its own task.

use crate::files::{self, ROOT};
use crate::host::{Host, HostCondition};
use crate::inside::Inside;
use crate::lifecycle;
use crate::namespace::LinkState;
use crate::network;
use crate::pcap::Capture;
use crate::plan::CONTROLLED;
use crate::protocol::{Drops, EXEC_FDS, HttpAnswer, LabReply, LabRequest, ProcessRow};
use crate::ready;
use crate::wire::{self, HEADER_BYTES};
use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use serde::Serialize;
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::rc::Rc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

/// The table that holds the rules of `Drop`.
const DROPS_TABLE: &str = "inet leno-faults";

/// Answers until a client asks for the lab's end.
pub(crate) async fn serve(listener: std::os::unix::net::UnixListener, inside: &Rc<Inside>) -> Result<()> {
    listener.set_nonblocking(true)?;
    let listener = UnixListener::from_std(listener).context("listen for commands")?;
    let (end, mut ended) = mpsc::channel(1);
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let (inside, end) = (Rc::clone(inside), end.clone());
                tokio::task::spawn_local(async move {
                    // The other side sees the connection close; there is nobody else to tell.
                    if let Err(error) = converse(stream, &inside, end).await {
                        tracing::debug!(%error, "a command's connection failed");
                    }
                });
            }
            _ = ended.recv() => return Ok(()),
        }
    }
}

async fn converse(mut stream: UnixStream, inside: &Rc<Inside>, end: mpsc::Sender<()>) -> Result<()> {
    // The launcher's user is the one that is mapped here, so it is the only one with our user id.
    let peer = stream.peer_cred().context("read peer credentials")?;
    if peer.uid() != nix::unistd::geteuid().as_raw() {
        let message = "this lab belongs to another user".to_owned();
        return send(&mut stream, &LabReply::Failed { message }).await;
    }
    let (request, fds) = receive(&mut stream).await?;
    match request {
        LabRequest::Exec { host, command, environment } => {
            exec(stream, inside, &host, &command, environment, fds).await
        }
        LabRequest::End => {
            send(&mut stream, &LabReply::Done).await?;
            let _ = end.send(()).await;
            Ok(())
        }
        other => {
            let reply = match answer(inside, other).await {
                Ok(reply) => reply,
                Err(error) => LabReply::Failed { message: format!("{error:#}") },
            };
            send(&mut stream, &reply).await
        }
    }
}

async fn answer(inside: &Inside, request: LabRequest) -> Result<LabReply> {
    match request {
        LabRequest::Status => return Ok(LabReply::Status(inside.status())),
        LabRequest::WaitReady => {
            inside.wait_ready().await?;
            return Ok(LabReply::Status(inside.status()));
        }
        LabRequest::Files => {
            let paths = files::list(Path::new(ROOT))?;
            return Ok(LabReply::Files {
                paths: paths.iter().map(|path| path.to_string_lossy().into_owned()).collect(),
            });
        }
        LabRequest::ReadFile { path } => return read_file(Path::new(&path)),
        LabRequest::Processes => return Ok(LabReply::Processes { processes: processes(inside)? }),
        LabRequest::EndCapture { name } => return end_capture(inside, &name).await,
        LabRequest::Http { host, port, method, path, headers, body } => {
            let host = inside.host(&host)?;
            return Ok(LabReply::Http(http(&host, port, &method, &path, &headers, body).await?));
        }
        LabRequest::Token { cluster, group } => {
            return Ok(LabReply::Token { token: lifecycle::token(inside, &cluster, &group).await? });
        }
        other => act(inside, other).await?,
    }
    Ok(LabReply::Done)
}

/// Requests that change something and have no answer but that it is done.
async fn act(inside: &Inside, request: LabRequest) -> Result<()> {
    match request {
        LabRequest::Scale { service, replicas, manner } => {
            lifecycle::scale(inside, &service, replicas, manner).await
        }
        LabRequest::Kill { host } => {
            lifecycle::kill(&*inside.host(&host)?).await;
            Ok(())
        }
        LabRequest::Stop { host } => {
            lifecycle::stop(&*inside.host(&host)?).await;
            Ok(())
        }
        LabRequest::Start { host } => lifecycle::start(inside, &inside.host(&host)?).await,
        LabRequest::Pause { host } => {
            lifecycle::pause(&*inside.host(&host)?, HostCondition::Paused);
            Ok(())
        }
        LabRequest::Resume { host } => {
            lifecycle::pause(&*inside.host(&host)?, HostCondition::Ready);
            Ok(())
        }
        LabRequest::Cut { host } => network::set_cables(&*inside.host(&host)?, LinkState::Down).await,
        LabRequest::Restore { host } => network::set_cables(&*inside.host(&host)?, LinkState::Up).await,
        LabRequest::Drop(drops) => drop_packets(inside, &drops).await,
        LabRequest::Pass { host } => {
            let script = format!("add table {DROPS_TABLE}\ndelete table {DROPS_TABLE}\n");
            inside.host(&host)?.apply_rules(&inside.ground, &script).await
        }
        LabRequest::WriteFile { path, contents } => {
            ensure!(files::is_inside(Path::new(&path)), "{path} is not below {ROOT}");
            files::write_atomically(Path::new(&path), &contents)
        }
        LabRequest::Configure { cluster, name, contents } => configure(&cluster, &name, contents.as_deref()),
        LabRequest::Capture { network, name } => capture(inside, &network, &name).await,
        other => bail!("unexpected request {other:?}"),
    }
}

async fn exec(
    mut stream: UnixStream,
    inside: &Inside,
    host: &str,
    command: &[String],
    environment: BTreeMap<String, String>,
    fds: Vec<OwnedFd>,
) -> Result<()> {
    let running = match start_command(inside, host, command, environment, fds) {
        Ok(running) => running,
        Err(error) => return send(&mut stream, &LabReply::Failed { message: format!("{error:#}") }).await,
    };
    send(&mut stream, &LabReply::Started { pid: running.pid }).await?;
    let mut byte = [0];
    loop {
        let read = tokio::select! {
            code = running.ended() => return send(&mut stream, &LabReply::Ended { code }).await,
            read = stream.read(&mut byte) => read,
        };
        match (read, wire::passed_signal(byte[0])) {
            (Ok(1), Some(signal)) => running.signal_group(signal),
            // The client is gone, or talks nonsense.
            _ => {
                running.signal_group(Signal::SIGKILL);
                return Ok(());
            }
        }
    }
}

fn start_command(
    inside: &Inside,
    host: &str,
    command: &[String],
    environment: BTreeMap<String, String>,
    fds: Vec<OwnedFd>,
) -> Result<crate::process::RunningProcess> {
    let [stdin, stdout, stderr] = <[OwnedFd; EXEC_FDS]>::try_from(fds)
        .map_err(|fds| anyhow::anyhow!("{} descriptors came along instead of {EXEC_FDS}", fds.len()))?;
    let (program, arguments) = command.split_first().context("no command was given")?;
    let mut command = inside.host(host)?.command(&inside.ground, program, Vec::new())?;
    command.args(arguments).envs(environment);
    command.stdin(Stdio::from(stdin)).stdout(Stdio::from(stdout)).stderr(Stdio::from(stderr));
    Ok(inside.ground.processes.spawn(&mut command)?.0)
}

fn read_file(path: &Path) -> Result<LabReply> {
    ensure!(files::is_inside(path), "{} is not below {ROOT}", path.display());
    let contents = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    Ok(LabReply::File { contents })
}

fn configure(cluster: &str, name: &str, contents: Option<&str>) -> Result<()> {
    ensure!(
        CONTROLLED.contains(&cluster),
        "{cluster} has no control plane; these have: {}",
        CONTROLLED.join(", ")
    );
    ensure!(!name.contains('/') && !name.starts_with('.'), "{name} is not a file name");
    let path = files::in_host(&format!("{cluster}/control"), &format!("config/{name}"));
    match contents {
        Some(text) => files::write_atomically(&path, text.as_bytes()),
        None => std::fs::remove_file(&path).with_context(|| format!("remove {}", path.display())),
    }
}

async fn http(
    host: &Host,
    port: u16,
    method: &str,
    path: &str,
    headers: &[(String, String)],
    body: Vec<u8>,
) -> Result<HttpAnswer> {
    let mut request = http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    ready::call(host, port, request.body(body.into())?).await
}

async fn drop_packets(inside: &Inside, drops: &Drops) -> Result<()> {
    let mut script = format!("add table {DROPS_TABLE}\n");
    for hook in ["input", "output", "forward"] {
        script.push_str(&format!(
            "add chain {DROPS_TABLE} {hook} {{ type filter hook {hook} priority 0; }}\n\
             add rule {DROPS_TABLE} {hook} {} counter drop\n",
            drops.matching
        ));
    }
    inside.host(&drops.host)?.apply_rules(&inside.ground, &script).await
}

fn capture_path(name: &str) -> Result<PathBuf> {
    let ok = |c: char| c.is_ascii_alphanumeric() || c == '-';
    ensure!(!name.is_empty() && name.chars().all(ok), "{name} is not a name for a capture");
    Ok(Path::new(ROOT).join("captures").join(format!("{name}.pcap")))
}

async fn capture(inside: &Inside, network: &str, name: &str) -> Result<()> {
    let path = capture_path(name)?;
    ensure!(!inside.captures.borrow().contains_key(name), "a capture named {name} is running");
    let holder =
        inside.networks()?.bridge(network).with_context(|| format!("there is no network {network}"))?;
    let capture = Capture::start(&holder.namespace, &path).await?;
    inside.captures.borrow_mut().insert(name.to_owned(), capture);
    Ok(())
}

async fn end_capture(inside: &Inside, name: &str) -> Result<LabReply> {
    let capture = inside.captures.borrow_mut().remove(name);
    let capture = capture.with_context(|| format!("no capture named {name} is running"))?;
    read_file(&capture.end().await?)
}

/// Every process of the lab's PID namespace.
fn processes(inside: &Inside) -> Result<Vec<ProcessRow>> {
    let mut programs = BTreeMap::new();
    for host in inside.all_hosts() {
        for (program, pid) in host.running() {
            programs.insert(pid, program);
        }
    }
    let mut rows = Vec::new();
    for entry in std::fs::read_dir("/proc").context("list /proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // It may end while we look.
        let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let environment = read("environ");
        let host = environment.split(|byte| *byte == 0).find_map(|pair| pair.strip_prefix(b"LENO_HOST="));
        let arguments = read("cmdline");
        let stat = String::from_utf8_lossy(&read("stat")).into_owned();
        // After the name in parentheses, which may hold anything: state, then parent.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        rows.push(ProcessRow {
            pid,
            parent: parent.unwrap_or_default(),
            host: host.map(|name| String::from_utf8_lossy(name).into_owned()).unwrap_or_default(),
            program: programs.get(&pid).map(|name| (*name).to_owned()).unwrap_or_default(),
            arguments: arguments
                .split(|byte| *byte == 0)
                .filter(|part| !part.is_empty())
                .map(|part| String::from_utf8_lossy(part).into_owned())
                .collect(),
            environment,
        });
    }
    rows.sort_by_key(|row| row.pid);
    Ok(rows)
}

async fn send(stream: &mut UnixStream, message: &impl Serialize) -> Result<()> {
    stream.write_all(&wire::encode(message)?).await.context("answer a command")
}

/// One request with the descriptors that came along.
async fn receive(stream: &mut UnixStream) -> Result<(LabRequest, Vec<OwnedFd>)> {
    let mut header = [0; HEADER_BYTES];
    let (mut filled, mut fds) = (0, Vec::new());
    while filled < HEADER_BYTES {
        let socket = stream.as_raw_fd();
        let into = &mut header[filled..];
        let read = stream.async_io(Interest::READABLE, || wire::receive_header(socket, into)).await?;
        ensure!(read.0 > 0, "the connection closed before a request");
        filled += read.0;
        fds.extend(read.1);
    }
    let mut body = vec![0; wire::body_length(header)?];
    stream.read_exact(&mut body).await.context("read a request")?;
    Ok((serde_json::from_slice(&body).context("read a request")?, fds))
}
