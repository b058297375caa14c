//! One request after the other on a client's connection, and the response to each. It knows no service: that is polled
//! between `poll_request` and `answer`.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version, response};
use http_body::Body as _;

use super::admit::admit;
use super::interim::InterimLine;
use super::line::ServerLine;
use crate::http1::parse::{Framing, HeadFault, HeadLimits, RequestHead, parse_request};
use crate::http1::spare;
use crate::http1::write::{Asked, BodyEncoder, CutShort, Persistence, put_response};
use crate::watchdog::Activity;
use crate::{Body, BoxIo, Interims, Reply, ServeError, ServerOptions, TunnelRun};

/// The server's side of a connection.
pub(super) struct ServerConnection {
    line: Rc<ServerLine>,
    limits: HeadLimits,
    stage: ServerStage,
    asked: Asked,
    is_draining: bool,
    takes_upgrades: bool,
    /// Requests handed out.
    served: u64,
}

/// How far the message at hand is.
enum ServerStage {
    /// Waiting for a request.
    Request,
    /// The service has it.
    Service,
    /// The response is written.
    Response { body: Body, encoder: BodyEncoder, persistence: Persistence },
    /// The last bytes are written.
    Closing(Option<ServeError>),
    /// As `Closing`, and then it is a tunnel.
    Tunnel(TunnelRun),
}

/// The service wants the connection to end without an answer.
#[derive(Debug, thiserror::Error)]
#[error("reset by the service")]
struct ResetByService;

impl ServerConnection {
    pub(super) fn new(line: Rc<ServerLine>, options: &ServerOptions) -> Self {
        let limits = HeadLimits { bytes: options.max_header_bytes, fields: options.max_headers };
        let asked = Asked {
            version: Version::HTTP_11,
            is_head: false,
            is_connect: false,
            keeps_alive: true,
            takes_trailers: false,
        };
        ServerConnection {
            line,
            limits,
            stage: ServerStage::Request,
            asked,
            is_draining: false,
            takes_upgrades: options.takes_upgrades,
            served: 0,
        }
    }

    /// Whether responses say that they are the last.
    pub(super) fn is_draining(&self) -> bool {
        self.is_draining
    }

    /// From now on they do.
    pub(super) fn drain(&mut self) {
        self.is_draining = true;
    }

    fn is_busy(&self) -> bool {
        matches!(self.stage, ServerStage::Service | ServerStage::Response { .. })
    }

    /// What the connection waits for, and what changes when it gets on with it.
    pub(super) fn activity(&self) -> (Activity, u64) {
        let state = self.line.0.borrow();
        let wire = &state.wire;
        let activity = match self.stage {
            // Also when the exchange is over: its last bytes may not be out.
            _ if wire.outlet.is_blocked() => return (Activity::Stuck, wire.outlet.turn()),
            _ if self.is_busy() && wire.is_ended() => return (Activity::HalfClosed, wire.outlet.written()),
            _ if self.is_busy() => Activity::Busy,
            _ if wire.input.is_empty() || state.has_unread_request() => Activity::Idle,
            _ => Activity::Head,
        };
        (activity, self.served)
    }

    /// Before anything else in a turn.
    pub(super) fn begin_turn(&mut self, cx: &mut Context<'_>) {
        self.line.0.borrow_mut().set_server(cx.waker());
    }

    /// Reads the next head. `None`: there is nothing for the service in it, or nothing more comes.
    pub(super) fn poll_request(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Request<Body>>, ServeError>> {
        loop {
            let mut state = self.line.0.borrow_mut();
            if state.wire.output.is_full() {
                ready!(state.wire.poll_flush(cx)).map_err(failed)?;
            }
            state.discard_unwanted();
            if state.violation().is_some() {
                drop(state);
                self.stage = ServerStage::Closing(None);
                return Poll::Ready(Ok(None));
            }
            if state.awaits_reader() {
                return Poll::Pending;
            }
            match parse_request(&mut state.wire.input, self.limits) {
                Ok(Some(head)) => {
                    drop(state);
                    return Poll::Ready(Ok(self.take(head)));
                }
                Ok(None) => {}
                Err(unfit) => {
                    drop(state);
                    return Poll::Ready(Ok(self.refuse(unfit)));
                }
            }
            let Poll::Ready(read) = state.wire.poll_fill(cx) else {
                state.wire.settle();
                return Poll::Pending;
            };
            if read.map_err(failed)? == 0 {
                // Blank lines are no beginning of anything.
                let is_clean = state.wire.input.iter().all(|byte| b"\r\n".contains(byte));
                let cut = || ServeError::Aborted("end within a head".into());
                drop(state);
                self.stage = ServerStage::Closing((!is_clean).then(cut));
                return Poll::Ready(Ok(None));
            }
        }
    }

    /// A request whose head has come.
    fn take(&mut self, head: RequestHead) -> Option<Request<Body>> {
        self.served += 1;
        self.asked = Asked {
            version: head.version,
            is_head: head.method == Method::HEAD,
            is_connect: head.method == Method::CONNECT,
            keeps_alive: head.keeps_alive,
            takes_trailers: head.takes_trailers,
        };
        let body = self.line.body(head.framing);
        let mut state = self.line.0.borrow_mut();
        state.expects_continue = head.expects_continue && head.framing != Framing::Empty;
        // Clients of HTTP/1.0 know none (RFC 9110 section 15.2).
        state.takes_interims_of = (head.version == Version::HTTP_11).then_some(self.served);
        drop(state);
        let mut request = Request::new(body);
        *request.method_mut() = head.method;
        *request.uri_mut() = head.target;
        *request.version_mut() = head.version;
        *request.headers_mut() = head.headers;
        if head.has_upgrade && self.takes_upgrades {
            crate::upgrade::note(&mut request);
        }
        self.stage = ServerStage::Service;
        match admit(request) {
            Ok(request) => Some(request),
            Err(status) => {
                self.is_draining = true;
                self.answer(Reply::Response(status_only(status)));
                None
            }
        }
    }

    /// Where interim responses to the request at hand go.
    pub(super) fn interims(&self) -> Interims {
        Interims::http1(InterimLine::new(&self.line, self.served))
    }

    /// Answers what is no request that we take, and ends.
    fn refuse(&mut self, unfit: HeadFault) -> Option<Request<Body>> {
        let (status, error) = match unfit {
            HeadFault::Broken(violation) => (StatusCode::BAD_REQUEST, ServeError::Malformed(violation)),
            HeadFault::TooLarge => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, ServeError::HeadTooLarge),
            HeadFault::TargetTooLong => (StatusCode::URI_TOO_LONG, ServeError::HeadTooLarge),
        };
        let (parts, body) = status_only(status).into_parts();
        let asked = Asked { version: Version::HTTP_11, is_head: false, is_connect: false, ..self.asked };
        let output = &mut self.line.0.borrow_mut().wire.output;
        put_response(&parts, &body, asked, Persistence::Last, output);
        self.stage = ServerStage::Closing(Some(error));
        None
    }

    /// What the service says.
    pub(super) fn answer(&mut self, reply: Reply) {
        self.stage = match reply {
            Reply::Response(response) => self.respond(response),
            Reply::Reset(_) => ServerStage::Closing(Some(ServeError::Service(ResetByService.into()))),
            Reply::Tunnel { headers, run } => self.open_tunnel(headers, run),
        };
    }

    fn respond(&mut self, response: Response<Body>) -> ServerStage {
        let (parts, body) = response.into_parts();
        let (is_whole, mut output) = self.line.0.borrow_mut().begin_response();
        // Nobody may read the rest of the request, and the client must know where its next one may go.
        let is_last = self.is_draining || !is_whole || self.only_its_end_ends(&parts, &body);
        let persistence = if is_last { Persistence::Last } else { Persistence::Kept };
        // The line is not borrowed: the body may be that of its own request.
        let (encoder, persistence) = put_response(&parts, &body, self.asked, persistence, &mut output);
        self.line.0.borrow_mut().wire.output = output;
        spare::give_back_map(parts.headers);
        ServerStage::Response { body, encoder, persistence }
    }

    /// Whether the client finds the end of the response by the end of the connection alone, because its version
    /// knows no chunks: then the connection cannot be kept (RFC 9112 section 9.3).
    fn only_its_end_ends(&self, parts: &response::Parts, body: &Body) -> bool {
        self.asked.version == Version::HTTP_10
            && !self.asked.is_head
            && !matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
            && !parts.headers.contains_key(CONTENT_LENGTH)
            && body.size_hint().exact().is_none()
    }

    fn open_tunnel(&mut self, headers: HeaderMap, run: TunnelRun) -> ServerStage {
        let mut state = self.line.0.borrow_mut();
        state.takes_interims_of = None;
        state.discard_unwanted();
        if state.awaits_reader() {
            // Its bytes would be taken for the tunnel's.
            return ServerStage::Closing(Some(ServeError::Service(
                "tunnel before the end of the request".into(),
            )));
        }
        let status = if self.asked.is_connect { StatusCode::OK } else { StatusCode::SWITCHING_PROTOCOLS };
        let (mut parts, body) = status_only(status).into_parts();
        parts.headers = headers;
        put_response(&parts, &body, self.asked, Persistence::Kept, &mut state.wire.output);
        ServerStage::Tunnel(run)
    }

    /// Writes the response at hand. Ready when the next request may be read.
    pub(super) fn poll_response(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ServeError>> {
        let persistence = match &mut self.stage {
            ServerStage::Request => return Poll::Ready(Ok(())),
            ServerStage::Service | ServerStage::Closing(_) | ServerStage::Tunnel(_) => return Poll::Pending,
            ServerStage::Response { body, encoder, persistence } => {
                match ready!(poll_body(&self.line, body, encoder, cx)) {
                    Ok(()) => *persistence,
                    Err(error) => {
                        self.stage = ServerStage::Closing(Some(error));
                        return Poll::Pending;
                    }
                }
            }
        };
        if persistence == Persistence::Kept {
            self.stage = ServerStage::Request;
            return Poll::Ready(Ok(()));
        }
        self.stage = ServerStage::Closing(None);
        Poll::Pending
    }

    /// Before waiting: what was written goes out, and who has gone is noticed. Ready when the connection has ended.
    pub(super) fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ServeError>> {
        let mut state = self.line.0.borrow_mut();
        let flushed = state.wire.poll_flush(cx);
        match &mut self.stage {
            ServerStage::Closing(error) => {
                ready!(flushed).map_err(|cause| error.take().unwrap_or_else(|| failed(cause)))?;
                let violation = state.violation().map(ServeError::Malformed);
                return Poll::Ready(error.take().or(violation).map_or(Ok(()), Err));
            }
            ServerStage::Tunnel(_) => return flushed.map_err(failed),
            ServerStage::Request => {
                if let Poll::Ready(Err(cause)) = flushed {
                    return Poll::Ready(Err(failed(cause)));
                }
            }
            ServerStage::Service | ServerStage::Response { .. } => {
                if let Poll::Ready(Err(cause)) = flushed {
                    return Poll::Ready(Err(failed(cause)));
                }
                if let Some(cause) = state.failure() {
                    return Poll::Ready(Err(failed(cause)));
                }
                if state.wire.poll_ahead(cx).map_err(failed)? {
                    state.wake_reader();
                }
            }
        }
        Poll::Pending
    }

    /// Whether the last request had come as a whole.
    pub(super) fn has_whole_request(&self) -> bool {
        self.line.0.borrow().has_whole_request()
    }

    /// If it became one: who runs the tunnel, what came of it already, and its stream.
    pub(super) fn take_tunnel(&mut self) -> Option<(TunnelRun, Bytes, BoxIo)> {
        let stage = std::mem::replace(&mut self.stage, ServerStage::Closing(None));
        let ServerStage::Tunnel(run) = stage else { return None };
        let (early, io) = self.line.0.borrow_mut().wire.take()?;
        Some((run, early, io))
    }

    /// Gives the body of a response up, and the stream out. Whoever still reads the request finds its end.
    pub(super) fn close(&mut self) -> Option<BoxIo> {
        self.stage = ServerStage::Closing(None);
        self.line.close()
    }
}

impl Drop for ServerConnection {
    fn drop(&mut self) {
        // Who still reads the request must not keep the connection open.
        self.line.close();
    }
}

fn failed(cause: std::io::Error) -> ServeError {
    ServeError::Io(cause.into())
}

fn status_only(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Writes what there is of `body`; ready when it has ended.
fn poll_body(
    line: &ServerLine,
    body: &mut Body,
    encoder: &mut BodyEncoder,
    cx: &mut Context<'_>,
) -> Poll<Result<(), ServeError>> {
    let cut = |cause: CutShort| ServeError::Aborted(cause.into());
    // The line is not borrowed while the body is polled or dropped: it may be that of its own request.
    loop {
        if encoder.is_ended() {
            drop(std::mem::take(body));
            return Poll::Ready(Ok(()));
        }
        {
            let mut state = line.0.borrow_mut();
            if state.wire.output.is_full() {
                ready!(state.wire.poll_flush(cx)).map_err(failed)?;
            }
        }
        if let Some(piece) = body.take_full() {
            let output = &mut line.0.borrow_mut().wire.output;
            return Poll::Ready(encoder.put(piece, true, output).map_err(cut));
        }
        if body.is_end_stream() {
            drop(std::mem::take(body));
            return Poll::Ready(encoder.end(&mut line.0.borrow_mut().wire.output).map_err(cut));
        }
        let Some(frame) = ready!(Pin::new(&mut *body).poll_frame(cx)) else {
            drop(std::mem::take(body));
            continue;
        };
        let frame = frame.map_err(|cause| ServeError::Service(cause.into()))?;
        let is_last = body.is_end_stream();
        let output = &mut line.0.borrow_mut().wire.output;
        match frame.into_data() {
            Ok(piece) => encoder.put(piece, is_last, output).map_err(cut)?,
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    encoder.put_trailers(&trailers, output).map_err(cut)?;
                }
            }
        }
    }
}
