//! An ordinary HTTP/1.1 client as applications have one: names from the host's resolver, connections kept.
//!
//! Shared by the demo application and the load generator. It knows nothing of the mesh.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use codec::http1::{self, Http1Sender};
use codec::{Body, SendError, SendErrorKind};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpStream;

/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Connections kept without a request; further ones are closed.
const IDLE_MAX: usize = 256;
/// Name resolution and connecting together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Calls one URL's host again and again.
pub(crate) struct AppCaller {
    authority: HeaderValue,
    host: String,
    port: u16,
    path: String,
    idle: RefCell<Vec<Http1Sender>>,
}

/// An answer, whole.
pub(crate) struct CallAnswer {
    /// Status code.
    pub status: StatusCode,
    /// The whole body.
    pub body: Bytes,
}

impl AppCaller {
    /// For `http://HOST[:PORT]/PATH`.
    pub(crate) fn new(url: &str) -> Result<Rc<Self>> {
        let uri: Uri = url.parse().with_context(|| format!("read the URL {url}"))?;
        if uri.scheme_str() != Some("http") {
            bail!("{url}: only http:// is supported");
        }
        let authority = uri.authority().with_context(|| format!("{url} has no host"))?;
        Ok(Rc::new(Self {
            authority: HeaderValue::from_str(authority.as_str())?,
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(80),
            path: uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
            idle: RefCell::default(),
        }))
    }

    /// One request and its whole answer. A kept connection that turns out closed is replaced once.
    pub(crate) async fn call(self: &Rc<Self>, method: Method, headers: &HeaderMap) -> Result<CallAnswer> {
        loop {
            let kept = self.take_idle();
            let reused = kept.is_some();
            let mut sender = match kept {
                Some(sender) => sender,
                None => self.connect().await?,
            };
            let mut request = Request::builder().method(method.clone()).uri(&self.path).body(Body::empty())?;
            request.headers_mut().extend(headers.clone());
            request.headers_mut().insert(header::HOST, self.authority.clone());
            match sender.send(request).await {
                Ok(response) => {
                    let (parts, body) = response.into_parts();
                    let body = body.collect(ANSWER_BYTES_MAX).await.context("read the answer")?;
                    self.keep(sender);
                    return Ok(CallAnswer { status: parts.status, body });
                }
                Err(error) if reused && error.kind == SendErrorKind::NotSent => {}
                Err(error) => bail!("send the request: {}", said(&error)),
            }
        }
    }

    fn take_idle(&self) -> Option<Http1Sender> {
        let mut idle = self.idle.borrow_mut();
        while let Some(sender) = idle.pop() {
            if sender.is_ready() && !sender.is_closed() {
                return Some(sender);
            }
        }
        None
    }

    fn keep(&self, sender: Http1Sender) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < IDLE_MAX && !sender.is_closed() {
            idle.push(sender);
        }
    }

    async fn connect(&self) -> Result<Http1Sender> {
        let connecting = async {
            let mut addresses = tokio::net::lookup_host((self.host.as_str(), self.port))
                .await
                .with_context(|| format!("resolve {}", self.host))?;
            let address = addresses.next().with_context(|| format!("{} has no address", self.host))?;
            TcpStream::connect(address).await.with_context(|| format!("connect to {address}"))
        };
        let stream =
            tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.context("connect: timed out")??;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::connect(stream)
            .await
            .map_err(|error| anyhow::anyhow!("open an HTTP connection: {}", said(&error)))?;
        tokio::task::spawn_local(connection);
        Ok(sender)
    }
}

/// The error holds the request, which cannot leave this thread; its text can.
fn said(error: &SendError) -> String {
    match &error.cause {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
