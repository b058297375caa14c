//! The demo comes up quickly, runs as an ordinary user, beside another one, and leaves no trace.

use crate::demo::{Demo, LENO, text, wait_until};
use std::process::{Command, Stdio};

fn leftovers(name: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").map_while(Result::ok) {
        let Ok(arguments) = std::fs::read(entry.path().join("cmdline")) else { continue };
        let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
        if arguments.contains(name) {
            found.push(arguments);
        }
    }
    found
}

#[test]
fn two_demos_run_side_by_side_and_sigkill_leaves_nothing() {
    let (one, two) = (Demo::start("life1"), Demo::start("life2"));
    for demo in [&one, &two] {
        assert_eq!(demo.answer("west/client", &["http://web-api.mesh.internal/"]).hops.len(), 3);
        println!("{}: ready after {:?}", demo.name, demo.status().ready_after);
    }
    assert!(!leftovers(&one.name).is_empty(), "the control run: while it runs, its processes are found");
    // Kill the outermost process only; everything else must go by itself.
    let launcher = launcher(&one.name);
    let killed = Command::new("kill").args(["-KILL", &launcher.to_string()]).status().expect("kill runs");
    assert!(killed.success());
    wait_until("nothing of it is left", || leftovers(&one.name).is_empty());
    assert_eq!(
        two.answer("west/client", &["http://web-api.mesh.internal/"]).hops.len(),
        3,
        "the other goes on"
    );
}

/// Of the processes with this name in their arguments the one whose parent is not among them.
fn launcher(name: &str) -> u32 {
    let entries = std::fs::read_dir("/proc").expect("/proc").map_while(Result::ok);
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let ours: Vec<u32> = pids
        .filter(|pid| {
            let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&arguments).contains(name)
        })
        .collect();
    let parent = |pid: &u32| -> Option<u32> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
    };
    let outermost = ours.iter().find(|pid| parent(pid).is_some_and(|parent| !ours.contains(&parent)));
    *outermost.expect("the launcher runs")
}

#[test]
fn an_ordinary_user_runs_the_demo_without_root() {
    if !nix_is_root() {
        println!("already an ordinary user: every other test shows it");
        return;
    }
    // A copy where the other user may read it.
    let directory = tempfile::tempdir().expect("a directory");
    let leno = directory.path().join("leno");
    std::fs::copy(LENO, &leno).expect("copied");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(directory.path(), open).expect("opened");
    let name = format!("nobody-{}", std::process::id());
    let as_nobody = |arguments: &str| {
        Command::new("su")
            .args(["nobody", "-s", "/bin/sh", "-c", &format!("{} demo {arguments}", leno.display())])
            .stdin(Stdio::null())
            .output()
            .expect("su runs")
    };
    let started = as_nobody(&format!("--detach --name {name} --port 0"));
    assert!(started.status.success(), "{}", text(&started));
    let answer =
        as_nobody(&format!("--name {name} exec west/client -- curl -sS http://web-api.mesh.internal/"));
    assert!(text(&answer).contains("purchase-history"), "{}", text(&answer));
    let stopped = as_nobody(&format!("--name {name} stop"));
    assert!(stopped.status.success(), "{}", text(&stopped));
    wait_until("nothing of it is left", || leftovers(&name).is_empty());
}

fn nix_is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("id runs");
    id.stdout.starts_with(b"0\n")
}
