use crate::{Body, Io, Reply, ServeError, ServerOptions};
use http::Request;
use std::future::Future;
/// Serves HTTP/1.1 on `io` until the client leaves, the idle timeout, or `drain` completes.
///
/// # Errors
/// See [`ServeError`]; the connection is closed in every case.
pub async fn serve<I, S, F>(
    io: I,
    options: &ServerOptions,
    drain: impl Future<Output = ()>,
    service: S,
) -> Result<(), ServeError>
where
    I: Io,
    S: Fn(Request<Body>) -> F,
    F: Future<Output = Reply>,
{
    let _ = (io, options, drain, service);
    Ok(())
}
