//! Constant-rate load from inside a host: requests start when their time has come, late answers or not.

use crate::app;
use crate::caller::AppCaller;
use anyhow::{Context, Result, bail};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::rc::Rc;
use std::str::FromStr;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Most requests per second.
const RATE_MAX: u32 = 10_000;
/// A request without an answer by then is recorded as an error.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Options of `leno demo-load`.
#[derive(clap::Args, Clone, Debug)]
pub struct LoadOptions {
    /// Requests per second
    #[arg(long, default_value_t = 200)]
    pub rate: u32,
    /// For how long, for example 5s or 500ms; SIGTERM ends it early
    #[arg(long, value_parser = parse_duration, default_value = "5s")]
    pub duration: Duration,
    /// Header of each request, NAME: VALUE (repeatable)
    #[arg(long = "header", short = 'H')]
    pub headers: Vec<String>,
    /// Send over this many connections in turn, each with one request at a time; 0: over as many as it takes
    #[arg(long, default_value_t = 0)]
    pub connections: u32,
    /// Whom to call
    pub url: String,
}

/// One line of output: one request, in the order in which they ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadLine {
    /// Which request, from 0, in the order in which they started.
    pub number: u64,
    /// Which of `--connections` it went over, from 0.
    #[serde(default)]
    pub connection: u32,
    /// When it started, in milliseconds since the start of the load.
    pub at_ms: u64,
    /// How long it took, in milliseconds.
    pub took_ms: f64,
    /// Status code; `None`: no answer.
    pub status: Option<u16>,
    /// `SERVICE/CLUSTER/HOST/VERSION` of each hop that the answer names.
    pub hops: Vec<app::Hop>,
    /// Why there was no answer, or what the answer complained about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl LoadLine {
    /// The cluster that answered as `service`, if it was asked.
    pub fn cluster_of(&self, service: &str) -> Option<&str> {
        self.hops.iter().find(|hop| hop.service == service).map(|hop| hop.cluster.as_str())
    }

    /// Whether the request succeeded.
    pub fn is_ok(&self) -> bool {
        self.status == Some(200) && self.error.is_none()
    }
}

/// Runs the load; one line of JSON per request on standard output.
pub fn run(options: LoadOptions) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, generate(options))
}

async fn generate(options: LoadOptions) -> Result<()> {
    if options.rate == 0 || options.rate > RATE_MAX {
        bail!("--rate must be from 1 to {RATE_MAX}");
    }
    let lanes = (0..options.connections.max(1)).map(|number| {
        Ok(Rc::new(LoadLane {
            number,
            caller: AppCaller::new(&options.url)?,
            turns: turns(options.connections),
        }))
    });
    let lanes = lanes.collect::<Result<Vec<_>>>()?;
    let headers = parse_headers(&options.headers)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut requests = JoinSet::new();
    let start = Instant::now();
    let count = (options.duration.as_secs_f64() * f64::from(options.rate)) as u64;
    let mut number = 0;
    while number < count {
        let due = start + Duration::from_secs_f64(number as f64 / f64::from(options.rate));
        tokio::select! {
            biased;
            _ = terminate.recv() => break,
            () = tokio::time::sleep_until(due) => {
                let lane = Rc::clone(&lanes[number as usize % lanes.len()]);
                requests.spawn_local(request(lane, headers.clone(), number, start));
                number += 1;
            }
            Some(line) = requests.join_next() => print(line)?,
        }
    }
    while let Some(line) = requests.join_next().await {
        print(line)?;
    }
    Ok(())
}

fn print(line: Result<LoadLine, tokio::task::JoinError>) -> Result<()> {
    let mut text = serde_json::to_vec(&line.context("a request ended without a result")?)?;
    text.push(b'\n');
    std::io::stdout().lock().write_all(&text).context("write a result")
}

/// A caller, and how many of its requests may be under way at once.
struct LoadLane {
    number: u32,
    caller: Rc<AppCaller>,
    turns: Semaphore,
}

fn turns(connections: u32) -> Semaphore {
    Semaphore::new(if connections == 0 { Semaphore::MAX_PERMITS } else { 1 })
}

async fn request(lane: Rc<LoadLane>, headers: HeaderMap, number: u64, start: Instant) -> LoadLine {
    let at = Instant::now();
    let call = async {
        // Waits for its turn, which is never closed.
        let _turn = lane.turns.acquire().await;
        lane.caller.call(Method::GET, &headers).await
    };
    let result = tokio::time::timeout(ANSWER_TIMEOUT, call).await;
    let took_ms = at.elapsed().as_secs_f64() * 1e3;
    let at_ms = at.duration_since(start).as_millis() as u64;
    let connection = lane.number;
    let mut line =
        LoadLine { number, connection, at_ms, took_ms, status: None, hops: Vec::new(), error: None };
    match result {
        Err(_) => line.error = Some(format!("no answer within {ANSWER_TIMEOUT:?}")),
        Ok(Err(error)) => line.error = Some(format!("{error:#}")),
        Ok(Ok(answer)) => {
            line.status = Some(answer.status.as_u16());
            match serde_json::from_slice::<app::AppAnswer>(&answer.body) {
                Ok(body) => (line.hops, line.error) = (body.hops, body.error),
                Err(_) => line.error = Some(String::from_utf8_lossy(&answer.body).trim().to_owned()),
            }
        }
    }
    line
}

fn parse_headers(lines: &[String]) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').with_context(|| format!("`{line}` is not NAME: VALUE"))?;
        headers.append(HeaderName::from_str(name.trim())?, HeaderValue::from_str(value.trim())?);
    }
    Ok(headers)
}

/// Reads `5s`, `500ms` or `2m`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| format!("`{text}` is not a duration such as 5s"))?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        _ => Err(format!("`{text}` needs a unit: ms, s or m")),
    }
}

#[cfg(test)]
mod tests;
