//! What one `leno-proxy` costs in memory, and that it does not grow with a mesh that it does not use.

use crate::demo::{Demo, Guard, assert_no_failure, wait_until};
use std::io::Write;
use std::process::{Child, Command, Stdio};

const LENO_PROXY: &str = concat!(env!("CARGO_BIN_EXE_leno"), "-proxy");
const HOST: &str = "west/client";
/// 20 MB, after 10,000 requests.
const RESIDENT_KIB_MAX: u64 = 20_000_000 / 1024;
/// For 1,000 further services.
const GROWTH_KIB_MAX: u64 = 256;
/// What 400 services that are used cost at least: more than the allowance above, or it could not be seen.
const USED_KIB_MIN: u64 = GROWTH_KIB_MAX + 64;
/// Looks at a size that no longer changes before it is taken.
const CALM_LOOKS: u32 = 20;

/// Runs `leno-proxy` with two workers in a host whose own proxy has been killed.
fn small_proxy(demo: &Demo) -> Child {
    let built = std::path::Path::new(LENO_PROXY).exists();
    assert!(built, "{LENO_PROXY} is not built; run: cargo build --profile e2e -p leno-proxy");
    let token = demo.client.token("west", "client").expect("a token");
    demo.kill(HOST);
    let mut child = Command::new(crate::demo::LENO)
        .args(["demo", "--name", &demo.name, "exec", HOST, "--", LENO_PROXY])
        .args(["--control=10.244.0.2:15012", "--join-token-file=-", "--workers=2", "--address=10.244.0.14"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("leno runs");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(token.as_bytes()).expect("written");
    drop(stdin);
    wait_until("leno-proxy is ready", || {
        demo.exec(HOST, &["curl", "-sf", "http://127.0.0.1:15000/ready"]).status.success()
    });
    child
}

fn resident_kib(demo: &Demo) -> u64 {
    let is_it = |arguments: &[String]| arguments.first().is_some_and(|program| program == LENO_PROXY);
    let process = demo
        .client
        .processes()
        .expect("processes")
        .into_iter()
        .find(|process| is_it(&process.arguments))
        .expect("it runs");
    let status = demo.run(HOST, &["cat", &format!("/proc/{}/status", process.pid)]);
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Once freed memory has gone back to the system: else what is freed later would hide what is taken.
fn settled_kib(demo: &Demo) -> u64 {
    let (mut last, mut calm) = (0, 0);
    wait_until("memory settles", || {
        let now = resident_kib(demo);
        calm = if now == last { calm + 1 } else { 0 };
        last = now;
        calm >= CALM_LOOKS
    });
    last
}

#[test]
fn a_proxy_stays_small_under_load_and_does_not_grow_with_the_mesh() {
    let demo = Demo::start("mem");
    let mut proxy = small_proxy(&demo);
    let _ended = Guard(|| {
        let _ = proxy.kill();
        let _ = proxy.wait();
    });
    let url = "http://web-api.mesh.internal/";
    for _ in 0..20 {
        assert_eq!(demo.answer(HOST, &[url]).hops.len(), 3);
    }
    let idle = settled_kib(&demo);
    let gain = |file: &str, prefix: &str| {
        let many: String = (0..1000).map(|n| service(prefix, n)).collect();
        demo.configure("west", file, Some(&many));
        let last = format!("{prefix}999.default.svc.cluster.local");
        wait_until("the last of 1,000 services resolves", || {
            demo.exec(HOST, &["getent", "ahostsv4", &last]).status.success()
        });
    };
    gain("many.yaml", "s");
    let grown = settled_kib(&demo).saturating_sub(idle);
    println!("{idle} KiB idle, grown by {grown} KiB with 1,000 further services");
    assert!(grown <= GROWTH_KIB_MAX, "{grown} KiB");
    // The control run: services that it does call cost something, which this measurement sees. Before the
    // load, because what a load leaves free in the heap would take them in unseen.
    for n in 0..400 {
        demo.run(HOST, &["getent", "ahostsv4", &format!("s{n}.default.svc.cluster.local")]);
    }
    let used = settled_kib(&demo).saturating_sub(idle);
    println!("grown by {used} KiB after using 400 of them");
    assert!(used >= USED_KIB_MIN, "{used} KiB against {grown} KiB");

    let mut load = demo.load(HOST, 500, "60s", &[url]);
    load.wait("10,000 requests", |lines| lines.len() >= 10_000);
    assert_no_failure(&load.end());
    let loaded = resident_kib(&demo);
    println!("{loaded} KiB after 10,000 requests");
    assert!(loaded < RESIDENT_KIB_MAX, "{loaded} KiB");
    // And the same after the load.
    let settled = settled_kib(&demo);
    gain("more.yaml", "t");
    let grown = settled_kib(&demo).saturating_sub(settled);
    println!("{settled} KiB settled, grown by {grown} KiB with 1,000 further services");
    assert!(grown <= GROWTH_KIB_MAX, "{grown} KiB");
}

fn service(prefix: &str, n: usize) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {prefix}{n}, namespace: default}}\nspec:\n  \
         selector: {{app: {prefix}{n}}}\n  ports: [{{name: http, port: 80, targetPort: 8080}}]\n---\n"
    )
}
