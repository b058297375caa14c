//! The application for HTTP/2 without TLS: answers unary gRPC, takes uploads of any length, and sends downloads
//! (`/download/BYTES`). It and the generator are of the crate `h2`, whatever Leno itself is made of.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

use crate::process::{LOAD_CORE, RunningProgram};

/// What a stream and a connection may send before the other end takes it.
pub(crate) const WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// Largest frame that is taken.
pub(crate) const FRAME_BYTES_MAX: u32 = 64 * 1024;
/// Of a download, written at once.
const PIECE: &[u8] = &[b'x'; 64 * 1024];
/// Of every other answer.
const ANSWER: &[u8] = &[b'x'; 100];
/// A gRPC message of 16 bytes, with its prefix.
pub(crate) const MESSAGE: &[u8] = b"\0\0\0\0\x10sixteen bytes ok";

/// Starts it on the generator's core.
pub(crate) fn start(at: SocketAddr, log: &Path) -> Result<RunningProgram> {
    let itself = std::env::current_exe()?.display().to_string();
    let command = [&itself, "tool", "http2-app", "--at", &at.to_string()].map(str::to_owned);
    let mut app = RunningProgram::start("the application", LOAD_CORE, &command, log)?;
    app.wait_for(at)?;
    Ok(app)
}

/// Answers until the process is killed.
pub(crate) fn run(at: SocketAddr) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(at).await.with_context(|| format!("listen on {at}"))?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            spawn_local(serve(stream));
        }
    })
}

async fn serve(stream: TcpStream) -> Result<()> {
    let mut connection = h2::server::Builder::new()
        .initial_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_concurrent_streams(10_000)
        .max_send_buffer_size(1024 * 1024)
        .handshake::<_, Bytes>(stream)
        .await?;
    while let Some(accepted) = connection.accept().await {
        let (request, respond) = accepted?;
        spawn_local(answer(request, respond));
    }
    Ok(())
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> Result<()> {
    let (head, mut body) = request.into_parts();
    if let Some(bytes) = head.uri.path().strip_prefix("/download/") {
        let length = bytes.parse().unwrap_or(0);
        let stream = respond.send_response(Response::new(()), false)?;
        return send(stream, length).await;
    }
    while let Some(data) = body.data().await {
        let length = data?.len();
        body.flow_control().release_capacity(length)?;
    }
    let is_grpc = head.headers.contains_key("te");
    if is_grpc {
        let response = Response::builder().header("content-type", "application/grpc").body(())?;
        let mut stream = respond.send_response(response, false)?;
        stream.send_data(Bytes::from_static(MESSAGE), false)?;
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
        stream.send_trailers(trailers)?;
    } else {
        let mut stream = respond.send_response(Response::new(()), false)?;
        stream.send_data(Bytes::from_static(ANSWER), true)?;
    }
    Ok(())
}

/// Sends `length` bytes and ends the stream.
pub(crate) async fn send(mut stream: SendStream<Bytes>, length: u64) -> Result<()> {
    let mut left = length;
    while left > 0 {
        let wanted = left.min(PIECE.len() as u64) as usize;
        stream.reserve_capacity(wanted);
        let granted = std::future::poll_fn(|context| stream.poll_capacity(context)).await;
        let granted = granted.context("the stream has ended")??.min(wanted);
        left -= granted as u64;
        stream.send_data(Bytes::from_static(&PIECE[..granted]), left == 0)?;
    }
    Ok(())
}
