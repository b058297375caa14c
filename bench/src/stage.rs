//! Two hosts joined by a cable, made of network namespaces: the caller's, and the callee's, in which this process is
//! from then on. What leaves the caller is redirected as capture does it, for every peer alike.
//!
//! Needs no root: without it a user namespace is made too. Ends with this process.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

use crate::process::{LOAD_CORE, RunningProgram, run};

/// Of the callee's host.
pub(crate) const CALLEE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// Of the caller's host.
pub(crate) const CALLER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// How long a namespace may take to be there.
const MADE_WITHIN: Duration = Duration::from_secs(5);

/// The two hosts.
pub(crate) struct TwoHosts {
    /// Sleeps, and holds the caller's namespace.
    caller: RunningProgram,
}

/// What the caller's host redirects: who calls `from` gets to the proxy's `port`.
#[derive(Clone, Copy)]
pub(crate) struct HostRedirect {
    pub from: SocketAddr,
    pub port: u16,
}

impl TwoHosts {
    /// Makes both hosts. This process must have one thread.
    pub(crate) fn enter(folder: &Path) -> Result<TwoHosts> {
        leave_network()?;
        ip("link set lo up")?;
        let hold = ["unshare", "--net", "sleep", "infinity"].map(str::to_owned);
        let caller =
            RunningProgram::start("the caller's host", LOAD_CORE, &hold, &folder.join("caller-host.log"))?;
        let stage = TwoHosts { caller };
        stage.wait()?;
        ip(&format!("link add callee type veth peer name caller netns {}", stage.caller.id()))?;
        ip(&format!("address add {CALLEE}/24 dev callee"))?;
        ip("link set callee up")?;
        for words in [
            "link set lo up".to_owned(),
            format!("address add {CALLER}/24 dev caller"),
            "link set caller up".to_owned(),
            format!("route add default via {CALLEE}"),
        ] {
            run(&stage.at_caller(&["ip"].into_iter().chain(words.split(' ')).collect::<Vec<_>>()), "")?;
        }
        // A generator that opens connections again and again would run out of ports in a minute.
        run(&stage.at_caller(&["tee", "/proc/sys/net/ipv4/tcp_tw_reuse"]), "1")?;
        Ok(stage)
    }

    /// The command, to be run on the caller's host.
    pub(crate) fn at_caller<S: AsRef<str>>(&self, command: &[S]) -> Vec<String> {
        let id = self.caller.id().to_string();
        let enter = ["nsenter", "--target", &id, "--net", "--"].map(str::to_owned);
        enter.into_iter().chain(command.iter().map(|word| word.as_ref().to_owned())).collect()
    }

    /// Redirects on the caller's host; on the callee's, connections are tracked as where its traffic is captured.
    pub(crate) fn redirect(&self, redirects: &[HostRedirect]) -> Result<()> {
        let rule = |HostRedirect { from, port }: &HostRedirect| {
            format!("ip daddr {} tcp dport {} redirect to :{port}\n", from.ip(), from.port())
        };
        let rules: String = redirects.iter().map(rule).collect();
        let chain = "chain output {\ntype nat hook output priority -100;";
        run(&self.at_caller(&["nft", "-f", "-"]), &format!("table inet bench {{\n{chain}\n{rules}}}\n}}\n"))?;
        let chain = "chain prerouting {\ntype nat hook prerouting priority -100;\niif lo return\n}";
        run(&["nft", "-f", "-"].map(str::to_owned), &format!("table inet bench {{\n{chain}\n}}\n"))
    }

    /// Waits until the caller's host is another one than this.
    fn wait(&self) -> Result<()> {
        let own = std::fs::read_link("/proc/self/ns/net")?;
        let path = format!("/proc/{}/ns/net", self.caller.id());
        let began = Instant::now();
        while std::fs::read_link(&path).ok().is_none_or(|its| its == own) {
            ensure!(began.elapsed() < MADE_WITHIN, "the caller's host was not made");
            std::thread::yield_now();
        }
        Ok(())
    }
}

/// A network namespace of its own for this process; without root in a user namespace, where it is root.
fn leave_network() -> Result<()> {
    let (uid, gid) = (geteuid(), getegid());
    if uid.is_root() {
        return unshare(CloneFlags::CLONE_NEWNET).context("make a network namespace");
    }
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).context("make a user namespace")?;
    let write = |file: &str, text: String| std::fs::write(format!("/proc/self/{file}"), text);
    write("setgroups", "deny".to_owned())?;
    write("uid_map", format!("0 {uid} 1"))?;
    write("gid_map", format!("0 {gid} 1"))?;
    Ok(())
}

fn ip(words: &str) -> Result<()> {
    run(&["ip"].into_iter().chain(words.split(' ')).map(str::to_owned).collect::<Vec<_>>(), "")
}
