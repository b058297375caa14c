//! The health protocol of gRPC (`grpc.health.v1.Health/Check`), over HTTP/2 without TLS as the kubelet speaks it.

use bytes::{BufMut, Bytes, BytesMut};
use codec::{Body, ClientOptions, Io};
use http::{HeaderMap, HeaderValue, Request, header};
use model::probe::GrpcProbe;
use prost::Message;
use std::convert::Infallible;
use std::net::SocketAddr;

const PATH: &str = "/grpc.health.v1.Health/Check";
/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 4096;
/// Before each message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;
/// The number of an application that serves.
const SERVING: i32 = 1;

#[derive(Clone, PartialEq, Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// Asks over `io`, which leads to `at`.
///
/// # Errors
/// Why that is no success.
pub(super) async fn check(io: impl Io, at: SocketAddr, probe: &GrpcProbe) -> Result<(), String> {
    let failed = |error: codec::SendError| format!("no gRPC answer: {error}");
    let (sender, connection) = codec::http2::connect(io, &ClientOptions::default()).await.map_err(failed)?;
    let driving = async {
        connection.await;
        // The answer may have come before the end.
        std::future::pending::<Infallible>().await
    };
    let asking = async {
        let response = sender.send(request(at, probe)?).await.map_err(failed)?;
        let (head, body) = response.into_parts();
        if head.status != http::StatusCode::OK {
            return Err(format!("HTTP status {}", head.status.as_u16()));
        }
        let read = body.collect_with_trailers(ANSWER_BYTES_MAX).await;
        let (bytes, trailers) = read.map_err(|error| format!("no gRPC answer: {error}"))?;
        judge(trailers.as_ref().unwrap_or(&head.headers), bytes)
    };
    tokio::select! {
        answer = asking => answer,
        never = driving => match never {},
    }
}

fn request(at: SocketAddr, probe: &GrpcProbe) -> Result<Request<Body>, String> {
    let message = HealthCheckRequest { service: probe.service.to_string() }.encode_to_vec();
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).map_err(|_| "the service's name is too long".to_owned())?);
    framed.put_slice(&message);
    let request = Request::post(format!("http://{at}{PATH}"))
        .header(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"))
        .header(header::TE, HeaderValue::from_static("trailers"))
        .header(header::USER_AGENT, super::http::USER_AGENT);
    request.body(Body::full(framed.freeze())).map_err(|error| error.to_string())
}

/// `end` is what the answer ends with: its trailers, or its head when there is nothing else.
fn judge(end: &HeaderMap, answer: Bytes) -> Result<(), String> {
    match end.get("grpc-status").and_then(|status| status.to_str().ok()) {
        Some("0") => {}
        Some("5") => return Err("gRPC status 5: the server does not know the service".to_owned()),
        Some("12") => return Err("gRPC status 12: the server has no health service".to_owned()),
        Some(status) => return Err(format!("gRPC status {status}")),
        None => return Err("no gRPC answer: it has no status".to_owned()),
    }
    let message = answer.get(PREFIX_BYTES..).filter(|_| answer.first() == Some(&0));
    let message = message.and_then(|message| HealthCheckResponse::decode(message).ok());
    match message.map(|message| message.status) {
        Some(SERVING) => Ok(()),
        Some(0) => Err("the health service says UNKNOWN".to_owned()),
        Some(2) => Err("the health service says NOT_SERVING".to_owned()),
        Some(3) => Err("the health service says SERVICE_UNKNOWN".to_owned()),
        Some(other) => Err(format!("the health service says {other}")),
        None => Err("the answer of the health service has no reading".to_owned()),
    }
}
