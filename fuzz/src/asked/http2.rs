//! HTTP/2 in this process: codec's server and client, and those of the `h2` crate.

use super::{InProcess, Taken, begin, converse, end_of, fill, of_client, of_server};
use crate::case::Case;
use crate::frame::{HEAD_BYTES, HEADERS, frames, payload_bytes};
use crate::understanding::{TakenMessage, Understanding, canonical, field, fields, text};
use bytes::Bytes;
use h2::RecvStream;
use http::header::{HOST, HeaderMap};
use http::{Request, Response};
use std::rc::Rc;
use tokio::io::{AsyncReadExt, DuplexStream};
use tokio::task::spawn_local;

/// What codec allows, for the crate too.
const FRAME_BYTES_MAX: u32 = 64 * 1024;
const LIST_BYTES_MAX: u32 = 64 * 1024;
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// Requests at once.
const STREAMS: usize = 2;

/// The case behind what a client says first.
fn with_preface(case: &Case) -> Case {
    let bytes = [&codec::HTTP2_PREFACE[..], &case.bytes].concat();
    Case::new(bytes)
}

/// What codec's server takes.
pub(crate) fn codec_http2_server(process: &InProcess, case: &Case) -> Understanding {
    of_server(process, &with_preface(case), async |io, taken| {
        let service = |request: Request<codec::Body>| {
            let taken = Rc::clone(taken);
            async move {
                let target = request.uri().to_string();
                let place = begin(&taken, taken_request(&request, &target, None));
                match fill(&taken, place, request.into_body()).await {
                    Ok(()) => codec::Reply::Response(Response::new(codec::Body::empty())),
                    Err(_) => codec::Reply::Reset(codec::ResetCode::Cancel),
                }
            }
        };
        let options = codec::ServerOptions::default();
        codec::http2::serve(io, &options, std::future::pending(), service).await
    })
}

/// What a server on the bare crate takes.
pub(crate) fn h2_server(process: &InProcess, case: &Case) -> Understanding {
    of_server(process, &with_preface(case), async |io, taken| {
        let mut builder = h2::server::Builder::new();
        builder
            .max_frame_size(FRAME_BYTES_MAX)
            .max_header_list_size(LIST_BYTES_MAX)
            .initial_window_size(STREAM_WINDOW_BYTES);
        let mut connection = builder.handshake::<_, Bytes>(io).await?;
        while let Some(accepted) = connection.accept().await {
            let (request, mut respond) = accepted?;
            let authority = request.uri().authority().map(ToString::to_string);
            let target = request.uri().path_and_query().map(ToString::to_string);
            let target = target.or_else(|| authority.clone()).unwrap_or_default();
            let place = begin(taken, taken_request(&request, &target, authority));
            let taken = Rc::clone(taken);
            spawn_local(async move {
                if read(&taken, place, request.into_body()).await.is_ok() {
                    let _ = respond.send_response(Response::new(()), true);
                }
            });
        }
        Ok::<_, h2::Error>(())
    })
}

/// A request for `target`; whom it is for says `host` too, if no authority does.
fn taken_request<B>(request: &Request<B>, target: &str, authority: Option<String>) -> TakenMessage {
    let host = authority.unwrap_or_else(|| field(request.headers(), &HOST));
    let (start, host) = canonical(request.method().as_str(), &text(target.as_bytes()), &host);
    TakenMessage { start, host, fields: fields(request.headers()), ..TakenMessage::default() }
}

/// As `fill`, of a stream of the crate.
async fn read(taken: &Taken, place: usize, mut body: RecvStream) -> Result<(), h2::Error> {
    while let Some(data) = body.data().await {
        let data = data?;
        let _ = body.flow_control().release_capacity(data.len());
        if let Some(message) = taken.borrow_mut().get_mut(place) {
            message.body.extend_from_slice(&data);
        }
    }
    let trailers = body.trailers().await?;
    if let Some(message) = taken.borrow_mut().get_mut(place) {
        message.take_trailers(trailers.as_ref());
        message.is_whole = true;
    }
    Ok(())
}

/// Waits until as many requests have come as there will be, then sends what the case says.
async fn answer(mut io: DuplexStream, case: &Case) {
    let mut preface = [0; codec::HTTP2_PREFACE.len()];
    if io.read_exact(&mut preface).await.is_err() {
        return;
    }
    let mut heads = 0;
    while heads < STREAMS {
        let mut head = [0; HEAD_BYTES];
        if io.read_exact(&mut head).await.is_err() {
            return;
        }
        let mut payload = vec![0; payload_bytes(&head)];
        if io.read_exact(&mut payload).await.is_err() {
            return;
        }
        heads += frames(&head).filter(|frame| frame.kind == HEADERS).count();
    }
    converse(io, case).await;
}

fn head_of(taken: &Taken, place: usize, status: http::StatusCode, headers: &HeaderMap) {
    if let Some(message) = taken.borrow_mut().get_mut(place) {
        message.start = status.as_u16().to_string();
        message.fields = fields(headers);
    }
}

/// Asks with `ask` for a response in each place, all at once.
async fn ask_at_once(ask: impl AsyncFn(usize) -> String) -> String {
    let (one, two) = tokio::join!(ask(0), ask(1));
    format!("{one}; {two}")
}

/// Places for as many responses as are asked for.
fn places() -> Taken {
    Taken::new(vec![TakenMessage::default(); STREAMS].into())
}

/// What codec's client takes.
pub(crate) fn codec_http2_client(process: &InProcess, case: &Case) -> Understanding {
    let asking = async |io, taken: &Taken| {
        let options = codec::ClientOptions::default();
        let (sender, driver) = match codec::http2::connect(io, &options).await {
            Ok(connected) => connected,
            Err(error) => return format!("{error:?}"),
        };
        spawn_local(driver);
        let ask = async |place| {
            let request = Request::get("http://h/p").body(codec::Body::empty()).unwrap_or_default();
            match sender.clone().send(request).await {
                Ok(response) => {
                    head_of(taken, place, response.status(), response.headers());
                    end_of(fill(taken, place, response.into_body()).await, "whole")
                }
                Err(error) => format!("{error:?}"),
            }
        };
        ask_at_once(ask).await
    };
    of_client(process, places(), asking, async |io| answer(io, case).await)
}

/// What a client on the bare crate takes.
pub(crate) fn h2_client(process: &InProcess, case: &Case) -> Understanding {
    let asking = async |io, taken: &Taken| {
        let mut builder = h2::client::Builder::new();
        builder
            .enable_push(false)
            .max_frame_size(FRAME_BYTES_MAX)
            .max_header_list_size(LIST_BYTES_MAX)
            .initial_window_size(STREAM_WINDOW_BYTES);
        let (sender, driver) = match builder.handshake::<_, Bytes>(io).await {
            Ok(connected) => connected,
            Err(error) => return format!("{error:?}"),
        };
        spawn_local(driver);
        let ask = async |place| {
            let request = Request::get("http://h/p").body(()).unwrap_or_default();
            let answered = match sender.clone().send_request(request, true) {
                Ok((response, _)) => response.await,
                Err(error) => Err(error),
            };
            match answered {
                Ok(response) => {
                    head_of(taken, place, response.status(), response.headers());
                    end_of(read(taken, place, response.into_body()).await, "whole")
                }
                Err(error) => format!("{error:?}"),
            }
        };
        ask_at_once(ask).await
    };
    of_client(process, places(), asking, async |io| answer(io, case).await)
}
