//! A running demo, driven from outside as a user would: through the command line and the lab's socket.

use lab::app::AppAnswer;
use lab::client::Client;
use lab::load::LoadLine;
use lab::protocol::{LabStatus, Manner};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Most a test waits for a state. Generous: it is a deadline, not an expectation.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// Pause between two looks at a state.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The programs under test.
pub(crate) const LENO: &str = env!("CARGO_BIN_EXE_leno");

/// One lab, ended when dropped.
pub(crate) struct Demo {
    pub name: String,
    /// For what needs no wrapper here; its errors fail the test.
    pub client: Client,
}

/// A load that runs in a host. See [`Demo::load`].
pub(crate) struct Load {
    child: Child,
    lines: std::sync::mpsc::Receiver<Result<LoadLine, String>>,
    seen: Vec<LoadLine>,
}

impl Demo {
    pub(crate) fn start(test: &str) -> Self {
        Self::start_with(test, &[])
    }

    pub(crate) fn start_with(test: &str, arguments: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let me = std::process::id().to_string();
        let name = format!("{test}-{me}-{}", NEXT.fetch_add(1, Relaxed));
        let began = Instant::now();
        let output = Command::new(LENO)
            .args(["demo", "--detach", "--quiet", "--name", &name, "--port", "0", "--with-pid", &me])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("leno runs");
        assert!(output.status.success(), "demo did not start: {}", text(&output));
        println!("{test}: demo ready after {:?}", began.elapsed());
        let client = Client::connect(&name).expect("the lab answers");
        Self { name, client }
    }

    /// Runs a command in a host and returns its output.
    pub(crate) fn exec(&self, host: &str, command: &[&str]) -> Output {
        let mut leno = Command::new(LENO);
        leno.args(["demo", "--name", &self.name, "exec", host, "--"]).args(command).stdin(Stdio::null());
        leno.output().expect("leno runs")
    }

    /// The same, which must succeed; its standard output.
    pub(crate) fn run(&self, host: &str, command: &[&str]) -> String {
        let output = self.exec(host, command);
        assert!(output.status.success(), "{command:?} in {host}: {}", text(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// `leno ...` in a cluster's control host, where its API listens.
    pub(crate) fn leno(&self, cluster: &str, arguments: &[&str]) -> Output {
        let command: Vec<&str> = [LENO].into_iter().chain(arguments.iter().copied()).collect();
        self.exec(&format!("{cluster}/control"), &command)
    }

    /// One GET from a host by `curl`; status and body.
    pub(crate) fn curl(&self, host: &str, arguments: &[&str]) -> (u16, String) {
        let mut command = vec!["curl", "-sS", "--max-time", "20", "-w", "\n%{http_code}"];
        command.extend(arguments);
        let output = self.run(host, &command);
        let (body, status) = output.rsplit_once('\n').expect("curl prints the status");
        (status.trim().parse().expect("a status"), body.to_owned())
    }

    /// The demo application's answer to one GET.
    pub(crate) fn answer(&self, host: &str, arguments: &[&str]) -> AppAnswer {
        let (status, body) = self.curl(host, arguments);
        assert_eq!(status, 200, "{arguments:?} in {host}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
    }

    /// A constant load from a host; `url` last.
    pub(crate) fn load(&self, host: &str, rate: u32, duration: &str, arguments: &[&str]) -> Load {
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
                let line = serde_json::from_str(&line).map_err(|error| format!("{error}: {line}"));
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Load { child, lines, seen: Vec::new() }
    }

    pub(crate) fn scale(&self, service: &str, replicas: u32, manner: Manner) {
        self.client.scale(service, replicas, manner).expect("scaled");
    }

    pub(crate) fn kill(&self, host: &str) {
        self.client.kill(host).expect("killed");
    }

    pub(crate) fn start_host(&self, host: &str) {
        self.client.start_host(host).expect("started");
    }

    /// Writes (or removes) a file of a cluster's configuration directory.
    pub(crate) fn configure(&self, cluster: &str, name: &str, contents: Option<&str>) {
        match contents {
            Some(contents) => self.client.configure(cluster, name, contents).expect("written"),
            None => self.client.remove_config(cluster, name).expect("removed"),
        }
    }

    pub(crate) fn status(&self) -> LabStatus {
        self.client.status().expect("the lab's status")
    }

    /// Every file that the lab created.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let paths = self.client.files().expect("a list of files");
        // A file may vanish between the list and the look.
        paths
            .into_iter()
            .filter_map(|path| Some((path.clone(), self.client.read_file(&path).ok()?)))
            .collect()
    }

    /// Writes a file that a host sees as `/run/leno/NAME`; returns that path.
    pub(crate) fn write_in_host(&self, host: &str, name: &str, contents: &str) -> String {
        let path = format!("/run/leno/hosts/{host}/leno/{name}");
        self.client.write_file(&path, contents.as_bytes()).expect("written");
        format!("/run/leno/{name}")
    }

    /// GET on a host's loopback address, as text; 200 expected.
    pub(crate) fn page(&self, host: &str, port: u16, path: &str) -> String {
        let answer = self.client.get(host, port, path).expect("an answer");
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, 200, "{host}:{port}{path}: {body}");
        body
    }

    /// Sum of all series of a metric whose text contains every one of `labels`.
    pub(crate) fn metric(&self, host: &str, port: u16, name: &str, labels: &[&str]) -> f64 {
        let path = if port == 15000 { "/stats/prometheus" } else { "/metrics" };
        let page = self.page(host, port, path);
        let series = page.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        });
        series.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }

    /// A control plane's view of its proxies.
    pub(crate) fn proxies(&self, cluster: &str) -> Vec<Value> {
        let page = self.page(&format!("{cluster}/control"), lab::plan::API_PORT, "/leno/v1/status");
        let status: Value = serde_json::from_str(&page).expect("JSON");
        status["proxies"].as_array().expect("proxies").clone()
    }

    /// One of them, by the name of its group.
    pub(crate) fn proxy(&self, cluster: &str, group: &str) -> Value {
        let found = self.proxies(cluster).into_iter().find(|proxy| proxy["group"] == group);
        found.unwrap_or_else(|| panic!("{group} is not in the status of {cluster}"))
    }

    /// Makes a change and waits until a proxy that it concerns has confirmed to run it.
    pub(crate) fn change(&self, cluster: &str, group: &str, change: impl FnOnce()) {
        let before = self.proxy(cluster, group);
        assert_eq!(before["synced"], true, "{before}");
        change();
        wait_until(&format!("{cluster}/{group} runs the change"), || {
            let now = self.proxy(cluster, group);
            now["synced"] == true && now["applied"] != before["applied"]
        });
    }

    /// Lines of a proxy's access log.
    pub(crate) fn access_log(&self, host: &str) -> Vec<Value> {
        let text = self.client.log(host, "access").expect("an access log");
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
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

/// Keeps a process from outliving a test that fails.
pub(crate) struct Guard<F: FnMut()>(pub F);

impl<F: FnMut()> Drop for Guard<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl Demo {
    /// After a failure: all logs of the lab, in a directory that is printed.
    fn keep_evidence(&self) {
        let directory = std::env::temp_dir().join(format!("leno-{}", self.name));
        for path in self.client.files().unwrap_or_default() {
            let Ok(contents) = self.client.read_file(&path) else { continue };
            let target = directory.join(path.trim_start_matches('/'));
            let _ = target.parent().map(std::fs::create_dir_all);
            let _ = std::fs::write(target, contents);
        }
        println!("logs of the lab are kept in {}", directory.display());
    }
}

impl Load {
    /// All lines so far.
    pub(crate) fn seen(&mut self) -> &[LoadLine] {
        while let Ok(line) = self.lines.try_recv() {
            self.seen.push(line.expect("a line of the load"));
        }
        &self.seen
    }

    /// Waits until `enough` holds of the lines so far.
    pub(crate) fn wait(&mut self, what: &str, enough: impl Fn(&[LoadLine]) -> bool) {
        wait_until(what, || enough(self.seen()));
    }

    /// Waits until `count` further requests have been answered.
    pub(crate) fn wait_for_more(&mut self, count: usize) {
        let goal = self.seen().len() + count;
        self.wait(&format!("{count} further requests"), |lines| lines.len() >= goal);
    }

    /// Ends the load and returns the lines of all requests that were started, in that order.
    pub(crate) fn end(mut self) -> Vec<LoadLine> {
        // The exec client passes SIGTERM on to the load, which waits for the answers that are outstanding.
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let ended = self.child.wait().expect("the load's end");
        assert!(ended.success(), "the load ended with {ended}");
        let mut lines = std::mem::take(&mut self.seen);
        lines.extend(self.lines.iter().map(|line| line.expect("a line of the load")));
        lines.sort_by_key(|line| line.number);
        // A request that hung must not be missing here without a word.
        let numbers = lines.iter().map(|line| line.number);
        assert!(numbers.eq(0..lines.len() as u64), "a line for each request that was started");
        lines
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // After a failure; else it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every request succeeded.
pub(crate) fn assert_no_failure(lines: &[LoadLine]) {
    let failed: Vec<_> = lines.iter().filter(|line| !line.is_ok()).take(5).collect();
    assert!(failed.is_empty(), "of {} requests these failed first: {failed:#?}", lines.len());
    assert!(!lines.is_empty(), "the load sent nothing");
}

/// How often the cluster that answers as `service` changed. Requests overlap, and of two that do nobody can
/// say which was decided first: a change counts between a request and one that started after it had ended.
pub(crate) fn changes(lines: &[LoadLine], service: &str) -> usize {
    let mut ends: Vec<_> = lines
        .iter()
        .filter_map(|line| {
            // `at_ms` is rounded down: the end is at most this.
            let end = line.at_ms as f64 + 1.0 + line.took_ms;
            Some((end, line.at_ms as f64, line.cluster_of(service)?))
        })
        .collect();
    ends.sort_by(|one, other| one.0.total_cmp(&other.0));
    let Some(&(mut ended, _, mut cluster)) = ends.first() else { return 0 };
    let mut changes = 0;
    for (end, start, answered) in ends {
        if answered != cluster && start >= ended {
            (ended, cluster) = (end, answered);
            changes += 1;
        }
    }
    changes
}

/// Looks until it holds, at most [`DEADLINE`]; prints how long it took.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < DEADLINE, "waited {DEADLINE:?} in vain for: {what}");
        std::thread::park_timeout(LOOK_EVERY);
    }
    println!("{what}: after {:?}", began.elapsed());
}

pub(crate) fn text(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
