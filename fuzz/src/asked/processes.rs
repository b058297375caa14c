//! nginx and HAProxy as they are installed, each before a server of ours that notes what they pass on.
//!
//! All talk over sockets in a folder of this run: no ports, and nothing outside is touched.

use super::Taken;
use crate::case::Case;
use crate::understanding::{TakenMessage, Understanding, canonical, host_name, statuses, text};
use anyhow::{Context, ensure};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{LocalSet, spawn_local};

/// How long a process may take to listen, and to answer a case.
const START_MAX: Duration = Duration::from_secs(10);
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How long an answer may take that codec gave, until it counts as none.
const LAST_ANSWER_MAX: Duration = Duration::from_millis(200);
/// Where Debian has them.
const NGINX: &str = "/usr/sbin/nginx";
const HAPROXY: &str = "/usr/sbin/haproxy";
/// What nginx takes for the host, told to the server behind it.
const HOST_TOLD: &str = "x-told-host";
/// Which case a request is of: what was given up may come late. It goes in as the port of the PROXY protocol.
const CASE_TOLD: &str = "x-told-case";

/// A proxy, and what the server behind it notes.
struct Proxy {
    child: Child,
    socket: PathBuf,
    noted: Rc<Noted>,
}

/// What the server behind a proxy sees.
#[derive(Default)]
struct Noted {
    taken: Taken,
    /// Counts cases.
    number: Cell<u16>,
    /// Connections at hand.
    open: Cell<usize>,
}

/// The processes and the servers behind them; all end when this is dropped.
pub(crate) struct OtherProxies {
    runtime: tokio::runtime::Runtime,
    local: LocalSet,
    nginx: Proxy,
    haproxy: Proxy,
    _folder: tempfile::TempDir,
}

impl OtherProxies {
    /// Starts both; fails if one is not installed.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let local = LocalSet::new();
        let (nginx, haproxy) = local.block_on(&runtime, async {
            let nginx = nginx(folder.path())?;
            let haproxy = haproxy(folder.path())?;
            anyhow::Ok((nginx, haproxy))
        })?;
        let processes = OtherProxies { runtime, local, nginx, haproxy, _folder: folder };
        for proxy in [&processes.nginx, &processes.haproxy] {
            let began = Instant::now();
            while processes.local.block_on(&processes.runtime, UnixStream::connect(&proxy.socket)).is_err() {
                ensure!(began.elapsed() < START_MAX, "{} does not listen", proxy.socket.display());
                std::thread::yield_now();
            }
        }
        Ok(processes)
    }

    /// What nginx and HAProxy make of `case`, in which codec took so many messages.
    pub(crate) fn read(&self, case: &Case, expected: usize) -> anyhow::Result<[Understanding; 2]> {
        self.local.block_on(&self.runtime, async {
            let nginx = self.nginx.read(case, expected);
            let haproxy = self.haproxy.read(case, expected);
            let (nginx, haproxy) = tokio::join!(nginx, haproxy);
            Ok([nginx?, haproxy?])
        })
    }
}

impl Proxy {
    fn start(command: &mut Command, folder: &Path, name: &str) -> anyhow::Result<Self> {
        let noted = Rc::<Noted>::default();
        let listener = UnixListener::bind(folder.join(format!("{name}.behind")))?;
        spawn_local(serve(listener, Rc::clone(&noted)));
        let child = command
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.join(format!("{name}.log")))?)
            .spawn()
            .with_context(|| format!("start {name}; is it installed?"))?;
        Ok(Proxy { child, socket: folder.join(format!("{name}.socket")), noted })
    }

    async fn read(&self, case: &Case, expected: usize) -> anyhow::Result<Understanding> {
        self.noted.taken.borrow_mut().clear();
        let number = self.noted.number.get() % u16::MAX + 1;
        self.noted.number.set(number);
        let mut stream = UnixStream::connect(&self.socket).await.context("connect to a proxy")?;
        stream.write_all(format!("PROXY TCP4 127.0.0.1 127.0.0.1 {number} 80\r\n").as_bytes()).await?;
        let answers = tokio::time::timeout(ANSWER_MAX, converse(stream, case, expected)).await;
        let quiet = async {
            while self.noted.open.get() > 0 {
                tokio::task::yield_now().await;
            }
        };
        let is_quiet = tokio::time::timeout(ANSWER_MAX, quiet).await.is_ok();
        let end = answers.map_or_else(|_| "hangs".into(), |answers| statuses(&answers));
        let end = if is_quiet { end } else { format!("{end}; holds on") };
        Ok(Understanding { taken: self.noted.taken.take(), end })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn nginx(folder: &Path) -> anyhow::Result<Proxy> {
    let at = folder.display();
    let config = format!(
        "daemon off; master_process off; pid {at}/nginx.pid; error_log {at}/nginx.error crit;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;
    scgi_temp_path {at}/scgi; uwsgi_temp_path {at}/uwsgi;
    server {{
        listen unix:{at}/nginx.socket proxy_protocol;
        server_name no-host;
        client_max_body_size 0;
        large_client_header_buffers 8 96k;
        keepalive_requests 1000000;
        location / {{
            proxy_pass http://unix:{at}/nginx.behind;
            proxy_http_version 1.1;
            proxy_ignore_client_abort on;
            proxy_set_header Host $http_host;
            proxy_set_header {HOST_TOLD} $host;
            proxy_set_header {CASE_TOLD} $proxy_protocol_port;
        }}
    }}
}}
"
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, config)?;
    Proxy::start(Command::new(NGINX).arg("-p").arg(folder).arg("-c").arg(&file), folder, "nginx")
}

fn haproxy(folder: &Path) -> anyhow::Result<Proxy> {
    let at = folder.display();
    let config = format!(
        "global
    nbthread 1
    tune.bufsize 131072
    tune.http.maxhdr 512
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
    http-reuse never
frontend front
    bind unix@{at}/haproxy.socket accept-proxy
    http-request set-header {CASE_TOLD} %[src_port]
    default_backend behind
backend behind
    server one unix@{at}/haproxy.behind
"
    );
    let file = folder.join("haproxy.cfg");
    std::fs::write(&file, config)?;
    Proxy::start(Command::new(HAPROXY).arg("-db").arg("-f").arg(&file), folder, "haproxy")
}

/// Writes the case, waits for so many answers, ends the sending side, and returns all that comes back: HAProxy would
/// give up requests of a client that seems to leave, and only sometimes.
async fn converse(stream: UnixStream, case: &Case, expected: usize) -> Vec<u8> {
    let (mut read, mut write) = stream.into_split();
    let mut answers = Vec::new();
    for piece in case.pieces() {
        // Whoever has refused it does not read on.
        if write.write_all(piece).await.is_err() {
            break;
        }
    }
    let reading = async {
        while final_answers(&answers) < expected {
            if !matches!(read.read_buf(&mut answers).await, Ok(1..)) {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(LAST_ANSWER_MAX, reading).await;
    let _ = write.shutdown().await;
    let _ = read.read_to_end(&mut answers).await;
    answers
}

/// How many answers there are that are no interim ones.
fn final_answers(answers: &[u8]) -> usize {
    statuses(answers).split(' ').filter(|status| !status.is_empty() && !status.starts_with('1')).count()
}

async fn serve(listener: UnixListener, noted: Rc<Noted>) {
    while let Ok((stream, _)) = listener.accept().await {
        let noted = Rc::clone(&noted);
        noted.open.set(noted.open.get() + 1);
        spawn_local(async move {
            // What broke off is not whole, and stays so.
            let _ = answer(stream, &noted).await;
            noted.open.set(noted.open.get() - 1);
        });
    }
}

/// Reads one request, as a proxy writes it: nobody else comes here.
async fn answer(stream: UnixStream, noted: &Noted) -> anyhow::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = text(&head);
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let (line, _) = line.rsplit_once(' ').unwrap_or((line, ""));
    let (method, target) = line.split_once(' ').unwrap_or((line, ""));
    let fields: Vec<(String, &str)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim_matches([' ', '\t'])))
        .collect();
    let field = |wanted: &str| fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| *value);
    let (start, mut host) = canonical(method, target, field("host").unwrap_or_default());
    if let Some(told) = field(HOST_TOLD) {
        host = if told == "no-host" { String::new() } else { host_name(told) };
    }
    if field(CASE_TOLD).and_then(|told| told.parse().ok()) != Some(noted.number.get()) {
        return Ok(());
    }
    let place = super::begin(&noted.taken, TakenMessage { start, host, ..TakenMessage::default() });
    let body = match field("transfer-encoding") {
        Some(_) => chunks(&mut stream).await?,
        None => {
            let len = field("content-length").unwrap_or("0").parse()?;
            exactly(&mut stream, len).await?
        }
    };
    if let Some(message) = noted.taken.borrow_mut().get_mut(place) {
        message.body = body;
        message.is_whole = true;
    }
    let status = if method == "CONNECT" { "405 Method Not Allowed" } else { "200 OK" };
    let response = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(response.as_bytes()).await?;
    stream.shutdown().await?;
    Ok(())
}

async fn chunks(stream: &mut BufReader<UnixStream>) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = line(stream).await?;
        let digits: String = size.chars().take_while(char::is_ascii_hexdigit).collect();
        let size = u64::from_str_radix(&digits, 16)?;
        if size == 0 {
            while !line(stream).await?.is_empty() {}
            return Ok(body);
        }
        body.extend_from_slice(&exactly(stream, size).await?);
        ensure!(line(stream).await?.is_empty(), "no end of line behind a chunk");
    }
}

/// So many bytes; memory only for those that come.
async fn exactly(stream: &mut BufReader<UnixStream>, len: u64) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.take(len).read_to_end(&mut bytes).await?;
    ensure!(bytes.len() as u64 == len, "broke off");
    Ok(bytes)
}

async fn line(stream: &mut BufReader<UnixStream>) -> anyhow::Result<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(stream.read_u8().await?);
    }
    line.truncate(line.len() - 2);
    Ok(text(&line))
}
