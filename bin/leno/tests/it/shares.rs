//! Shares over real sockets: splits, faults and copies are as often as they are said to be, in thousands of requests on
//! one kept connection; and what becomes of copies never holds a request up.
//!
//! Bounds are such that a share which is right is outside of them once in a million runs.

use crate::demo::wait_until;
use crate::gateway::{Gateway, free_address};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// Chi-square of three degrees of freedom that is exceeded once in a million (a 0.999999 quantile).
const CHI_SQUARE_3: f64 = 30.66;
/// So many standard deviations a binomial count is off once in a million, on either side.
const DEVIATIONS: f64 = 4.9;
/// Requests that are under way at once on the caller's connection.
const AHEAD: usize = 64;

/// What came to a backend.
#[derive(Default)]
struct Arrived {
    requests: AtomicU64,
    /// Those in whose heads the mark of this backend is missing.
    unmarked: AtomicU64,
}

/// Whether a backend answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answers {
    AtOnce,
    Never,
}

/// A backend that answers with its name, and looks for `x-mark: NAME` in heads.
fn begin(name: &'static str, answers: Answers) -> (SocketAddr, Arc<Arrived>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, arrived) = (listener.local_addr().unwrap(), Arc::<Arrived>::default());
    let noted = Arc::clone(&arrived);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let noted = Arc::clone(&noted);
            std::thread::spawn(move || serve(name, answers, &stream, &noted));
        }
    });
    (address, arrived)
}

fn serve(name: &str, answers: Answers, mut stream: &TcpStream, noted: &Arrived) {
    let (mut reader, mut line) = (BufReader::new(stream), String::new());
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}", name.len());
    let mark = format!("x-mark: {name}");
    let mut is_marked = false;
    loop {
        line.clear();
        if !matches!(reader.read_line(&mut line), Ok(1..)) {
            return;
        }
        is_marked |= line.trim_end().eq_ignore_ascii_case(&mark);
        if line != "\r\n" {
            continue;
        }
        noted.requests.fetch_add(1, SeqCst);
        noted.unmarked.fetch_add(u64::from(!is_marked), SeqCst);
        is_marked = false;
        if answers == Answers::AtOnce && stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// Calls so often, on one connection; says how often each answer came.
fn call(to: &str, path: &str, count: usize) -> BTreeMap<String, usize> {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut answers, mut sent) = (BTreeMap::new(), 0);
    for received in 0..count {
        if received == sent {
            let more = AHEAD.min(count - sent);
            (&stream)
                .write_all(
                    format!("GET {path} HTTP/1.1\r\nhost: shares.test\r\n\r\n").repeat(more).as_bytes(),
                )
                .unwrap();
            sent += more;
        }
        *answers.entry(answer(&mut reader)).or_default() += 1;
    }
    answers
}

/// Status and body.
fn answer(reader: &mut impl BufRead) -> String {
    let (mut line, mut status, mut length) = (String::new(), String::new(), 0);
    loop {
        line.clear();
        assert!(reader.read_line(&mut line).unwrap() > 0, "the gateway closed");
        if status.is_empty() {
            status = line.split(' ').nth(1).unwrap().to_owned();
        } else if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    format!("{status} {}", String::from_utf8(body).unwrap())
}

/// Whether a count of so many tries can be one of such a share.
fn is_share(count: usize, of: usize, share: f64) -> bool {
    let (count, of) = (count as f64, of as f64);
    (count - of * share).abs() <= DEVIATIONS * (of * share * (1.0 - share)).sqrt()
}

struct Shares {
    _gateway: Gateway,
    _directory: tempfile::TempDir,
    address: String,
    metrics: String,
    log: std::path::PathBuf,
}

impl Shares {
    /// A gateway with this `http` of a VirtualService, where backends are `NAME.test`.
    fn start(backends: &[(&str, SocketAddr)], http: &str) -> Self {
        let (address, metrics, directory) = (free_address(), free_address(), tempfile::tempdir().unwrap());
        let port = address.rsplit_once(':').unwrap().1;
        let mut text = format!(
            "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: g}}\nspec: {{selector: {{app: edge}}, \
             servers: [{{bind: 127.0.0.1, port: {{number: {port}, name: http, protocol: HTTP}}, hosts: ['*']}}]}}\n---\n\
             apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: v}}\nspec: {{hosts: [shares.test], \
             gateways: [g], http: [{http}]}}\n"
        );
        for (name, at) in backends {
            text.push_str(&format!(
                "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}}}\nspec: {{hosts: \
                 [{name}.test], resolution: STATIC, ports: [{{number: 80, name: http, protocol: HTTP}}], endpoints: \
                 [{{address: {}, ports: {{http: {}}}}}]}}\n",
                at.ip(),
                at.port()
            ));
        }
        let documents = directory.path().join("documents");
        std::fs::create_dir(&documents).unwrap();
        std::fs::write(documents.join("all.yaml"), text).unwrap();
        let log = directory.path().join("access.log");
        let arguments = [
            "-f",
            documents.to_str().unwrap(),
            "--workers",
            "1",
            "--admin",
            &metrics,
            "--access-log",
            log.to_str().unwrap(),
        ];
        let gateway = Gateway::start_with_admin(&arguments);
        wait_until("the gateway listens", || TcpStream::connect(&address).is_ok());
        Self { _gateway: gateway, _directory: directory, address, metrics, log }
    }

    /// The lines of the access log of this path.
    fn logged(&self, path: &str) -> Vec<String> {
        let log = std::fs::read_to_string(&self.log).unwrap();
        log.lines().filter(|line| line.contains(&format!("\"path\":\"{path}\""))).map(str::to_owned).collect()
    }

    /// Copies by what became of them.
    fn copies(&self, outcome: &str) -> u64 {
        let (_, text) = crate::entry::get(&self.metrics, "/metrics");
        let line = text.lines().find(|line| line.starts_with("leno_mirrored") && line.contains(outcome));
        line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok()).unwrap_or(0)
    }
}

#[test]
fn splits_are_as_often_as_their_weights_and_have_their_own_filters() {
    const REQUESTS: usize = 100_000;
    const WEIGHTS: [(&str, u32); 5] = [("half", 50), ("third", 30), ("some", 15), ("few", 5), ("none", 0)];
    let backends = WEIGHTS.map(|(name, _)| (name, begin(name, Answers::AtOnce)));
    let addresses = backends.each_ref().map(|(name, (address, _))| (*name, *address));
    let destinations = WEIGHTS.map(|(name, weight)| {
        format!("{{destination: {{host: {name}.test}}, weight: {weight}, headers: {{request: {{set: {{x-mark: {name}}}}}}}}}")
    });
    let shares = Shares::start(&addresses, &format!("{{route: [{}]}}", destinations.join(", ")));
    let answers = call(&shares.address, "/", REQUESTS);
    let mut chi_square = 0.0;
    for ((name, weight), (_, (_, arrived))) in WEIGHTS.iter().zip(&backends) {
        let came = answers.get(&format!("200 {name}")).copied().unwrap_or(0);
        assert_eq!(came as u64, arrived.requests.load(SeqCst), "{name}: what it had is what it answered");
        assert_eq!(arrived.unmarked.load(SeqCst), 0, "{name}: its filters ran on each");
        let expected = REQUESTS as f64 * f64::from(*weight) / 100.0;
        if *weight == 0 {
            assert_eq!(came, 0, "{name} has no weight");
        } else {
            chi_square += (came as f64 - expected).powi(2) / expected;
        }
    }
    assert_eq!(answers.values().sum::<usize>(), REQUESTS);
    assert!(chi_square < CHI_SQUARE_3, "{chi_square}: {answers:?}");
}

#[test]
fn faults_and_copies_are_as_often_as_they_are_said_to_be() {
    const REQUESTS: usize = 10_000;
    let ((one, _), (copy, copied)) = (begin("one", Answers::AtOnce), begin("copy", Answers::AtOnce));
    let http = "{match: [{uri: {prefix: /fault}}], fault: {delay: {fixedDelay: 1ms, percentage: {value: 5}}, abort: \
                {httpStatus: 418, percentage: {value: 30}}}, route: [{destination: {host: one.test}}]}, \
                {mirror: {host: copy.test}, mirrorPercentage: {value: 12.5}, route: [{destination: {host: one.test}}]}";
    let shares = Shares::start(&[("one", one), ("copy", copy)], http);

    let answers = call(&shares.address, "/fault", REQUESTS);
    let aborted = answers.get("418 fault filter abort").copied().unwrap_or(0);
    assert_eq!(aborted + answers.get("200 one").copied().unwrap_or(0), REQUESTS, "{answers:?}");
    assert!(is_share(aborted, REQUESTS, 0.3), "{aborted} of {REQUESTS} are 30 %");
    wait_until("all is logged", || shares.logged("/fault").len() == REQUESTS);
    let delayed = shares.logged("/fault").iter().filter(|line| line.contains("DI")).count();
    assert!(is_share(delayed, REQUESTS, 0.05), "{delayed} of {REQUESTS} are 5 %");

    assert_eq!(call(&shares.address, "/", REQUESTS), BTreeMap::from([("200 one".to_owned(), REQUESTS)]));
    wait_until("all is logged", || shares.logged("/").len() == REQUESTS);
    let made = shares.logged("/").iter().filter(|line| line.contains("\"mirrors\":1")).count();
    wait_until("each copy is answered", || shares.copies("answered") == made as u64);
    assert_eq!(copied.requests.load(SeqCst), made as u64, "it went to its backend once");
    let asked = made + usize::try_from(shares.copies("dropped")).unwrap();
    assert_eq!(shares.copies("failed"), 0);
    assert!(is_share(asked, REQUESTS, 0.125), "{asked} of {REQUESTS} are 12.5 %");
}

/// Nothing is timed: a request that waited for its copy would never end.
#[test]
fn a_copy_that_is_never_answered_holds_no_request_up() {
    const REQUESTS: usize = 2_000;
    /// `COPIES_MAX` of `crates/proxy/src/limits/mirrors.rs`, for one worker.
    const COPIES_MAX: u64 = 1024;
    let ((one, _), (copy, copied)) = (begin("one", Answers::AtOnce), begin("copy", Answers::Never));
    let http = "{mirror: {host: copy.test}, route: [{destination: {host: one.test}}]}";
    let shares = Shares::start(&[("one", one), ("copy", copy)], http);
    assert_eq!(call(&shares.address, "/", REQUESTS), BTreeMap::from([("200 one".to_owned(), REQUESTS)]));
    let made = REQUESTS as u64 - shares.copies("dropped");
    // More only if the first ones were given up, after 15 s.
    assert!(made == COPIES_MAX || shares.copies("failed") > 0, "{made} were made");
    wait_until("each copy is there", || copied.requests.load(SeqCst) == made);
    assert_eq!(shares.copies("answered"), 0);
}
