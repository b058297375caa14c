//! One attempt at one endpoint: over plain HTTP/1.1 or HTTP/2, or over the mesh.

use crate::failure;
use crate::peer::Peer;
use crate::request::{HEADER_DESTINATION, Head};
use crate::upstream::http1_pool::{Age, Lease};
use crate::upstream::{Target, http2_pool};
use crate::worker::Worker;
use codec::{Body, SendError, SendErrorKind};
use http::{HeaderValue, Method, Request, Response, Uri, Version, header};
use model::Reason;
use model::service::{Endpoint, Protocol, Reach};
use std::net::SocketAddr;
use std::rc::Rc;

/// An answer of which nothing was passed on yet.
pub(crate) struct Answer {
    /// Head and body.
    pub(crate) response: Response<Body>,
    /// Who gave it; `None`: plaintext.
    pub(crate) peer: Option<Rc<Peer>>,
    /// To be given back when the body was read.
    pub(crate) lease: Option<Lease>,
    /// Why the callee's proxy gave it, and not the application.
    pub(crate) told: Option<Reason>,
}

/// An attempt without an answer.
#[derive(Clone, Debug)]
pub(crate) struct AttemptError {
    /// Why.
    pub(crate) reason: Reason,
    /// What it says about the endpoint.
    pub(crate) verdict: EndpointVerdict,
}

/// What a failed attempt says about the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndpointVerdict {
    /// Nothing against it.
    Neutral,
    /// It could not be reached or refused: eject it for a while.
    Failed,
    /// Only that an old connection to it had ended: try the same endpoint over a new one.
    StaleConnection,
}

impl From<Reason> for AttemptError {
    fn from(reason: Reason) -> Self {
        use Reason::{ConnectFailed, ConnectTimeout, GatewayRefused, Refused, TlsFailed, UpstreamSilent};
        let is_suspect = matches!(
            reason,
            ConnectFailed | ConnectTimeout | GatewayRefused | Refused | TlsFailed | UpstreamSilent
        );
        Self { reason, verdict: if is_suspect { EndpointVerdict::Failed } else { EndpointVerdict::Neutral } }
    }
}

/// The request as it goes on the wire: origin form, `host` among the headers.
pub(crate) fn outgoing(head: &Head, body: Body) -> Request<Body> {
    let mut request = Request::new(body);
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = Uri::from(head.target.clone());
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = head.headers.clone();
    request
}

/// Sends `head` and `body` to endpoint `index`.
///
/// # Errors
/// See [`AttemptError`].
pub(crate) async fn request(
    worker: &Rc<Worker>,
    target: &Target,
    index: usize,
    head: &Head,
    body: Body,
) -> Result<Answer, AttemptError> {
    let Some(endpoint) = target.entry.endpoints.get(index) else { return Err(Reason::NoEndpoint.into()) };
    let request = || outgoing(head, body);
    match endpoint.reach {
        Reach::Plain if target.protocol == Protocol::Http2 => {
            Box::pin(send_http2(worker, address(endpoint, target), request())).await
        }
        Reach::Plain => send_http1(worker, address(endpoint, target), request).await,
        Reach::Native | Reach::Gateway => Box::pin(send_mesh(worker, target, endpoint, request())).await,
        // No such endpoint is made yet; its proxy would refuse an ordinary request (design, D4).
        Reach::Hbone => Err(Reason::ConnectFailed.into()),
    }
}

/// Whether a request to endpoint `index` has a connection for itself while it lasts.
pub(crate) fn is_exclusive(target: &Target, index: usize) -> bool {
    target.protocol != Protocol::Http2
        && target.entry.endpoints.get(index).is_some_and(|endpoint| endpoint.reach == Reach::Plain)
}

/// The application's address at an endpoint of this network.
pub(crate) fn address(endpoint: &Endpoint, target: &Target) -> SocketAddr {
    let port = if endpoint.port == 0 { target.target_port } else { endpoint.port };
    SocketAddr::new(endpoint.address, port)
}

/// Over HTTP/1.1 without TLS. The request is made when there is a connection for it; one of which nothing was
/// written goes on over a new connection.
///
/// # Errors
/// See [`AttemptError`].
pub(crate) async fn send_http1(
    worker: &Rc<Worker>,
    address: SocketAddr,
    request: impl FnOnce() -> Request<Body>,
) -> Result<Answer, AttemptError> {
    let mut lease = worker.plain.lease(address).await?;
    let outcome = match lease.send(framed(request())).await {
        Err(SendError { kind: SendErrorKind::NotSent, request: Some(request), .. })
            if lease.age == Age::Reused =>
        {
            lease = worker.plain.open(address).await?;
            lease.send(*request).await
        }
        outcome => outcome,
    };
    match outcome {
        // We never ask for another protocol (S24, S33).
        Ok(response) if response.status().is_informational() => Err(Reason::UpstreamProtocol.into()),
        Ok(response) => Ok(Answer { response, peer: None, lease: Some(lease), told: None }),
        Err(error) => {
            let error = attempt_error(&error, lease.age, Alive::No);
            if error.verdict == EndpointVerdict::StaleConnection {
                // Connections as old as this one will have ended too.
                worker.plain.forget(address);
            }
            Err(error)
        }
    }
}

/// Says that there is a body where hyper would take a method of unknown length to have none, and drop it (S27).
fn framed(mut request: Request<Body>) -> Request<Body> {
    let is_unexpected = matches!(*request.method(), Method::GET | Method::HEAD)
        && !request.body().is_end_stream()
        && !request.headers().contains_key(header::CONTENT_LENGTH);
    if is_unexpected {
        request.headers_mut().insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    request
}

/// Over HTTP/2 without TLS, for applications that want it.
///
/// # Errors
/// See [`AttemptError`].
pub(crate) async fn send_http2(
    worker: &Rc<Worker>,
    address: SocketAddr,
    request: Request<Body>,
) -> Result<Answer, AttemptError> {
    let leased =
        http2_pool::Pool::lease_application(worker, address).await.map_err(|failure| failure.reason)?;
    match leased.connection.sender.send(request).await {
        Ok(response) => Ok(Answer { response, peer: None, lease: None, told: None }),
        Err(error) => Err(attempt_error(&error, leased.age, Alive::of(leased.connection.is_closed()))),
    }
}

async fn send_mesh(
    worker: &Rc<Worker>,
    target: &Target,
    endpoint: &Endpoint,
    mut request: Request<Body>,
) -> Result<Answer, AttemptError> {
    let host = &target.entry.service.host;
    let leased = http2_pool::Pool::lease(worker, endpoint, host, target.port)
        .await
        .map_err(|failure| failure.reason)?;
    let destination = destination(target, endpoint);
    request.headers_mut().insert(HEADER_DESTINATION, destination);
    let response = match leased.connection.sender.send(request).await {
        Ok(response) => response,
        Err(error) => {
            return Err(attempt_error(&error, leased.age, Alive::of(leased.connection.is_closed())));
        }
    };
    let told = failure::told(response.headers());
    match told {
        // A denial is the final word of a policy, for the caller as well: an answer, and no failure that could be
        // mended elsewhere.
        None | Some(Reason::DeniedUpstream) => {
            Ok(Answer { response, peer: leased.connection.peer.clone(), lease: None, told })
        }
        // The callee's proxy tells what it saw itself, so that we judge as if we had seen it.
        Some(reason) => Err(AttemptError { reason, verdict: EndpointVerdict::Neutral }),
    }
}

/// The value of the destination header: an address within the network, a name across networks.
fn destination(target: &Target, endpoint: &Endpoint) -> HeaderValue {
    let suffix = if target.protocol == Protocol::Http2 { ";h2" } else { "" };
    let text = match endpoint.reach {
        Reach::Gateway => format!("{}:{}{suffix}", target.entry.service.host, target.port),
        _ => format!("{}{suffix}", address(endpoint, target)),
    };
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Whether a connection outlived the error of one of its streams.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Alive {
    Yes,
    No,
}

impl Alive {
    fn of(is_closed: bool) -> Self {
        if is_closed { Self::No } else { Self::Yes }
    }
}

fn attempt_error(error: &SendError, age: Age, alive: Alive) -> AttemptError {
    if error.transport().is_some_and(identity::is_refused) {
        return Reason::TlsFailed.into();
    }
    let reason = match error.kind {
        SendErrorKind::NotSent => Reason::ConnectFailed,
        SendErrorKind::Refused => Reason::Refused,
        SendErrorKind::Full => Reason::UpstreamOverflow,
        SendErrorKind::Silent => Reason::UpstreamSilent,
        SendErrorKind::Reset | SendErrorKind::Closed => Reason::UpstreamReset,
        SendErrorKind::Protocol | SendErrorKind::Status(_) => Reason::UpstreamProtocol,
        SendErrorKind::HeadTooLarge => Reason::ResponseHeadersTooLarge,
    };
    use SendErrorKind::{Full, HeadTooLarge, Protocol, Silent};
    let is_known = matches!(error.kind, Protocol | HeadTooLarge | Silent | Full);
    if age == Age::Reused && alive == Alive::No && !is_known {
        return AttemptError { reason, verdict: EndpointVerdict::StaleConnection };
    }
    reason.into()
}
