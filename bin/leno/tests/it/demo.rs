//! A running demo, driven from outside as a user would: through the command line and the lab's socket.

use lab::app::Answer;
use lab::client::Client;
use lab::load::Line;
use lab::protocol::{HttpAnswer, Manner, ProcessRow, Reply, Request, Status};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Most a test waits for a state. Generous: it is a deadline, not an expectation.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// Pause between two looks at a state.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The programs under test.
pub const LENO: &str = env!("CARGO_BIN_EXE_leno");

/// One lab, ended when dropped.
pub struct Demo {
    pub name: String,
}

/// A load that runs in a host. See [`Demo::load`].
pub struct Load {
    child: Child,
    lines: std::sync::mpsc::Receiver<Line>,
    seen: Vec<Line>,
}

impl Demo {
    pub fn start(test: &str) -> Self {
        Self::start_with(test, &[])
    }

    pub fn start_with(test: &str, arguments: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{test}-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let began = Instant::now();
        let output = Command::new(LENO)
            .args(["demo", "--detach", "--name", &name, "--port", "0"])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("leno runs");
        assert!(output.status.success(), "demo did not start: {}", text(&output));
        println!("{test}: demo ready after {:?}", began.elapsed());
        Self { name }
    }

    pub fn ask(&self, request: &Request) -> Reply {
        let mut client = Client::connect(&self.name).expect("the lab answers");
        match client.ask(request).expect("the lab answers") {
            Reply::Failed { message } => panic!("{request:?}: {message}"),
            reply => reply,
        }
    }

    /// Runs a command in a host and returns its output.
    pub fn exec(&self, host: &str, command: &[&str]) -> Output {
        let mut leno = Command::new(LENO);
        leno.args(["demo", "--name", &self.name, "exec", host, "--"]).args(command).stdin(Stdio::null());
        leno.output().expect("leno runs")
    }

    /// The same, which must succeed; its standard output.
    pub fn run(&self, host: &str, command: &[&str]) -> String {
        let output = self.exec(host, command);
        assert!(output.status.success(), "{command:?} in {host}: {}", text(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// `leno ...` in a cluster's control host, where its API listens.
    pub fn leno(&self, cluster: &str, arguments: &[&str]) -> Output {
        let command: Vec<&str> = [LENO].into_iter().chain(arguments.iter().copied()).collect();
        self.exec(&format!("{cluster}/control"), &command)
    }

    /// One GET from a host by `curl`; status and body.
    pub fn curl(&self, host: &str, arguments: &[&str]) -> (u16, String) {
        let mut command = vec!["curl", "-sS", "--max-time", "20", "-w", "\n%{http_code}"];
        command.extend(arguments);
        let output = self.run(host, &command);
        let (body, status) = output.rsplit_once('\n').expect("curl prints the status");
        (status.trim().parse().expect("a status"), body.to_owned())
    }

    /// The demo application's answer to one GET.
    pub fn answer(&self, host: &str, arguments: &[&str]) -> Answer {
        let (status, body) = self.curl(host, arguments);
        assert_eq!(status, 200, "{arguments:?} in {host}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
    }

    /// A constant load from a host; `url` last.
    pub fn load(&self, host: &str, rate: u32, duration: &str, arguments: &[&str]) -> Load {
        let rate = rate.to_string();
        let mut child = Command::new(LENO)
            .args(["demo", "--name", &self.name, "exec", host, "--", LENO, "demo-load"])
            .args(["--rate", &rate, "--duration", duration])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("leno runs");
        let stdout = child.stdout.take().expect("piped");
        let (send, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let line: Line = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Load { child, lines, seen: Vec::new() }
    }

    pub fn scale(&self, service: &str, replicas: u32, manner: Manner) {
        self.ask(&Request::Scale { service: service.into(), replicas, manner });
    }

    pub fn kill(&self, host: &str) {
        self.ask(&Request::Kill { host: host.into() });
    }

    pub fn start_host(&self, host: &str) {
        self.ask(&Request::Start { host: host.into() });
    }

    pub fn pause(&self, host: &str) {
        self.ask(&Request::Pause { host: host.into() });
    }

    pub fn resume(&self, host: &str) {
        self.ask(&Request::Resume { host: host.into() });
    }

    /// Writes (or removes) a file of a cluster's configuration directory.
    pub fn configure(&self, cluster: &str, name: &str, contents: Option<&str>) {
        let contents = contents.map(str::to_owned);
        self.ask(&Request::Configure { cluster: cluster.into(), name: name.into(), contents });
    }

    pub fn status(&self) -> Status {
        match self.ask(&Request::Status) {
            Reply::Status(status) => status,
            other => panic!("{other:?}"),
        }
    }

    pub fn processes(&self) -> Vec<ProcessRow> {
        match self.ask(&Request::Processes) {
            Reply::Processes { processes } => processes,
            other => panic!("{other:?}"),
        }
    }

    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let Reply::Files { paths } = self.ask(&Request::Files) else { panic!("files expected") };
        paths.into_iter().map(|path| (path.clone(), self.file(&path))).collect()
    }

    pub fn file(&self, path: &str) -> Vec<u8> {
        match self.ask(&Request::ReadFile { path: path.into() }) {
            Reply::File { contents } => contents,
            other => panic!("{other:?}"),
        }
    }

    /// GET on a host's loopback address.
    pub fn http(&self, host: &str, port: u16, path: &str) -> HttpAnswer {
        let request = Request::Http {
            host: host.into(),
            port,
            method: "GET".into(),
            path: path.into(),
            headers: Vec::new(),
            body: Vec::new(),
        };
        match self.ask(&request) {
            Reply::Http(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    /// The same, as text; 200 expected.
    pub fn page(&self, host: &str, port: u16, path: &str) -> String {
        let answer = self.http(host, port, path);
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, 200, "{host}:{port}{path}: {body}");
        body
    }

    /// Sum of all series of a metric whose text contains every one of `labels`.
    pub fn metric(&self, host: &str, port: u16, name: &str, labels: &[&str]) -> f64 {
        let path = if port == 15000 { "/stats/prometheus" } else { "/metrics" };
        let page = self.page(host, port, path);
        let series = page.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        });
        series.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }

    /// A control plane's view of its proxies.
    pub fn proxies(&self, cluster: &str) -> Vec<Value> {
        let page = self.page(&format!("{cluster}/control"), lab::plan::API_PORT, "/leno/v1/status");
        let status: Value = serde_json::from_str(&page).expect("JSON");
        status["proxies"].as_array().expect("proxies").clone()
    }

    /// Lines of a proxy's access log.
    pub fn access_log(&self, host: &str) -> Vec<Value> {
        let name = format!("/{host}/access.log");
        let files = self.files();
        let (_, contents) = files
            .iter()
            .find(|(path, _)| path.ends_with(&name))
            .unwrap_or_else(|| panic!("no {name} among {:?}", files.keys()));
        let text = String::from_utf8_lossy(contents);
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Everything that a host's processes wrote to their logs.
    pub fn logs(&self, host: &str) -> String {
        let part = format!("/{host}/");
        let files = self.files();
        let logs = files.iter().filter(|(path, _)| path.contains(&part) && path.ends_with(".log"));
        logs.map(|(_, contents)| String::from_utf8_lossy(contents).into_owned()).collect()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.keep_evidence();
        }
        let _ = Command::new(LENO).args(["demo", "--name", &self.name, "stop"]).output();
    }
}

impl Demo {
    /// After a failure: all logs of the lab, in a directory that is printed.
    fn keep_evidence(&self) {
        let directory = std::env::temp_dir().join(format!("leno-{}", self.name));
        let Ok(mut client) = Client::connect(&self.name) else { return };
        let Ok(Reply::Files { paths }) = client.ask(&Request::Files) else { return };
        for path in paths {
            let Ok(mut client) = Client::connect(&self.name) else { return };
            let Ok(Reply::File { contents }) = client.ask(&Request::ReadFile { path: path.clone() }) else {
                continue;
            };
            let target = directory.join(path.trim_start_matches('/'));
            let _ = target.parent().map(std::fs::create_dir_all);
            let _ = std::fs::write(target, contents);
        }
        println!("logs of the lab are kept in {}", directory.display());
    }
}

impl Load {
    /// All lines so far.
    pub fn seen(&mut self) -> &[Line] {
        while let Ok(line) = self.lines.try_recv() {
            self.seen.push(line);
        }
        &self.seen
    }

    /// Waits until `enough` holds of the lines so far.
    pub fn wait(&mut self, what: &str, enough: impl Fn(&[Line]) -> bool) {
        wait_until(what, || enough(self.seen()));
    }

    /// Waits until `count` further requests have been answered.
    pub fn wait_for_more(&mut self, count: usize) {
        let goal = self.seen().len() + count;
        self.wait(&format!("{count} further requests"), |lines| lines.len() >= goal);
    }

    /// Ends the load and returns all lines in the order in which the requests started.
    pub fn end(mut self) -> Vec<Line> {
        // The exec client passes SIGTERM on to the load, which finishes what it has begun.
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
        let mut lines = std::mem::take(&mut self.seen);
        lines.extend(self.lines.iter());
        lines.sort_by_key(|line| line.number);
        lines
    }
}

/// Every request succeeded.
pub fn assert_no_failure(lines: &[Line]) {
    let failed: Vec<_> = lines.iter().filter(|line| !line.is_ok()).take(5).collect();
    assert!(failed.is_empty(), "of {} requests these failed first: {failed:#?}", lines.len());
    assert!(!lines.is_empty(), "the load sent nothing");
}

/// How often the cluster that answered as `service` changed from one request to the next.
pub fn changes(lines: &[Line], service: &str) -> usize {
    let clusters: Vec<_> = lines.iter().filter_map(|line| line.cluster_of(service)).collect();
    clusters.windows(2).filter(|pair| pair[0] != pair[1]).count()
}

/// Looks until it holds, at most [`DEADLINE`]; prints how long it took.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < DEADLINE, "waited {DEADLINE:?} in vain for: {what}");
        std::thread::park_timeout(LOOK_EVERY);
    }
    println!("{what}: after {:?}", began.elapsed());
}

pub fn text(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
