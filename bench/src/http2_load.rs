//! The generator for HTTP/2: a closed loop of so many streams on each of so many connections, without TLS.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use tokio::net::TcpStream;
use tokio::task::{LocalSet, spawn_local};

use crate::http2_app::{FRAME_BYTES_MAX, MESSAGE, WINDOW_BYTES, send};
use crate::measured::Load;
use crate::statistics::quantile;

/// One upload or download. Each is an operation of so many bytes.
pub(crate) const BULK_BYTES: u64 = 64 * 1024 * 1024;

/// What each stream does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Call {
    /// A GET with a short answer.
    Get,
    /// A unary gRPC call with 16 bytes each way.
    Grpc,
    /// A POST of [`BULK_BYTES`].
    Upload,
    /// A GET that is answered with [`BULK_BYTES`].
    Download,
}

/// Command line of the generator.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(crate) struct Shape {
    #[arg(long)]
    pub to: SocketAddr,
    #[arg(long)]
    pub connections: usize,
    /// On each connection
    #[arg(long)]
    pub streams: usize,
    #[arg(long)]
    pub seconds: u64,
    #[arg(long, value_enum)]
    pub call: Call,
}

/// The command of one run on `core`.
pub(crate) fn command(core: usize, shape: &Shape) -> Result<Vec<String>> {
    let itself = std::env::current_exe()?.display().to_string();
    let pinned = ["taskset", "-c", &core.to_string(), &itself, "tool", "http2-load"].map(str::to_owned);
    let call = clap::ValueEnum::to_possible_value(&shape.call).context("a call")?;
    let what = [
        format!("--to={}", shape.to),
        format!("--connections={}", shape.connections),
        format!("--streams={}", shape.streams),
        format!("--seconds={}", shape.seconds),
        format!("--call={}", call.get_name()),
    ];
    Ok(pinned.into_iter().chain(what).collect())
}

/// Puts the load on, and prints what was seen.
pub(crate) fn put(shape: Shape) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let load = LocalSet::new().block_on(&runtime, all(shape))?;
    println!("{}", serde_json::to_string(&load)?);
    Ok(())
}

#[derive(Default)]
struct Tally {
    latencies_ms: Vec<f64>,
    errors: f64,
}

async fn all(shape: Shape) -> Result<Load> {
    let seen = Rc::new(RefCell::new(Tally::default()));
    let began = Instant::now();
    let until = began + Duration::from_secs(shape.seconds);
    let mut loops = Vec::new();
    for _ in 0..shape.connections {
        let stream =
            TcpStream::connect(shape.to).await.with_context(|| format!("connect to {}", shape.to))?;
        stream.set_nodelay(true)?;
        let (client, connection) = h2::client::Builder::new()
            .initial_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .max_frame_size(FRAME_BYTES_MAX)
            .max_send_buffer_size(1024 * 1024)
            .handshake::<_, Bytes>(stream)
            .await?;
        spawn_local(connection);
        for _ in 0..shape.streams {
            let (client, seen) = (client.clone(), Rc::clone(&seen));
            loops.push(spawn_local(call_until(client, shape.call, until, seen)));
        }
    }
    for one in loops {
        one.await?;
    }
    let seconds = began.elapsed().as_secs_f64();
    let mut seen = seen.take();
    let requests = seen.latencies_ms.len() as f64;
    ensure!(requests > 0.0, "no request was answered");
    let p50_ms = quantile(&mut seen.latencies_ms, 0.5);
    let p99_ms = quantile(&mut seen.latencies_ms, 0.99);
    Ok(Load { requests, seconds, p50_ms, p99_ms, errors: seen.errors })
}

async fn call_until(client: SendRequest<Bytes>, kind: Call, until: Instant, seen: Rc<RefCell<Tally>>) {
    let mut client = client;
    while Instant::now() < until {
        let began = Instant::now();
        let called = match client.ready().await {
            Ok(mut ready) => {
                let called = call(&mut ready, kind).await;
                client = ready;
                called
            }
            Err(error) => {
                eprintln!("{error}");
                seen.borrow_mut().errors += 1.0;
                return;
            }
        };
        let mut seen = seen.borrow_mut();
        match called {
            Ok(()) => seen.latencies_ms.push(began.elapsed().as_secs_f64() * 1000.0),
            Err(_) => seen.errors += 1.0,
        }
    }
}

async fn call(client: &mut SendRequest<Bytes>, kind: Call) -> Result<()> {
    let request = match kind {
        Call::Get => Request::get("http://bench/"),
        Call::Grpc => Request::post("http://bench/bench.Echo/Call")
            .header("content-type", "application/grpc")
            .header("te", "trailers"),
        Call::Upload => Request::post("http://bench/upload"),
        Call::Download => Request::get(format!("http://bench/download/{BULK_BYTES}")),
    };
    let has_body = matches!(kind, Call::Grpc | Call::Upload);
    let (response, mut stream) = client.send_request(request.body(())?, !has_body)?;
    match kind {
        Call::Grpc => stream.send_data(Bytes::from_static(MESSAGE), true)?,
        Call::Upload => send(stream, BULK_BYTES).await?,
        Call::Get | Call::Download => {}
    }
    let response = response.await?;
    ensure!(response.status().is_success(), "{}", response.status());
    let mut body = response.into_body();
    while let Some(data) = body.data().await {
        let length = data?.len();
        body.flow_control().release_capacity(length)?;
    }
    if kind == Call::Grpc {
        let trailers = body.trailers().await?.context("no trailers")?;
        ensure!(trailers.get("grpc-status").is_some_and(|status| status == "0"), "the call failed");
    }
    Ok(())
}
