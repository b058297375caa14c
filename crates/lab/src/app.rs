//! The demo application: answers with who it is, and with what the next service said.
//!
//! It knows nothing of the mesh: it listens on a port, resolves names with the host's resolver and speaks
//! plain HTTP/1.1. Headers `x-*` are passed on, as applications do with context. A caller may ask for
//! trouble: `x-demo-fault: SERVICE delay MS` or `SERVICE status CODE [every N]`.

use crate::caller::AppCaller;
use anyhow::{Context, Result};
use codec::{Body, Reply, ServerOptions, http1};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Asks for trouble in one service of the chain.
pub const FAULT_HEADER: &str = "x-demo-fault";
/// Longest time for requests in flight after SIGTERM.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest delay that a caller may ask for.
const DELAY_MS_MAX: u64 = 60_000;

/// Options of `leno demo-app`.
#[derive(clap::Args, Clone, Debug)]
pub struct AppOptions {
    /// Name in answers
    #[arg(long)]
    pub name: String,
    /// Version in answers
    #[arg(long, default_value = "v1")]
    pub version: String,
    /// Cluster in answers
    #[arg(long, default_value = "")]
    pub cluster: String,
    /// Address to listen on
    #[arg(long, value_name = "ADDR")]
    pub listen: SocketAddr,
    /// Service to call for each request
    #[arg(long, value_name = "URL")]
    pub next: Option<String>,
}

/// The answer of the application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppAnswer {
    /// The services that the request passed, the first one first.
    pub hops: Vec<Hop>,
    /// What went wrong on the way, if anything did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One service that a request passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// Its name.
    pub service: String,
    /// Its version.
    pub version: String,
    /// The cluster that it runs in.
    pub cluster: String,
    /// The host that it runs on.
    pub host: String,
}

struct App {
    own: Hop,
    next: Option<Rc<AppCaller>>,
    /// Requests that asked for a status so far, for `every N`.
    faulty: Cell<u64>,
}

/// Runs the application until SIGTERM.
pub fn run(options: AppOptions) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, serve(options))
}

async fn serve(options: AppOptions) -> Result<()> {
    let listener = TcpListener::bind(options.listen).await;
    let listener = listener.with_context(|| format!("listen on {}", options.listen))?;
    let host = nix::sys::utsname::uname()?.nodename().to_string_lossy().into_owned();
    let app = Rc::new(App {
        own: Hop { service: options.name, version: options.version, cluster: options.cluster, host },
        next: options.next.as_deref().map(AppCaller::new).transpose()?,
        faulty: Cell::new(0),
    });
    let (stop, stopped) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // Out of descriptors, or a client that is gone already: the next one may do better.
                let Ok((stream, _)) = accepted else { continue };
                let _ = stream.set_nodelay(true);
                let (app, mut stopped) = (Rc::clone(&app), stopped.clone());
                connections.spawn_local(async move {
                    let drain = async move { let _ = stopped.wait_for(|stop| *stop).await; };
                    let answer = move |request| answer(Rc::clone(&app), request);
                    // How a client's connection ends is the client's business.
                    let _ = http1::serve(stream, &ServerOptions::default(), drain, answer).await;
                });
            }
            Some(_) = connections.join_next() => {}
            _ = terminate.recv() => break,
        }
    }
    drop(listener);
    stop.send_replace(true);
    let finished = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, finished).await;
    Ok(())
}

async fn answer(app: Rc<App>, request: Request<Body>) -> Reply {
    let faults = faults(request.headers(), &app.own.service);
    for fault in faults {
        match fault {
            AppFault::Delay(time) => tokio::time::sleep(time).await,
            AppFault::Status { status, every } => {
                let count = app.faulty.get();
                app.faulty.set(count + 1);
                if count.is_multiple_of(every) {
                    let error = Some(format!("{} was asked for this", app.own.service));
                    return reply(status, &AppAnswer { hops: vec![app.own.clone()], error });
                }
            }
        }
    }
    let mut answer = AppAnswer { hops: vec![app.own.clone()], error: None };
    let Some(next) = &app.next else { return reply(StatusCode::OK, &answer) };
    match next.call(Method::GET, &context(request.headers())).await {
        Ok(theirs) => {
            match serde_json::from_slice::<AppAnswer>(&theirs.body) {
                Ok(further) => {
                    answer.hops.extend(further.hops);
                    answer.error = further.error;
                }
                Err(_) => answer.error = Some(String::from_utf8_lossy(&theirs.body).trim().to_owned()),
            }
            reply(theirs.status, &answer)
        }
        Err(error) => {
            answer.error = Some(format!("{error:#}"));
            reply(StatusCode::BAD_GATEWAY, &answer)
        }
    }
}

/// What an application passes on of a request's headers.
fn context(headers: &HeaderMap) -> HeaderMap {
    let passed = headers.iter().filter(|(name, _)| name.as_str().starts_with("x-") || *name == "traceparent");
    passed.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn reply(status: StatusCode, answer: &AppAnswer) -> Reply {
    let mut text = serde_json::to_vec(answer).unwrap_or_default();
    text.push(b'\n');
    let mut response = Response::new(Body::full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Reply::Response(response)
}

/// Trouble that a caller asks for.
#[derive(Debug, PartialEq, Eq)]
enum AppFault {
    Delay(Duration),
    Status { status: StatusCode, every: u64 },
}

/// The faults meant for `service`; what cannot be read is left out.
fn faults(headers: &HeaderMap, service: &str) -> Vec<AppFault> {
    let lines = headers.get_all(FAULT_HEADER).iter().filter_map(|value| value.to_str().ok());
    lines.filter_map(|line| fault(line, service)).collect()
}

fn fault(line: &str, service: &str) -> Option<AppFault> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (name, words) = words.split_first()?;
    if *name != service {
        return None;
    }
    match words {
        ["delay", ms] => {
            Some(AppFault::Delay(Duration::from_millis(ms.parse::<u64>().ok()?.min(DELAY_MS_MAX))))
        }
        ["status", code] => Some(AppFault::Status { status: code.parse().ok()?, every: 1 }),
        ["status", code, "every", count] => {
            let every = count.parse().ok().filter(|every| *every > 0)?;
            Some(AppFault::Status { status: code.parse().ok()?, every })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
