//! What happens to hosts: the first start of all, start, graceful stop, kill, pause, scale.
//!
//! Order matters: an application listens before its proxy registers it, and goes only after its proxy has
//! withdrawn it and drained.

use crate::config;
use crate::files;
use crate::host::{Ground, Host, HostCondition, Start};
use crate::inside::Inside;
use crate::network::Networks;
use crate::plan::{
    self, API_PORT, APP_PORT, ENTRANCE_PORT, MANAGER_API_PORT, NAMESPACE, REPLICAS_MAX, Role, ServicePlan,
};
use crate::process::RunningProcess;
use crate::protocol::{HostState, Manner};
use crate::ready;
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures_util::future::{join_all, try_join_all};
use http::Request;
use model::address::{PORT_ADMIN, PORT_CONTROL};
use nix::sys::signal::Signal;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;

/// A process that has not ended so long after SIGTERM is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// Where programs keep their state, as they see it.
const STATE_DIR: &str = "/run/leno/state";
/// Where a control plane reads its documents, as it sees it.
const CONFIG_DIR: &str = "/run/leno/config";
/// Where proxies log requests, as they see it.
const ACCESS_LOG: &str = "/run/leno/log/access.log";

/// Brings everything up, and says so to those who wait.
pub(crate) async fn bring_up(inside: Rc<Inside>) {
    inside.first_start_ended(start_all(&inside).await);
}

async fn start_all(inside: &Inside) -> Result<()> {
    let networks = Networks::create(&inside.ground).await?;
    let attached = plan::demo().into_iter().map(|plan| networks.attach(&inside.ground, plan));
    let hosts = try_join_all(attached).await?;
    inside.install(networks, hosts)?;
    for cluster in plan::CONTROLLED {
        for (name, text) in config::documents(cluster) {
            let path = files::in_host(&format!("{cluster}/control"), &format!("config/{name}"));
            files::write_atomically(&path, text.as_bytes())?;
        }
    }
    let hosts = inside.all_hosts();
    let first = hosts.iter().filter(|host| host.plan.starts);
    try_join_all(first.map(|host| start(inside, host))).await?;
    ready::chain(&*inside.host(plan::BACKBONE)?, &hosts).await
}

/// Starts all processes of a host and waits until they are ready.
pub(crate) async fn start(inside: &Inside, host: &Rc<Host>) -> Result<()> {
    match host.state() {
        HostState::Off => {}
        HostState::Failed => kill(host).await,
        _ => bail!("{} runs already", host.plan.name),
    }
    host.set_condition(HostCondition::Starting);
    let started = match &host.plan.role {
        Role::Bridge => bail!("{} is a network; nothing runs there", host.plan.name),
        Role::Manager => start_manager(inside, host).await,
        Role::Control => start_control(inside, host).await,
        Role::Service(service) => start_service(inside, host, service).await,
        Role::Client => {
            capture(&inside.ground, host).await?;
            start_proxy(inside, host).await
        }
        Role::Gateway | Role::EastWest => start_proxy(inside, host).await,
    };
    started.with_context(|| format!("start {}", host.plan.name))?;
    host.set_condition(HostCondition::Ready);
    Ok(())
}

async fn start_manager(inside: &Inside, host: &Rc<Host>) -> Result<()> {
    let issuer = inside.root.for_manager()?;
    let listen = format!("{}:{PORT_CONTROL}", plan::MANAGER);
    let arguments = [
        "manager",
        "--listen",
        &listen,
        "--issuer-fd",
        &issuer.as_raw_fd().to_string(),
        "--state-dir",
        STATE_DIR,
        "--api",
        "unix:/run/leno/manager.sock",
        "--api",
        &format!("127.0.0.1:{MANAGER_API_PORT}"),
        "--api-insecure-loopback",
    ];
    let start = Start {
        program: "manager",
        arguments: arguments.map(str::to_owned).to_vec(),
        keep: vec![issuer.as_raw_fd()],
        input: String::new(),
    };
    host.start(&inside.ground, start)?;
    ready::listening(host, "manager", (plan::MANAGER, PORT_CONTROL).into()).await
}

async fn start_control(inside: &Inside, host: &Rc<Host>) -> Result<()> {
    let cluster = &host.plan.cluster;
    let issuer = inside.root.for_control(cluster)?;
    let arguments = [
        "control".to_owned(),
        format!("--cluster={cluster}"),
        format!("--config={CONFIG_DIR}"),
        format!("--state-dir={STATE_DIR}"),
        format!("--issuer-fd={}", issuer.as_raw_fd()),
        format!("--listen=0.0.0.0:{PORT_CONTROL}"),
        // Where the command line finds it without being told.
        "--api=unix:/run/leno/control.sock".to_owned(),
        // For the lab itself: in the host's own network namespace, where nobody else is.
        format!("--api=127.0.0.1:{API_PORT}"),
        "--api-insecure-loopback".to_owned(),
        format!("--manager={}:{PORT_CONTROL}", plan::MANAGER),
        format!("--certificate-ttl-s={}", inside.options.certificate_ttl_s),
    ];
    let start = Start {
        program: "control",
        arguments: arguments.to_vec(),
        keep: vec![issuer.as_raw_fd()],
        input: String::new(),
    };
    host.start(&inside.ground, start)?;
    ready::program(host, "control", API_PORT, "/leno/v1/status").await
}

async fn start_service(inside: &Inside, host: &Rc<Host>, service: &ServicePlan) -> Result<()> {
    capture(&inside.ground, host).await?;
    let mut arguments = vec![
        "demo-app".to_owned(),
        format!("--name={}", service.service),
        format!("--version={}", service.version),
        format!("--cluster={}", host.plan.cluster),
        format!("--listen=0.0.0.0:{APP_PORT}"),
    ];
    if let Some(next) = &service.next {
        arguments.push(format!("--next=http://{next}.mesh.internal/"));
    }
    let start = Start { program: "app", arguments, keep: Vec::new(), input: String::new() };
    host.start(&inside.ground, start)?;
    ready::application(host).await?;
    start_proxy(inside, host).await
}

/// Before the proxy runs, so that nothing of the application ever leaves uncaptured.
async fn capture(ground: &Ground, host: &Host) -> Result<()> {
    host.run(ground, &["node", "capture"]).await
}

async fn start_proxy(inside: &Inside, host: &Rc<Host>) -> Result<()> {
    let control = inside.host(&format!("{}/control", host.plan.cluster))?;
    ready::program(&control, "control", API_PORT, "/leno/v1/status").await?;
    let input = token(inside, &host.plan.cluster, &host.plan.group).await?;
    let mut arguments = vec![
        "proxy".to_owned(),
        format!("--control={}:{PORT_CONTROL}", control.plan.address()),
        "--join-token-file=-".to_owned(),
        format!("--workers={}", inside.options.workers),
        format!("--address={}", host.plan.address()),
        format!("--access-log={ACCESS_LOG}"),
        format!("--state-dir={STATE_DIR}"),
    ];
    if !host.plan.is_captured() {
        arguments.push("--no-capture".to_owned());
    }
    let entrance = inside.entrance_of(host);
    if let Some(fd) = entrance {
        arguments.push(format!("--inherit-listener={ENTRANCE_PORT}={fd}"));
    }
    let start = Start { program: "proxy", arguments, keep: entrance.into_iter().collect(), input };
    host.start(&inside.ground, start)?;
    ready::program(host, "proxy", PORT_ADMIN, "/ready").await
}

/// A fresh join token from the control plane's API.
pub(crate) async fn token(inside: &Inside, cluster: &str, group: &str) -> Result<String> {
    let control = inside.host(&format!("{cluster}/control"))?;
    let path = format!("/apis/networking.istio.io/v1/namespaces/{NAMESPACE}/workloadgroups/{group}/token");
    let answer = ready::call(&control, API_PORT, Request::post(path).body(Bytes::new())?).await?;
    let said = || String::from_utf8_lossy(&answer.body).trim().to_owned();
    if !(200..300).contains(&answer.status) {
        bail!("no join token for {cluster}/{group}: {}: {}", answer.status, said());
    }
    let body: serde_json::Value = serde_json::from_slice(&answer.body).context("read the token's answer")?;
    let token = body.get("token").and_then(serde_json::Value::as_str);
    token.map(str::to_owned).with_context(|| format!("answer without a token: {}", said()))
}

/// SIGTERM to the proxy, which withdraws and drains; then to the rest.
pub(crate) async fn stop(host: &Host) {
    for program in ["proxy", "app", "control", "manager"] {
        let Some(process) = host.take(program) else { continue };
        process.signal(Signal::SIGCONT);
        process.signal(Signal::SIGTERM);
        if tokio::time::timeout(STOP_TIMEOUT, process.ended()).await.is_err() {
            tracing::warn!(host = %host.plan.name, program, "did not stop in time; killed");
            end_abruptly(&process).await;
        }
    }
}

/// SIGKILL to everything in the host at once; returns when it is gone.
pub(crate) async fn kill(host: &Host) {
    let processes = host.take_all();
    for process in &processes {
        process.signal_group(Signal::SIGKILL);
    }
    join_all(processes.iter().map(RunningProcess::ended)).await;
}

async fn end_abruptly(process: &RunningProcess) {
    process.signal_group(Signal::SIGKILL);
    process.ended().await;
}

/// SIGSTOP or SIGCONT to everything in the host.
pub(crate) fn pause(host: &Host, condition: HostCondition) {
    host.signal(if condition == HostCondition::Paused { Signal::SIGSTOP } else { Signal::SIGCONT });
    host.set_condition(condition);
}

/// Sets how many workloads a group has. The first is the host of the plan; others come and go.
pub(crate) async fn scale(inside: &Inside, service: &str, replicas: u32, manner: Manner) -> Result<()> {
    if replicas > REPLICAS_MAX {
        bail!("at most {REPLICAS_MAX} workloads of one service");
    }
    let first = inside.host(service)?;
    if !matches!(first.plan.role, Role::Service(_)) {
        bail!("{service} is not a service; use kill, start and stop");
    }
    let surplus =
        (replicas + 1..=REPLICAS_MAX).filter_map(|number| inside.host(&member(service, number)).ok());
    join_all(surplus.map(|host| async move {
        match manner {
            Manner::Graceful => stop(&host).await,
            Manner::Abrupt => kill(&host).await,
        }
    }))
    .await;
    let wanted = (1..=replicas).map(|number| async move {
        let host = match inside.host(&member(service, number)) {
            Ok(host) => host,
            Err(_) => add_member(inside, service, number).await?,
        };
        if host.state() == HostState::Off { start(inside, &host).await } else { Ok(()) }
    });
    try_join_all(wanted).await.map(drop)
}

fn member(service: &str, number: u32) -> String {
    if number == 1 { service.to_owned() } else { format!("{service}-{number}") }
}

async fn add_member(inside: &Inside, service: &str, number: u32) -> Result<Rc<Host>> {
    let last = inside.next_address.get();
    inside.next_address.set(last.checked_add(1).context("no address is left for another workload")?);
    let first = inside.host(service)?;
    inside.add_host(first.plan.replica(number, plan::pod(last))).await
}
