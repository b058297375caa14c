//! A small one-shot HTTP/1.1 client for the command line, the lab and tests. Its futures are `Send`.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderValue};
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::BoxError;
use crate::http1::{self, OneShotError};

/// How long a call may take from connecting to the last byte, and how much may come back.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For everything together.
    pub deadline: Duration,
    /// Bytes of the response's body.
    pub body_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { deadline: Duration::from_secs(10), body_bytes_max: 64 * 1024 * 1024 }
    }
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection.
    #[error("connect to {address}")]
    Connect {
        /// Where to.
        address: SocketAddr,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
    /// The request makes no sense.
    #[error("invalid request")]
    Request(#[source] BoxError),
    /// The exchange broke off.
    #[error("exchange broke off")]
    Exchange(#[source] BoxError),
    /// The body is larger than [`Limits::body_bytes_max`].
    #[error("response body larger than {limit} bytes")]
    TooLarge {
        /// In bytes.
        limit: usize,
    },
    /// [`Limits::deadline`] passed.
    #[error("no complete answer within {deadline:?}")]
    Deadline {
        /// The limit.
        deadline: Duration,
    },
}

/// GET `path` from `address`; `host` is the address.
///
/// # Errors
/// See [`ClientError`].
pub async fn get(address: SocketAddr, path: &str) -> Result<Response<Bytes>, ClientError> {
    call(address, "GET", path, None, Bytes::new()).await
}

/// Any method with an optional body of a content type.
///
/// # Errors
/// See [`ClientError`].
pub async fn call(
    address: SocketAddr,
    method: &str,
    path: &str,
    content_type: Option<&str>,
    body: Bytes,
) -> Result<Response<Bytes>, ClientError> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(content_type) = content_type {
        request = request.header(http::header::CONTENT_TYPE, content_type);
    }
    let request = request.body(body).map_err(|cause| ClientError::Request(cause.into()))?;
    send(address, request, Limits::default()).await
}

/// Connects over TCP and sends `request`; a missing `host` becomes the address.
///
/// # Errors
/// See [`ClientError`].
pub async fn send(
    address: SocketAddr,
    request: Request<Bytes>,
    limits: Limits,
) -> Result<Response<Bytes>, ClientError> {
    within(limits.deadline, async move {
        let io =
            TcpStream::connect(address).await.map_err(|cause| ClientError::Connect { address, cause })?;
        // Small exchanges must not wait for acknowledgements; a socket without the option works as well.
        let _ = io.set_nodelay(true);
        exchange(io, request, &address.to_string(), limits.body_bytes_max).await
    })
    .await
}

/// Sends `request` over any stream; a missing `host` becomes `localhost`.
///
/// # Errors
/// See [`ClientError`].
pub async fn send_over<I>(
    io: I,
    request: Request<Bytes>,
    limits: Limits,
) -> Result<Response<Bytes>, ClientError>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    within(limits.deadline, exchange(io, request, "localhost", limits.body_bytes_max)).await
}

async fn within<T>(
    deadline: Duration,
    work: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    tokio::time::timeout(deadline, work).await.unwrap_or(Err(ClientError::Deadline { deadline }))
}

async fn exchange<I>(
    io: I,
    mut request: Request<Bytes>,
    host: &str,
    limit: usize,
) -> Result<Response<Bytes>, ClientError>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    if !request.headers().contains_key(HOST) {
        let host = HeaderValue::from_str(host).map_err(|cause| ClientError::Request(cause.into()))?;
        request.headers_mut().insert(HOST, host);
    }
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    http1::exchange(io, request, limit).await.map_err(|error| match error {
        OneShotError::TooLarge => ClientError::TooLarge { limit },
        OneShotError::Failed(cause) => ClientError::Exchange(cause.into()),
    })
}

#[cfg(test)]
mod tests;
