//! HTTP/1 in this process: codec's server and client, and hyper's.

use super::{InProcess, Taken, begin, fill, of_client, of_server, settle, write_pieces};
use crate::case::Case;
use crate::understanding::{TakenMessage, Understanding, canonical, field, fields, text};
use bytes::Bytes;
use http::header::HOST;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::fmt::Debug;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::spawn_local;

/// Bytes of a head that codec takes, for hyper too.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// How long a server waits for the next request.
const REQUEST_WAIT: Duration = Duration::from_secs(10);
/// Requests that are sent one after the other, if the connection lets them.
const REQUESTS: usize = 4;

fn taken_request<B>(request: &Request<B>) -> TakenMessage {
    let host = field(request.headers(), &HOST);
    let (start, host) =
        canonical(request.method().as_str(), &text(request.uri().to_string().as_bytes()), &host);
    TakenMessage { start, host, fields: fields(request.headers()), ..TakenMessage::default() }
}

fn status_of(method: &Method) -> StatusCode {
    if method == Method::CONNECT { StatusCode::METHOD_NOT_ALLOWED } else { StatusCode::OK }
}

/// What codec's server takes.
pub(crate) fn codec_server(process: &InProcess, case: &Case) -> Understanding {
    of_server(process, case, async |io, taken| {
        let service = |request: Request<codec::Body>| {
            let taken = Rc::clone(taken);
            async move {
                let place = begin(&taken, taken_request(&request));
                let mut response = Response::new(codec::Body::full("ok\n"));
                *response.status_mut() = status_of(request.method());
                let _ = fill(&taken, place, request.into_body()).await;
                codec::Reply::Response(response)
            }
        };
        let options = codec::ServerOptions::default();
        codec::http1::serve(io, &options, std::future::pending(), service).await
    })
}

/// What hyper's server takes.
pub(crate) fn hyper_server(process: &InProcess, case: &Case) -> Understanding {
    of_server(process, case, async |io, taken| {
        let service = hyper::service::service_fn(|request: Request<hyper::body::Incoming>| {
            let taken = Rc::clone(taken);
            async move {
                let place = begin(&taken, taken_request(&request));
                let mut response = Response::new(Full::new(Bytes::from_static(b"ok\n")));
                *response.status_mut() = status_of(request.method());
                let _ = fill(&taken, place, request.into_body()).await;
                Ok::<_, Infallible>(response)
            }
        });
        hyper::server::conn::http1::Builder::new()
            .half_close(true)
            .max_header_size(HEAD_BYTES_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(io), service)
            .await
    })
}

/// Waits for a request's head, then sends what the case has for it, and so on.
async fn answer(mut io: DuplexStream, case: &Case) {
    for response in case.responses() {
        // Who has no whole response yet asks for nothing: it shall have the rest.
        if let Ok(Err(_)) = tokio::time::timeout(REQUEST_WAIT, request(&mut io)).await {
            return;
        }
        if write_pieces(&mut io, response).await.is_err() {
            return;
        }
    }
    let _ = io.shutdown().await;
    // Further requests are read and not answered.
    let _ = io.read_to_end(&mut Vec::new()).await;
}

async fn request(io: &mut DuplexStream) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(io.read_u8().await?);
    }
    Ok(())
}

fn taken_response<B>(response: &Response<B>) -> TakenMessage {
    let start = response.status().as_u16().to_string();
    TakenMessage { start, fields: fields(response.headers()), ..TakenMessage::default() }
}

/// What is asked: the first request may be HEAD, so that its answer has no body.
fn asked<B>(case: &Case, number: usize, body: B) -> Request<B> {
    let mut request = Request::new(body);
    *request.method_mut() = if case.is_head && number == 0 { Method::HEAD } else { Method::GET };
    request.headers_mut().insert(HOST, http::HeaderValue::from_static("h"));
    request
}

/// Asks with `ask` for one response after the other, as long as the connection lets it.
async fn ask_in_turn<B, E>(
    case: &Case,
    taken: &Taken,
    mut ask: impl AsyncFnMut(usize) -> Result<Response<B>, E>,
) -> String
where
    B: BodyExt<Data = Bytes> + Unpin,
    B::Error: Debug,
    E: Debug,
{
    for number in 0..REQUESTS {
        settle(case).await;
        let response = match ask(number).await {
            Ok(response) => response,
            Err(error) => return format!("{error:?}"),
        };
        let place = begin(taken, taken_response(&response));
        if let Err(error) = fill(taken, place, response.into_body()).await {
            return format!("{error:?}");
        }
    }
    "ended".into()
}

/// What codec's client takes.
pub(crate) fn codec_client(process: &InProcess, case: &Case) -> Understanding {
    let asking = async |io, taken: &Taken| {
        let (mut sender, driver) = match codec::http1::connect(io).await {
            Ok(connected) => connected,
            Err(error) => return format!("{error:?}"),
        };
        spawn_local(driver);
        let ask = async |number| {
            sender.ready().await?;
            sender.send(asked(case, number, codec::Body::empty())).await
        };
        ask_in_turn(case, taken, ask).await
    };
    of_client(process, Taken::default(), asking, async |io| answer(io, case).await)
}

/// What hyper's client takes.
pub(crate) fn hyper_client(process: &InProcess, case: &Case) -> Understanding {
    let asking = async |io, taken: &Taken| {
        let builder = hyper::client::conn::http1::Builder::new();
        let (mut sender, driver) = match builder.handshake(TokioIo::new(io)).await {
            Ok(connected) => connected,
            Err(error) => return format!("{error:?}"),
        };
        spawn_local(driver);
        let ask = async |number| {
            sender.ready().await?;
            sender.send_request(asked(case, number, Empty::<Bytes>::new())).await
        };
        ask_in_turn(case, taken, ask).await
    };
    of_client(process, Taken::default(), asking, async |io| answer(io, case).await)
}
