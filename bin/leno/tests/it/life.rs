//! The demo comes up quickly, runs as an ordinary user, beside another one, and leaves no trace.

use crate::demo::{Demo, Guard, LENO, text, wait_until};
use crate::traces::{Traces, arguments, pids};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

const URL: &str = "http://web-api.mesh.internal/";

/// Waits until nothing is left of it.
fn expect_no_trace(traces: &Traces) {
    wait_until("nothing of it is left", || traces.found().is_empty());
}

/// The control run: while it runs, every kind of trace that a demo makes is seen.
fn see_traces(name: &str) -> Traces {
    let traces = Traces::of(name);
    let found = traces.found();
    let sees = |kind: &str| assert!(found.iter().any(|trace| trace.contains(kind)), "{kind} in {found:#?}");
    ["process", "@leno/demo/"].iter().for_each(|kind| sees(kind));
    if id() == "0" {
        ["holds net:", "holds pid:", "holds mnt:"].iter().for_each(|kind| sees(kind));
        assert!(traces.namespaces.len() > 20, "each host is a network of its own: {:?}", traces.namespaces);
    } else {
        println!("namespaces of hardened processes show to root only: processes and sockets are looked for");
    }
    traces
}

#[test]
fn two_demos_run_side_by_side_and_sigkill_leaves_nothing() {
    let (one, two) = (Demo::start("life1"), Demo::start("life2"));
    for demo in [&one, &two] {
        assert_eq!(demo.answer("west/client", &[URL]).hops.len(), 3);
        println!("{}: ready after {:?}", demo.name, demo.status().ready_after);
    }
    let (traces, others) = (see_traces(&one.name), see_traces(&two.name));
    let entrances = one.status().entrances;
    // Kill the outermost process only; everything else must go by itself.
    let launcher = launcher(&one.name);
    let killed = Command::new("kill").args(["-KILL", &launcher.to_string()]).status().expect("kill runs");
    assert!(killed.success());
    expect_no_trace(&traces);
    for (cluster, address) in entrances {
        assert!(std::net::TcpStream::connect(&address).is_err(), "{address} of {cluster} is open");
    }
    assert_eq!(two.answer("west/client", &[URL]).hops.len(), 3, "the other goes on");
    assert!(!others.found().is_empty());
}

#[test]
fn stop_leaves_nothing_and_a_name_and_ports_can_be_taken_once() {
    let demo = Demo::start("life3");
    let traces = see_traces(&demo.name);
    let leno = |arguments: &[&str]| {
        Command::new(LENO).args(arguments).stdin(Stdio::null()).output().expect("leno runs")
    };
    let again = leno(&["demo", "--detach", "--name", &demo.name, "--port", "0"]);
    assert_eq!(again.status.code(), Some(1), "{}", text(&again));
    assert!(text(&again).contains(&format!("leno demo stop --name {}", demo.name)), "{}", text(&again));
    // The ports of one that runs are taken for another one, which says so and what to do.
    let entrances = demo.status().entrances;
    let (_, port) = entrances["edge"].rsplit_once(':').expect("a port");
    let name = format!("{}-second", demo.name);
    let taken = leno(&["demo", "--detach", "--name", &name, "--port", port]);
    assert_eq!(taken.status.code(), Some(1), "{}", text(&taken));
    assert!(
        text(&taken).contains(&format!("127.0.0.1:{port} is taken; choose other ports")),
        "{}",
        text(&taken)
    );

    let stopped = leno(&["demo", "--name", &demo.name, "stop"]);
    assert!(stopped.status.success(), "{}", text(&stopped));
    expect_no_trace(&traces);
    let gone = leno(&["demo", "--name", &demo.name, "ps"]);
    assert_eq!(gone.status.code(), Some(1), "{}", text(&gone));
    assert!(text(&gone).contains("leno demo --detach"), "{}", text(&gone));
}

#[test]
fn ctrl_c_in_a_terminal_ends_all_of_it() {
    let name = format!("life4-{}", std::process::id());
    // `script` gives it a terminal of its own and passes on what is typed. Without `exec` the shell that it
    // starts may stay in between, take the Ctrl-C too and end with 130 whatever the demo says.
    let command = format!("exec {LENO} demo --name {name} --port 0 --with-pid {}", std::process::id());
    let mut typed = Command::new("script")
        .args(["-qefc", &command, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script runs");
    let mut screen = typed.stdout.take().expect("piped");
    let mut shown = String::new();
    let mut piece = [0; 4096];
    while !shown.contains("Ctrl-C ends everything") {
        let read = screen.read(&mut piece).expect("read");
        assert!(read > 0, "it ended: {shown}");
        shown.push_str(&String::from_utf8_lossy(&piece[..read]));
    }
    for part in
        ["west/client", "http://127.0.0.1:", "exec west/client -- curl", "scale west/purchase-history 0"]
    {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let traces = see_traces(&name);
    typed.stdin.as_mut().expect("piped").write_all(b"\x03").expect("typed");
    // Its end is the end of what it prints.
    screen.read_to_string(&mut shown).expect("read");
    assert_eq!(typed.wait().expect("ended").code(), Some(0), "{shown}");
    expect_no_trace(&traces);
}

/// Of the processes with this name in their arguments the one whose parent is not among them.
fn launcher(name: &str) -> u32 {
    let ours: Vec<u32> = pids().into_iter().filter(|pid| arguments(*pid).contains(name)).collect();
    let parent = |pid: &u32| -> Option<u32> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
    };
    let outermost = ours.iter().find(|pid| parent(pid).is_some_and(|parent| !ours.contains(&parent)));
    *outermost.expect("the launcher runs")
}

/// Runs `leno demo ARGUMENTS` as an ordinary user: as `nobody` where the tests run as root, else as is.
fn as_ordinary_user(leno: &Path, arguments: &str) -> Output {
    let line = format!("{} demo {arguments}", leno.display());
    let mut command = if id() == "0" { Command::new("su") } else { Command::new("/bin/sh") };
    if id() == "0" {
        command.args(["nobody", "-s", "/bin/sh"]);
    }
    command.args(["-c", &line]).stdin(Stdio::null()).output().expect("a shell runs")
}

fn id() -> String {
    let output = Command::new("id").arg("-u").output().expect("id runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn an_ordinary_user_runs_the_demo_without_root() {
    // A copy where the other user may read it.
    let directory = tempfile::tempdir().expect("a directory");
    let leno = directory.path().join("leno");
    std::fs::copy(LENO, &leno).expect("copied");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(directory.path(), open).expect("opened");
    let name = format!("nobody-{}", std::process::id());
    let stop = || as_ordinary_user(&leno, &format!("--name {name} stop"));
    let started = as_ordinary_user(
        &leno,
        &format!("--detach --name {name} --port 0 --with-pid {}", std::process::id()),
    );
    let _guard = Guard(|| drop(stop()));
    assert!(started.status.success(), "{}", text(&started));
    let owner = std::os::unix::fs::MetadataExt::uid(
        &std::fs::metadata(format!("/proc/{}", launcher(&name))).expect("the launcher runs"),
    );
    assert_ne!(owner, 0, "the control run: it is not root's");
    let traces = see_traces(&name);
    let answer = as_ordinary_user(&leno, &format!("--name {name} exec west/client -- curl -sS {URL}"));
    assert!(text(&answer).contains("purchase-history"), "{}", text(&answer));
    let stopped = stop();
    assert!(stopped.status.success(), "{}", text(&stopped));
    expect_no_trace(&traces);
}
