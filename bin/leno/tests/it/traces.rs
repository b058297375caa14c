//! What a demo leaves in the system around it: processes, namespaces, sockets, mounts, files, rules.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where files of a demo could be, were it to make any outside of its own namespaces.
const PLACES: [&str; 6] = ["/tmp", "/var/tmp", "/run", "/dev/shm", "/var/lib", "."];
/// How deep to look there.
const DEPTH: usize = 3;

/// A demo as it is seen from outside while it runs.
pub(crate) struct Traces {
    name: String,
    /// As `/proc/PID/ns` names them, for example `net:[4026532281]`.
    pub namespaces: BTreeSet<String>,
    rules: String,
}

impl Traces {
    /// Of the demo with this name, which runs. Its PID 1 and all processes in that PID namespace are looked at.
    pub(crate) fn of(name: &str) -> Self {
        let own = namespaces_of(Path::new("/proc/self"));
        let init = pids().into_iter().find(|pid| {
            let arguments = arguments(*pid);
            arguments.contains("demo-init") && arguments.contains(name)
        });
        let init = init.expect("PID 1 of the demo");
        let space = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let inside = pids().into_iter().filter(|pid| space(*pid).is_some_and(|it| Some(it) == space(init)));
        let namespaces: BTreeSet<String> =
            inside.flat_map(|pid| namespaces_of(Path::new(&format!("/proc/{pid}")))).collect();
        let namespaces = namespaces.difference(&own).cloned().collect();
        Self { name: name.to_owned(), namespaces, rules: rules() }
    }

    /// Everything of it that is there now, described. Empty after a clean end.
    pub(crate) fn found(&self) -> Vec<String> {
        let mut found = Vec::new();
        for pid in pids() {
            let arguments = arguments(pid);
            if arguments.contains(&self.name) && pid != std::process::id() {
                found.push(format!("process {pid}: {arguments}"));
            }
            let process = PathBuf::from(format!("/proc/{pid}"));
            let held = namespaces_of(&process);
            found.extend(
                held.intersection(&self.namespaces).map(|name| format!("process {pid} holds {name}")),
            );
        }
        let sockets = fs::read_to_string("/proc/net/unix").expect("/proc/net/unix");
        found.extend(sockets.lines().filter(|line| line.contains(&self.name)).map(str::to_owned));
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
        let is_ours = |line: &&str| {
            line.contains(&self.name) || self.namespaces.iter().any(|name| line.contains(name.as_str()))
        };
        found.extend(mounts.lines().filter(is_ours).map(|line| format!("mount {line}")));
        for place in PLACES {
            self.files(Path::new(place), DEPTH, &mut found);
        }
        if rules() != self.rules {
            found.push("other packet filter rules than before".to_owned());
        }
        found
    }

    fn files(&self, directory: &Path, depth: usize, found: &mut Vec<String>) {
        let Ok(entries) = fs::read_dir(directory) else { return };
        for entry in entries.map_while(Result::ok) {
            if entry.file_name().to_string_lossy().contains(&self.name) {
                found.push(format!("file {}", entry.path().display()));
            }
            if depth > 1 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.files(&entry.path(), depth - 1, found);
            }
        }
    }
}

/// Ids of all processes.
pub(crate) fn pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc").map_while(Result::ok);
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Arguments of a process, a space between; empty when it has ended.
pub(crate) fn arguments(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

/// Namespaces that a process is in or holds open.
fn namespaces_of(process: &Path) -> BTreeSet<String> {
    let links = ["ns", "fd"].into_iter().filter_map(|name| fs::read_dir(process.join(name)).ok());
    let targets = links.flatten().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let names = targets.map(|target| target.to_string_lossy().into_owned());
    // Sockets and pipes are written the same way.
    let kinds = ["net:", "mnt:", "pid:", "user:", "uts:", "ipc:", "cgroup:", "time:"];
    names.filter(|name| kinds.iter().any(|kind| name.starts_with(kind))).collect()
}

/// Packet filter rules around the demo; an ordinary user can neither see nor make any.
fn rules() -> String {
    let output =
        Command::new("nft").args(["list", "ruleset"]).env("PATH", "/usr/sbin:/sbin:/usr/bin").output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}
