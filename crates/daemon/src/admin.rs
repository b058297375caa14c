//! The operators' port: small HTTP/1.1 answers, on a thread of its own so that a large dump delays nobody.
//!
//! Whoever reaches it may read. What changes something is for root and for the user that the process runs as, from
//! this machine: of a TCP connection [`caller`] tells. That costs a look at all sockets of the machine, so only a
//! change that there is (see [`AdminAnswer`]) is worth one, one at a time, on a thread of its own: nobody keeps
//! operators out with it. Requests from web pages are refused, and on loopback those that name another host, too.
//! Elsewhere scrapers come by any name.

mod caller;
mod listener;

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use codec::{Body, Reply, ServerOptions};
use http::{Method, Request, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use crate::host::{is_from_page, is_ours};
use crate::metrics::Registry;
use crate::repeated::Repeated;
use crate::users::is_trusted;
use crate::{Drain, Tasks};
pub use listener::AdminListener;
use listener::{AdminCaller, AdminStream, DetachedAdmin};

/// Connections at a time. More: the oldest is closed, so that nobody who only holds them keeps operators out.
const CONNECTIONS_MAX: usize = 64;
/// Rest after a failed accept (out of descriptors), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Callers that are looked up at a time; others wait, in the order in which they came.
const LOOK_UPS_MAX: usize = 1;
/// How long open connections may take to end in a drain.
const DRAIN_DEADLINE: Duration = Duration::from_secs(2);

static NOT_ACCEPTED: Repeated = Repeated::new();

/// What an operator asks.
#[derive(Clone, Copy, Debug)]
pub struct AdminRequest<'a> {
    /// Without the query.
    pub path: &'a str,
    /// Upper case.
    pub method: &'a str,
    /// What follows the question mark, not decoded.
    pub query: Option<&'a str>,
}

/// What an operator gets.
#[derive(Clone, Debug)]
pub struct AdminReply {
    /// HTTP status.
    pub status: u16,
    /// Media type.
    pub content_type: &'static str,
    /// Content.
    pub body: Bytes,
}

/// What comes of a request.
pub enum AdminAnswer {
    /// Something to read.
    Reply(AdminReply),
    /// It would change something: done, once its caller has been looked at, by whoever made this.
    Change(Box<dyn FnOnce() -> AdminReply>),
}

impl From<AdminReply> for AdminAnswer {
    fn from(reply: AdminReply) -> Self {
        Self::Reply(reply)
    }
}

/// Answers; called on the admin thread, may take its time. It changes nothing by itself, whatever the method.
pub type AdminHandler = Arc<dyn Fn(&AdminRequest<'_>) -> AdminAnswer + Send + Sync>;

impl AdminReply {
    /// Plain text.
    pub fn text(status: u16, body: impl Into<Bytes>) -> Self {
        AdminReply { status, content_type: "text/plain; charset=utf-8", body: body.into() }
    }

    /// JSON text.
    pub fn json(status: u16, body: impl Into<Bytes>) -> Self {
        AdminReply { status, content_type: "application/json", body: body.into() }
    }

    /// Prometheus text exposition.
    pub fn metrics(body: impl Into<Bytes>) -> Self {
        AdminReply {
            status: 200,
            content_type: "text/plain; version=0.0.4; charset=utf-8",
            body: body.into(),
        }
    }

    /// 404.
    pub fn not_found() -> Self {
        AdminReply::text(404, "not found\n")
    }

    /// 405, with the method that is wanted instead.
    pub fn use_method(method: &str) -> Self {
        AdminReply::text(405, format!("use {method}\n"))
    }
}

/// Says why a plane is not ready, if it is not. Asked before its metrics are shown too, so it may bring them up to
/// date.
pub type Health = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Serves what a plane shows to operators, until `drain`: `/metrics`; `/ready`, whether others can rely on it; and
/// `/healthz`, whether it runs at all.
pub async fn serve_metrics(listener: TcpListener, registry: Registry, health: Health, drain: Drain) {
    crate::logging::count_in(&registry);
    let handler: AdminHandler = Arc::new(move |request| {
        let reply = match (request.path, health()) {
            ("/metrics", _) => AdminReply::metrics(registry.render()),
            ("/ready", Err(why)) => AdminReply::text(503, format!("{why}\n")),
            ("/ready" | "/healthz", _) => AdminReply::text(200, "ok\n"),
            _ => AdminReply::not_found(),
        };
        reply.into()
    });
    if let Err(error) = serve(listener, handler, drain).await {
        tracing::error!(%error, "the metrics listener ended");
    }
}

/// Serves until `drain` starts and the connections have ended. May be awaited on any tokio runtime.
///
/// # Errors
/// The thread or its runtime cannot be made.
pub async fn serve(
    listener: impl Into<AdminListener>,
    handler: AdminHandler,
    drain: Drain,
) -> io::Result<()> {
    serve_with(listener.into(), handler, drain, Arc::new(Semaphore::new(LOOK_UPS_MAX))).await
}

async fn serve_with(
    listener: AdminListener,
    handler: AdminHandler,
    drain: Drain,
    look_ups: Arc<Semaphore>,
) -> io::Result<()> {
    let listener = listener.detach()?;
    let (done, ended) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("admin".to_owned()).spawn(move || {
        // The other side is gone if nobody waits any more.
        let _ = done.send(run(listener, handler, drain, look_ups));
    })?;
    ended.await.unwrap_or_else(|_| Err(io::Error::other("admin thread panicked")))
}

fn run(
    listener: DetachedAdmin,
    handler: AdminHandler,
    drain: Drain,
    look_ups: Arc<Semaphore>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(LOOK_UPS_MAX)
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, accept(listener, handler, drain, look_ups))
}

async fn accept(
    listener: DetachedAdmin,
    handler: AdminHandler,
    drain: Drain,
    look_ups: Arc<Semaphore>,
) -> io::Result<()> {
    let listener = listener.attach()?;
    let bound = listener.bound()?;
    let tasks = Tasks::new();
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let stream = tokio::select! {
            () = drain.started() => break,
            accepted = listener.accept() => match accepted {
                Ok(stream) => stream,
                Err(cause) => {
                    if let Some(held_back) = NOT_ACCEPTED.admit(Instant::now()) {
                        tracing::warn!(%cause, held_back, "admin connection not accepted");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let (handler, drain, look_ups) = (Arc::clone(&handler), drain.clone(), Arc::clone(&look_ups));
        open.retain(|connection| !connection.is_finished());
        if open.len() >= CONNECTIONS_MAX
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        let connection = tasks.spawn_local("admin connection", async move {
            let options = ServerOptions::default();
            let caller = stream.caller();
            let answer = |request: Request<Body>| {
                let (caller, handler, look_ups) =
                    (caller.clone(), Arc::clone(&handler), Arc::clone(&look_ups));
                async move { answer(bound, caller, &handler, &look_ups, &request).await }
            };
            let served = match stream {
                AdminStream::Tcp(stream) => {
                    codec::http1::serve(stream, &options, drain.started(), answer).await
                }
                AdminStream::Local(stream) => {
                    codec::http1::serve(stream, &options, drain.started(), answer).await
                }
            };
            if let Err(cause) = served {
                tracing::debug!(%cause, "admin connection ended");
            }
        });
        open.push_back(connection);
    }
    tasks.drain(DRAIN_DEADLINE).await;
    Ok(())
}

async fn answer(
    bound: Option<IpAddr>,
    caller: AdminCaller,
    handler: &AdminHandler,
    look_ups: &Arc<Semaphore>,
    request: &Request<Body>,
) -> Reply {
    let headers = request.headers();
    let reply = if is_from_page(headers) {
        AdminReply::text(403, "calls from web pages are refused\n")
    } else if bound.is_some_and(|bound| bound.is_loopback() && !is_ours(bound, request.uri(), headers)) {
        AdminReply::text(421, "the request names another server; call by address or as localhost\n")
    } else {
        let asked = AdminRequest {
            path: request.uri().path(),
            method: request.method().as_str(),
            query: request.uri().query(),
        };
        match handler(&asked) {
            AdminAnswer::Reply(reply) => reply,
            // A page or a careless scraper reads (RFC 9110 section 9.2.1).
            AdminAnswer::Change(_) if is_reading(request) => AdminReply::use_method("POST"),
            AdminAnswer::Change(change) => match may_change(caller, look_ups).await {
                Ok(()) => change(),
                Err(refusal) => refusal,
            },
        }
    };
    let mut response = Response::new(Body::full(reply.body));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(reply.content_type));
    Reply::Response(response)
}

fn is_reading(request: &Request<Body>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
}

/// Whether the caller may change something.
async fn may_change(caller: AdminCaller, look_ups: &Arc<Semaphore>) -> Result<(), AdminReply> {
    let who = match uid(caller, look_ups).await {
        Some(uid) if is_trusted(uid) => return Ok(()),
        Some(uid) => format!("this call came from uid {uid}"),
        None => "who called cannot be told (keep the connection open, and call from this machine)".to_owned(),
    };
    Err(AdminReply::text(
        403,
        format!("only root and the user of this process may change something: {who}\n"),
    ))
}

/// The caller's user, if it can be told.
async fn uid(caller: AdminCaller, look_ups: &Arc<Semaphore>) -> Option<u32> {
    let caller = match caller {
        AdminCaller::Known(uid) => return uid,
        AdminCaller::Asked(caller) => caller?,
    };
    let turn = Arc::clone(look_ups).acquire_owned().await.ok()?;
    // The turn ends with the look-up, not with who waits for it: one who is gone leaves nothing in a queue.
    let look_up = move || (caller.uid(), turn).0;
    tokio::task::spawn_blocking(look_up).await.ok()?
}

#[cfg(test)]
mod tests;
