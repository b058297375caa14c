//! HTTP/2 in this process: codec's server and client, and those of the `h2` crate.

use super::{InProcess, PIPE_BYTES, Taken, begin, converse, fill};
use crate::case::Case;
use crate::understanding::{TakenMessage, Understanding, canonical, field, fields, text};
use bytes::Bytes;
use h2::RecvStream;
use http::header::{HOST, HeaderMap};
use http::{Request, Response};
use std::rc::Rc;
use tokio::io::{AsyncReadExt, DuplexStream, duplex};
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
    let taken = Taken::default();
    let service = |request: Request<codec::Body>| {
        let taken = Rc::clone(&taken);
        async move {
            let host = field(request.headers(), &HOST);
            let (start, host) =
                canonical(request.method().as_str(), &text(request.uri().to_string().as_bytes()), &host);
            let fields = fields(request.headers());
            let place = begin(&taken, TakenMessage { start, host, fields, ..TakenMessage::default() });
            match fill(&taken, place, request.into_body()).await {
                Ok(()) => codec::Reply::Response(Response::new(codec::Body::empty())),
                Err(_) => codec::Reply::Reset(codec::ResetCode::Cancel),
            }
        }
    };
    let case = with_preface(case);
    let end = process.run(async {
        let (near, far) = duplex(PIPE_BYTES);
        let options = codec::ServerOptions::default();
        let serving = codec::http2::serve(far, &options, std::future::pending(), service);
        let (ended, _) = tokio::join!(serving, converse(near, &case));
        ended.map_or_else(|error| format!("{error:?}"), |()| "ended".into())
    });
    Understanding { end, taken: taken.take() }
}

/// What a server on the bare crate takes.
pub(crate) fn h2_server(process: &InProcess, case: &Case) -> Understanding {
    let taken = Taken::default();
    let case = with_preface(case);
    let serving = |io: DuplexStream| async {
        let mut builder = h2::server::Builder::new();
        builder
            .max_frame_size(FRAME_BYTES_MAX)
            .max_header_list_size(LIST_BYTES_MAX)
            .initial_window_size(STREAM_WINDOW_BYTES);
        let mut connection = builder.handshake::<_, Bytes>(io).await?;
        while let Some(accepted) = connection.accept().await {
            let (request, mut respond) = accepted?;
            let uri = request.uri();
            let authority = uri.authority().map(ToString::to_string);
            let target = uri.path_and_query().map(ToString::to_string);
            let target = text(target.or_else(|| authority.clone()).unwrap_or_default().as_bytes());
            let host = authority.unwrap_or_else(|| field(request.headers(), &HOST));
            let (start, host) = canonical(request.method().as_str(), &target, &host);
            let fields = fields(request.headers());
            let place = begin(&taken, TakenMessage { start, host, fields, ..TakenMessage::default() });
            let taken = Rc::clone(&taken);
            spawn_local(async move {
                if read(&taken, place, request.into_body()).await.is_ok() {
                    let _ = respond.send_response(Response::new(()), true);
                }
            });
        }
        Ok::<_, h2::Error>(())
    };
    let end = process.run(async {
        let (near, far) = duplex(PIPE_BYTES);
        let (ended, _) = tokio::join!(serving(far), converse(near, &case));
        ended.map_or_else(|error| format!("{error:?}"), |()| "ended".into())
    });
    let taken = taken.borrow().clone();
    Understanding { end, taken }
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
        let mut head = [0; 9];
        if io.read_exact(&mut head).await.is_err() {
            return;
        }
        let [high, middle, low, kind, ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
        if io.read_exact(&mut payload).await.is_err() {
            return;
        }
        heads += usize::from(kind == 1);
    }
    converse(io, case).await;
}

fn head_of(taken: &Taken, place: usize, status: http::StatusCode, headers: &HeaderMap) {
    if let Some(message) = taken.borrow_mut().get_mut(place) {
        message.start = status.as_u16().to_string();
        message.fields = fields(headers);
    }
}

/// What codec's client takes.
pub(crate) fn codec_http2_client(process: &InProcess, case: &Case) -> Understanding {
    let taken = Taken::new(vec![TakenMessage::default(); STREAMS].into());
    let asking = async {
        let (near, far) = duplex(PIPE_BYTES);
        let options = codec::ClientOptions::default();
        let asking = async {
            let (sender, driver) = match codec::http2::connect(near, &options).await {
                Ok(connected) => connected,
                Err(error) => return format!("{error:?}"),
            };
            spawn_local(driver);
            let ask = |place| {
                let (sender, taken) = (sender.clone(), Rc::clone(&taken));
                async move {
                    let request = Request::get("http://h/p").body(codec::Body::empty()).unwrap_or_default();
                    match sender.send(request).await {
                        Ok(response) => {
                            head_of(&taken, place, response.status(), response.headers());
                            let read = fill(&taken, place, response.into_body()).await;
                            read.map_or_else(|error| format!("{error:?}"), |()| "whole".into())
                        }
                        Err(error) => format!("{error:?}"),
                    }
                }
            };
            let (one, two) = tokio::join!(ask(0), ask(1));
            format!("{one}; {two}")
        };
        tokio::join!(asking, answer(far, case)).0
    };
    let end = process.run(asking);
    let taken = taken.borrow().clone();
    Understanding { end, taken }
}

/// What a client on the bare crate takes.
pub(crate) fn h2_client(process: &InProcess, case: &Case) -> Understanding {
    let taken = Taken::new(vec![TakenMessage::default(); STREAMS].into());
    let asking = async {
        let (near, far) = duplex(PIPE_BYTES);
        let asking = async {
            let mut builder = h2::client::Builder::new();
            builder
                .enable_push(false)
                .max_frame_size(FRAME_BYTES_MAX)
                .max_header_list_size(LIST_BYTES_MAX)
                .initial_window_size(STREAM_WINDOW_BYTES);
            let (sender, driver) = match builder.handshake::<_, Bytes>(near).await {
                Ok(connected) => connected,
                Err(error) => return format!("{error:?}"),
            };
            spawn_local(driver);
            let ask = |place| {
                let (mut sender, taken) = (sender.clone(), Rc::clone(&taken));
                async move {
                    let request = Request::get("http://h/p").body(()).unwrap_or_default();
                    let sent = sender.send_request(request, true);
                    let answered = match sent {
                        Ok((response, _)) => response.await,
                        Err(error) => Err(error),
                    };
                    let read = match answered {
                        Ok(response) => {
                            head_of(&taken, place, response.status(), response.headers());
                            read(&taken, place, response.into_body()).await
                        }
                        Err(error) => Err(error),
                    };
                    read.map_or_else(|error| format!("{error:?}"), |()| "whole".into())
                }
            };
            let (one, two) = tokio::join!(ask(0), ask(1));
            format!("{one}; {two}")
        };
        tokio::join!(asking, answer(far, case)).0
    };
    let end = process.run(asking);
    let taken = taken.borrow().clone();
    Understanding { end, taken }
}
