//! HTTP/1 in this process: codec's server and client, and hyper's.

use super::{InProcess, PIPE_BYTES, Taken, begin, converse, fill, settle, write_pieces};
use crate::case::Case;
use crate::understanding::{TakenMessage, Understanding, canonical, field, fields, statuses, text};
use bytes::Bytes;
use http::header::HOST;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{Empty, Full};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
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
    let taken = Taken::default();
    let service = |request: Request<codec::Body>| {
        let taken = Rc::clone(&taken);
        async move {
            let place = begin(&taken, taken_request(&request));
            let status = status_of(request.method());
            let _ = fill(&taken, place, request.into_body()).await;
            let mut response = Response::new(codec::Body::full("ok\n"));
            *response.status_mut() = status;
            codec::Reply::Response(response)
        }
    };
    let end = process.run(async {
        let (near, far) = duplex(PIPE_BYTES);
        let options = codec::ServerOptions::default();
        let serving = codec::http1::serve(far, &options, std::future::pending(), service);
        let (ended, answers) = tokio::join!(serving, converse(near, case));
        let ended = ended.map_or_else(|error| format!("{error:?}"), |()| "ended".into());
        format!("{}; {ended}", statuses(&answers))
    });
    Understanding { end, taken: taken.take() }
}

/// What hyper's server takes.
pub(crate) fn hyper_server(process: &InProcess, case: &Case) -> Understanding {
    let taken = Taken::default();
    let service = hyper::service::service_fn(|request: Request<hyper::body::Incoming>| {
        let taken = Rc::clone(&taken);
        async move {
            let place = begin(&taken, taken_request(&request));
            let mut response = Response::new(Full::new(Bytes::from_static(b"ok\n")));
            *response.status_mut() = status_of(request.method());
            let _ = fill(&taken, place, request.into_body()).await;
            Ok::<_, Infallible>(response)
        }
    });
    let end = process.run(async {
        let (near, far) = duplex(PIPE_BYTES);
        let serving = hyper::server::conn::http1::Builder::new()
            .half_close(true)
            .max_header_size(HEAD_BYTES_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(far), service);
        let (ended, answers) = tokio::join!(serving, converse(near, case));
        let ended = ended.map_or_else(|error| format!("{error:?}"), |()| "ended".into());
        format!("{}; {ended}", statuses(&answers))
    });
    Understanding { end, taken: taken.take() }
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

/// What codec's client takes.
pub(crate) fn codec_client(process: &InProcess, case: &Case) -> Understanding {
    let taken = Taken::default();
    let asking = async {
        let (near, far) = duplex(PIPE_BYTES);
        let answering = answer(far, case);
        let asking = async {
            let (mut sender, driver) = match codec::http1::connect(near).await {
                Ok(connected) => connected,
                Err(error) => return format!("{error:?}"),
            };
            let driver = spawn_local(driver);
            for number in 0..REQUESTS {
                settle(case).await;
                if let Err(error) = sender.ready().await {
                    return format!("{error:?}");
                }
                match sender.send(asked(case, number, codec::Body::empty())).await {
                    Ok(response) => {
                        let place = begin(&taken, taken_response(&response));
                        if let Err(error) = fill(&taken, place, response.into_body()).await {
                            return format!("{error:?}");
                        }
                    }
                    Err(error) => return format!("{error:?}"),
                }
            }
            drop(sender);
            let _ = driver.await;
            "ended".into()
        };
        tokio::select! { end = asking => end, () = async { answering.await; std::future::pending().await } => String::new() }
    };
    let end = process.run(asking);
    Understanding { end, taken: taken.take() }
}

/// What hyper's client takes.
pub(crate) fn hyper_client(process: &InProcess, case: &Case) -> Understanding {
    let taken = Taken::default();
    let asking = async {
        let (near, far) = duplex(PIPE_BYTES);
        let answering = answer(far, case);
        let asking = async {
            let builder = hyper::client::conn::http1::Builder::new();
            let (mut sender, driver) = match builder.handshake(TokioIo::new(near)).await {
                Ok(connected) => connected,
                Err(error) => return format!("{error:?}"),
            };
            spawn_local(driver);
            for number in 0..REQUESTS {
                settle(case).await;
                if let Err(error) = sender.ready().await {
                    return format!("{error:?}");
                }
                match sender.send_request(asked(case, number, Empty::<Bytes>::new())).await {
                    Ok(response) => {
                        let place = begin(&taken, taken_response(&response));
                        if let Err(error) = fill(&taken, place, response.into_body()).await {
                            return format!("{error:?}");
                        }
                    }
                    Err(error) => return format!("{error:?}"),
                }
            }
            "ended".into()
        };
        tokio::select! { end = asking => end, () = async { answering.await; std::future::pending().await } => String::new() }
    };
    let end = process.run(asking);
    Understanding { end, taken: taken.take() }
}
