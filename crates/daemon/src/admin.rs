//! The admin server: a few GET and POST paths over HTTP/1.1, for operators and their tools.
//!
//! It runs on a thread of its own, so that a stuck handler stalls neither traffic nor the control stream.
//! Who may reach it is decided by the address it is bound to: loopback unless somebody asked for more.

use crate::drain::Drain;
use bytes::Bytes;
use codec::{Body, Reply, ServerOptions};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use tokio::task::LocalSet;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct AdminRequest<'a> {
    /// GET or POST; everything else was answered with 405.
    pub method: &'a Method,
    /// For example `/ready`.
    pub path: &'a str,
    /// What follows the question mark; empty without one.
    pub query: &'a str,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminReply {
    /// HTTP status.
    pub status: StatusCode,
    /// For example `application/json`.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
}

impl AdminReply {
    /// 200 with plain text.
    pub fn text(body: impl Into<Bytes>) -> Self {
        Self { status: StatusCode::OK, content_type: "text/plain; charset=utf-8", body: body.into() }
    }

    /// 200 with JSON.
    pub fn json(body: impl Into<Bytes>) -> Self {
        Self { status: StatusCode::OK, content_type: "application/json", body: body.into() }
    }

    /// Another status with plain text.
    pub fn status(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self { status, ..Self::text(body) }
    }

    /// 404.
    pub fn not_found() -> Self {
        Self::status(StatusCode::NOT_FOUND, "not found\n")
    }
}

/// Answers one request. Quick and without waiting: it only reads state.
pub type Handler = Arc<dyn Fn(&AdminRequest<'_>) -> AdminReply + Send + Sync>;

/// Serves until the drain starts. Returns when the thread has ended; the error is that of starting it.
pub async fn serve(listener: TcpListener, handler: Handler, drain: Drain) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("admin".into()).spawn(move || {
        let _ = ended.send(run(listener, handler, drain));
    })?;
    end.await.unwrap_or(Ok(()))
}

fn run(listener: TcpListener, handler: Handler, drain: Drain) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async move {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let options = Rc::new(ServerOptions::default());
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = drain.started() => return Ok(()),
            };
            let Ok((socket, _)) = accepted else {
                // Out of descriptors, most likely: give the rest of the process a chance to return some.
                tokio::task::yield_now().await;
                continue;
            };
            let (handler, drain, options) = (Arc::clone(&handler), drain.clone(), Rc::clone(&options));
            tokio::task::spawn_local(async move {
                let answer = |request: Request<Body>| {
                    let reply = answer(&handler, &request);
                    async move { Reply::Response(reply) }
                };
                if let Err(error) = codec::http1::serve(socket, &options, drain.started(), answer).await {
                    tracing::debug!(%error, "admin connection ended");
                }
            });
        }
    })
}

fn answer(handler: &Handler, request: &Request<Body>) -> Response<Body> {
    let reply = if matches!(*request.method(), Method::GET | Method::POST) {
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or(""));
        handler(&AdminRequest { method: request.method(), path, query })
    } else {
        AdminReply::status(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n")
    };
    let mut response = Response::new(Body::full(reply.body));
    *response.status_mut() = reply.status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    response
}
