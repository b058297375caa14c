//! Waiting for states: a program is ready when it says so, never after some time.

use crate::host::Host;
use crate::plan::{APP_PORT, GATEWAY_PORT, Role};
use crate::protocol::HttpAnswer;
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use codec::client::{Limits, send_over};
use http::{Request, StatusCode};
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// Between two looks at a state that cannot be waited for otherwise.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// A program that is not ready by then has failed; generous for slow machines.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// One request to a program of the lab.
const CALL_LIMITS: Limits = Limits { deadline: Duration::from_secs(20), body_bytes_max: 64 * 1024 * 1024 };

/// Looks until `look` says yes. The error holds the last reason for no.
async fn until<F: Future<Output = Result<()>>>(what: &str, mut look: impl FnMut() -> F) -> Result<()> {
    let deadline = Instant::now() + READY_TIMEOUT;
    loop {
        match look().await {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() >= deadline => {
                return Err(error).with_context(|| format!("{what} was not ready within {READY_TIMEOUT:?}"));
            }
            Err(_) => tokio::time::sleep(LOOK_INTERVAL).await,
        }
    }
}

/// One request to `port` on the loopback address of `host`.
pub(crate) async fn call(host: &Host, port: u16, request: Request<Bytes>) -> Result<HttpAnswer> {
    call_at(host, SocketAddr::from((Ipv4Addr::LOCALHOST, port)), request).await
}

async fn call_at(host: &Host, address: SocketAddr, request: Request<Bytes>) -> Result<HttpAnswer> {
    let stream = host.namespace.connect(address).await?;
    let response = send_over(stream, request, CALL_LIMITS).await.context("call a program of the lab")?;
    let (parts, body) = response.into_parts();
    let headers = parts.headers.iter();
    Ok(HttpAnswer {
        status: parts.status.as_u16(),
        headers: headers
            .map(|(n, v)| (n.to_string(), String::from_utf8_lossy(v.as_bytes()).into_owned()))
            .collect(),
        body: body.to_vec(),
    })
}

async fn expect_ok(host: &Host, address: SocketAddr, path: &str) -> Result<()> {
    let request = Request::get(path).body(Bytes::new())?;
    let answer = call_at(host, address, request).await?;
    if answer.status != StatusCode::OK {
        bail!("{path} answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body).trim());
    }
    Ok(())
}

/// Fails when a process of the host has ended by itself; its log's last line says why.
fn alive(host: &Host, program: &str) -> Result<()> {
    let Some(code) = host.process(program).and_then(|process| process.code()) else { return Ok(()) };
    let path = crate::files::in_host(&host.plan.name, &format!("log/{program}.log"));
    let log = std::fs::read(path).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let last: Vec<&str> = log.trim().lines().rev().take(3).collect();
    bail!(
        "{program} of {} ended with {code}: {}",
        host.plan.name,
        last.into_iter().rev().collect::<Vec<_>>().join(" | ")
    )
}

/// Waits until a program of the host answers 200 to a path on its loopback address.
pub(crate) async fn program(host: &Host, program: &str, port: u16, path: &str) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let what = format!("{program} of {}", host.plan.name);
    let look = until(&what, || expect_ok(host, address, path));
    tokio::select! {
        result = look => result,
        error = died(host, program) => Err(error),
    }
}

/// Waits for the early end of a program.
async fn died(host: &Host, program: &str) -> anyhow::Error {
    let Some(process) = host.process(program) else { return std::future::pending().await };
    process.ended().await;
    match alive(host, program) {
        Err(error) => error,
        // It was taken away on purpose meanwhile.
        Ok(()) => anyhow::anyhow!("{program} of {} was stopped", host.plan.name),
    }
}

/// Waits until the application accepts connections.
pub(crate) async fn application(host: &Host) -> Result<()> {
    listening(host, "app", SocketAddr::from((Ipv4Addr::LOCALHOST, APP_PORT))).await
}

/// Waits until a program of the host accepts connections.
pub(crate) async fn listening(host: &Host, program: &str, address: SocketAddr) -> Result<()> {
    let what = format!("{program} of {}", host.plan.name);
    let look = until(&what, || async { host.namespace.connect(address).await.map(drop) });
    tokio::select! {
        result = look => result,
        error = died(host, program) => Err(error),
    }
}

/// Waits until a call from `outside` through every gateway among `hosts` reaches the last service of the chain:
/// configuration, certificates and the federated view have arrived everywhere then.
pub(crate) async fn chain(outside: &Host, hosts: &[Rc<Host>]) -> Result<()> {
    let gateways = hosts.iter().filter(|host| host.plan.role == Role::Gateway);
    let calls = gateways.filter_map(|gateway| {
        let address = SocketAddr::from((gateway.plan.backbone?, GATEWAY_PORT));
        Some(async move {
            let what = format!("the way through {}", gateway.plan.name);
            until(&what, || expect_ok(outside, address, "/")).await
        })
    });
    futures_util::future::try_join_all(calls).await.map(drop)
}
