//! The smallest use, without a mesh: `leno gateway`.

use crate::demo::{LENO, text, wait_until};
use crate::entry::get;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

/// A backend that answers every request with its own name and the request's head.
pub(crate) fn backend(name: &'static str) -> SocketAddr {
    backend_at(SocketAddr::from(([127, 0, 0, 1], 0)), name)
}

/// The same at an address.
pub(crate) fn backend_at(at: SocketAddr, name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind(at).expect("bound");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut reader = BufReader::new(socket.try_clone().expect("cloned"));
                loop {
                    let mut head = String::new();
                    while !head.ends_with("\r\n\r\n") {
                        if reader.read_line(&mut head).unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    let body = format!("{name}\n{head}");
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                    if socket.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// A loopback address that is free now.
pub(crate) fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    listener.local_addr().expect("bound").to_string()
}

pub(crate) struct Gateway(Child);

impl Gateway {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_with_admin(&[&["--admin-port", "0"], arguments].concat())
    }

    /// With an admin page, where the arguments say.
    pub(crate) fn start_with_admin(arguments: &[&str]) -> Self {
        let mut leno = Command::new(LENO);
        leno.arg("gateway").args(arguments).stdin(Stdio::null()).stderr(Stdio::piped());
        Self(leno.spawn().expect("leno runs"))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let mut said = String::new();
        if let Some(mut stderr) = self.0.stderr.take().filter(|_| std::thread::panicking()) {
            let _ = stderr.read_to_string(&mut said);
            println!("the gateway said: {said}");
        }
        let _ = self.0.wait();
    }
}

pub(crate) fn answers(address: &str, path: &str) -> Option<String> {
    std::net::TcpStream::connect(address).ok()?;
    let (status, body) = get(address, path);
    (status == 200).then_some(body)
}

#[test]
fn a_gateway_by_two_addresses_proxies_at_once_and_prints_what_it_stands_for() {
    let (from, to) = (free_address(), backend("one").to_string());
    let _gateway = Gateway::start(&["--from", &from, "--to", &to, "--workers", "1"]);
    wait_until("the gateway answers", || answers(&from, "/a?b=c").is_some());
    let body = answers(&from, "/a?b=c").expect("an answer");
    assert!(body.starts_with("one\nGET /a?b=c HTTP/1.1"), "{body}");
    for field in ["x-forwarded-for: 127.0.0.1", "x-request-id:"] {
        assert!(body.to_lowercase().contains(field), "{field} in {body}");
    }

    let printed = Command::new(LENO).args(["gateway", "--from", &from, "--to", &to, "--print"]).output();
    let yaml = String::from_utf8(printed.expect("leno runs").stdout).expect("text");
    for part in ["kind: Gateway", "kind: HTTPRoute", "kind: Backend"] {
        assert!(yaml.contains(part), "{part} in {yaml}");
    }
    // What is printed works as a directory.
    let (again, directory) = (free_address(), tempfile::tempdir().expect("a directory"));
    let port = |address: &str| address.rsplit_once(':').expect("a port").1.to_owned();
    let yaml = yaml.replace(&port(&from), &port(&again));
    std::fs::write(directory.path().join("gateway.yaml"), yaml).expect("written");
    let _second = Gateway::start(&["-f", directory.path().to_str().expect("UTF-8")]);
    wait_until("the second gateway answers", || answers(&again, "/").is_some());
    // And so does a policy beside it.
    let policy = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p}\nspec:\n  \
                  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: gateway}]\n  action: DENY\n  \
                  rules: [{to: [{operation: {paths: [/admin*]}}]}]\n";
    std::fs::write(directory.path().join("policy.yaml"), policy).expect("written");
    wait_until("the policy is in force", || get(&again, "/admin/x").0 == 403);
    assert_eq!(get(&again, "/").0, 200, "what it does not deny is served");
}

fn documents(from: &str, one: SocketAddr, two: SocketAddr, rules: &str) -> String {
    let port = from.rsplit_once(':').expect("a port").1;
    let backend = |name: &str, to: SocketAddr| {
        format!(
            "apiVersion: leno.dev/v1alpha1\nkind: Backend\nmetadata: {{name: {name}}}\nspec:\n  type: Static\n  \
             addresses: [{{host: {}, port: {}}}]\n---\n",
            to.ip(),
            to.port()
        )
    };
    format!(
        "{}{}apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata:\n  name: g\n  annotations:\n    \
         leno.dev/bind-address: 127.0.0.1\nspec:\n  gatewayClassName: leno\n  listeners:\n  \
         - {{name: http, protocol: HTTP, port: {port}}}\n---\napiVersion: gateway.networking.k8s.io/v1\n\
         kind: HTTPRoute\nmetadata: {{name: r}}\nspec:\n  parentRefs: [{{name: g}}]\n  rules:\n{rules}",
        backend("one", one),
        backend("two", two)
    )
}

#[test]
fn a_directory_is_watched_and_a_broken_file_changes_nothing() {
    let from = free_address();
    let (one, two) = (backend("one"), backend("two"));
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("all.yaml");
    let to = |name: &str| {
        let rules = format!(
            "  - matches: [{{path: {{type: PathPrefix, value: /x}}}}]\n    backendRefs:\n    \
             - {{group: leno.dev, kind: Backend, name: {name}}}\n"
        );
        documents(&from, one, two, &rules)
    };
    std::fs::write(&file, to("one")).expect("written");
    let _gateway = Gateway::start(&["-f", directory.path().to_str().expect("UTF-8")]);
    let starts = |name: &str| answers(&from, "/x/y").is_some_and(|body| body.starts_with(name));
    wait_until("one answers", || starts("one"));
    assert_eq!(get(&from, "/other").0, 404, "no route");
    assert_eq!(get(&from, "/xy").0, 404, "a prefix matches whole segments");

    std::fs::write(&file, to("two")).expect("written");
    wait_until("two answers", || starts("two"));
    std::fs::write(&file, to("one").replace("rules:", "rulez:")).expect("written");
    // A second, good file comes after the broken one: once it is in force, the broken one has been looked at.
    let other = directory.path().join("other.yaml");
    let marker = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: marker}\nspec:\n  \
                  parentRefs: [{name: g}]\n  rules:\n  - matches: [{path: {type: PathPrefix, value: /marker}}]\n    \
                  backendRefs:\n    - {group: leno.dev, kind: Backend, name: one}\n";
    std::fs::write(&other, marker).expect("written");
    wait_until("the second file is in force", || answers(&from, "/marker").is_some());
    for _ in 0..20 {
        assert!(starts("two"), "the last good configuration stays in force");
    }
    std::fs::write(&file, to("one")).expect("written");
    wait_until("one answers again", || starts("one"));
}

/// A collector that stopped reading: the pipe that is our standard error is full from the start.
#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    const PIPE_BYTES: usize = 64 * 1024;
    let (_nobody_reads, mut full) = std::io::pipe().expect("a pipe");
    full.write_all(&[b'x'; PIPE_BYTES]).expect("as much as a pipe holds");
    let (from, directory) = (free_address(), tempfile::tempdir().expect("a directory"));
    let (one, two) = (backend("one"), backend("two"));
    let file = directory.path().join("all.yaml");
    let to = |name: &str| {
        let rules = format!("  - backendRefs:\n    - {{group: leno.dev, kind: Backend, name: {name}}}\n");
        documents(&from, one, two, &rules)
    };
    std::fs::write(&file, to("one")).expect("written");
    let mut leno = Command::new(LENO);
    leno.args(["gateway", "--admin-port", "0", "-f"]).arg(directory.path());
    let mut gateway = Gateway(leno.stdin(Stdio::null()).stderr(full).spawn().expect("leno runs"));
    drop(leno);
    let starts = |name: &str| answers(&from, "/").is_some_and(|body| body.starts_with(name));
    wait_until("one answers", || starts("one"));
    std::fs::write(&file, to("two")).expect("written");
    wait_until("two answers", || starts("two"));
    let stopped = Command::new("kill").arg(gateway.0.id().to_string()).status().expect("kill runs");
    assert!(stopped.success());
    wait_until("it ends", || gateway.0.try_wait().expect("a child of ours").is_some());
}

/// What a gateway says that does not start: its exit code and its words.
fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let mut leno = Command::new(LENO);
    let output = leno.args(["gateway", "--admin-port", "0"]).args(arguments).output().expect("leno runs");
    (output.status.code(), text(&output))
}

#[test]
fn a_gateway_that_can_serve_nothing_does_not_start() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("bound");
    let (from, to) = (taken.local_addr().expect("bound").to_string(), backend("one").to_string());
    let (code, said) = refused(&["--from", &from, "--to", &to]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("error: listen on {from}")), "{said}");
    // Another gateway of the same user has it, which could share it.
    drop(taken);
    let _first = Gateway::start(&["--from", &from, "--to", &to]);
    wait_until("the first answers", || answers(&from, "/").is_some());
    let (code, said) = refused(&["--from", &from, "--to", &to]);
    assert_eq!(code, Some(1), "{said}");

    let directory = tempfile::tempdir().expect("a directory");
    let rules = "  - backendRefs: [{group: leno.dev, kind: Backend, name: one}]\n";
    let broken = documents(&free_address(), backend("one"), backend("two"), rules).replace("spec:", "spek:");
    std::fs::write(directory.path().join("all.yaml"), broken).expect("written");
    let (code, said) = refused(&["-f", directory.path().to_str().expect("UTF-8")]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("error: there is nothing to serve"), "{said}");
}

/// A change to a port that somebody else has: the old one stays open until the new one can be opened.
#[test]
fn a_listener_is_not_closed_before_the_next_one_is_open() {
    let (first, directory) = (free_address(), tempfile::tempdir().expect("a directory"));
    let taken = TcpListener::bind("127.0.0.1:0").expect("bound");
    let second = taken.local_addr().expect("bound").to_string();
    let (one, two) = (backend("one"), backend("two"));
    let rules = "  - backendRefs: [{group: leno.dev, kind: Backend, name: one}]\n";
    let write = |from: &str| {
        std::fs::write(directory.path().join("all.yaml"), documents(from, one, two, rules)).expect("written");
    };
    write(&first);
    let mut leno = Command::new(LENO);
    leno.args(["gateway", "--admin-port", "0", "--workers", "2", "-f"]).arg(directory.path());
    let mut gateway = Gateway(leno.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("leno runs"));
    let mut log = BufReader::new(gateway.0.stderr.take().expect("piped")).lines();
    // Each of these lines is there, and no line of the kinds is there twice. Those of one step come from several
    // threads, in any order.
    let mut next = |parts: &[&str]| {
        let kinds = ["listening on", "no longer listening on", "configuration applied", "cannot listen on"];
        let is_one = |line: &str| kinds.iter().any(|kind| line.contains(&format!("\"message\":\"{kind}")));
        let mut left = parts.to_vec();
        while !left.is_empty() {
            let line = log.find(|line| line.as_ref().is_ok_and(|line| is_one(line)));
            let line = line.expect("the log goes on").expect("readable");
            let at = left.iter().position(|part| line.contains(part));
            left.swap_remove(at.unwrap_or_else(|| panic!("one of {left:?} in {line}")));
        }
    };
    next(&["configuration applied", &format!("\"listening on {first}\"")]);
    write(&second);
    next(&[&format!("cannot listen on {second}"), "configuration applied"]);
    assert!(answers(&first, "/").is_some());
    drop(taken);
    next(&[&format!("\"listening on {second}\"")]);
    next(&[&format!("no longer listening on {first}")]);
    wait_until("the new one answers", || answers(&second, "/").is_some());
}

#[test]
fn bad_arguments_and_bad_files_are_refused_with_the_place() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("bad.yaml");
    std::fs::write(
        &file,
        "apiVersion: leno.dev/v1alpha1\nkind: Backend\nmetadata: {name: b}\nspec:\n  typ: Static\n",
    )
    .expect("written");
    let output = Command::new(LENO).args(["analyze", "-f"]).arg(&file).output().expect("leno runs");
    assert_eq!(output.status.code(), Some(79), "{}", text(&output));
    assert!(text(&output).contains("bad.yaml:5"), "{}", text(&output));
    let output = Command::new(LENO).args(["gateway", "--from", "nonsense"]).output().expect("leno runs");
    assert_eq!(output.status.code(), Some(64), "{}", text(&output));
}

#[test]
fn datagrams_and_opaque_bytes_come_back_through_listeners_of_their_own() {
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").expect("bound");
    let tcp = TcpListener::bind("127.0.0.1:0").expect("bound");
    let (udp_backend, tcp_backend) = (udp.local_addr().expect("bound"), tcp.local_addr().expect("bound"));
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = udp.recv_from(&mut buffer) {
            let _ = udp.send_to(&buffer[..length], from);
        }
    });
    std::thread::spawn(move || {
        for mut socket in tcp.incoming().map_while(Result::ok) {
            let mut heard = Vec::new();
            let _ = socket.read_to_end(&mut heard).and_then(|_| socket.write_all(&heard));
        }
    });
    // Both at one port: TCP's and UDP's are not the same.
    let at = free_address();
    let port = at.rsplit_once(':').expect("a port").1;
    let backend = |name: &str, protocol: &str, to: SocketAddr| {
        format!(
            "apiVersion: leno.dev/v1alpha1\nkind: Backend\nmetadata: {{name: {name}}}\nspec:\n  type: Static\n  \
             protocol: {protocol}\n  addresses: [{{host: {}, port: {}}}]\n---\n",
            to.ip(),
            to.port()
        )
    };
    let route = |kind: &str, listener: &str, backend: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\nmetadata: {{name: echo}}\nspec:\n  \
             parentRefs: [{{name: g, sectionName: {listener}}}]\n  rules:\n  \
             - backendRefs: [{{group: leno.dev, kind: Backend, name: {backend}}}]\n---\n"
        )
    };
    let documents = format!(
        "{}{}{}{}apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata:\n  name: g\n  annotations:\n    \
         leno.dev/bind-address: 127.0.0.1\nspec:\n  gatewayClassName: leno\n  listeners:\n  \
         - {{name: bytes, protocol: TCP, port: {port}}}\n  - {{name: datagrams, protocol: UDP, port: {port}}}\n",
        backend("tcp", "tcp", tcp_backend),
        backend("udp", "udp", udp_backend),
        route("TCPRoute", "bytes", "tcp"),
        route("UDPRoute", "datagrams", "udp"),
    );
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("gateway.yaml"), documents).expect("written");
    let _gateway = Gateway::start(&["-f", directory.path().to_str().expect("UTF-8"), "--workers", "2"]);
    wait_until("bytes come back", || {
        let Ok(mut socket) = std::net::TcpStream::connect(&at) else { return false };
        let mut heard = Vec::new();
        let asked = socket.write_all(b"bytes").and_then(|()| socket.shutdown(std::net::Shutdown::Write));
        asked.and_then(|()| socket.read_to_end(&mut heard)).is_ok() && heard == b"bytes"
    });
    let caller = std::net::UdpSocket::bind("127.0.0.1:0").expect("bound");
    caller.connect(&at).expect("connected");
    caller.set_read_timeout(Some(std::time::Duration::from_millis(100))).expect("set");
    let mut buffer = [0; 2048];
    wait_until("datagrams come back", || {
        let asked = caller.send(b"datagram").is_ok();
        asked && caller.recv(&mut buffer).is_ok_and(|length| buffer[..length] == *b"datagram")
    });
}
