#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use tokio::net::TcpListener;
use tokio::task::{LocalSet, spawn_local};

use super::{ClientError, Limits, call, get, send};
use crate::{Body, Reply, ServerOptions};

/// Serves one thing on loopback while `test` runs.
fn with_server<T>(test: impl AsyncFnOnce(SocketAddr) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                spawn_local(async move {
                    let options = ServerOptions::default();
                    let _ = crate::http1::serve(stream, &options, std::future::pending(), answer).await;
                });
            }
        });
        test(address).await
    })
}

async fn answer(request: Request<Body>) -> Reply {
    let line = format!("{} {:?} ", request.method(), request.headers()["host"]);
    if request.uri().path() == "/never" {
        return std::future::pending().await;
    }
    let body = request.into_body().collect(1 << 20).await.unwrap();
    Reply::Response(Response::new(Body::full([line.as_bytes(), &body].concat())))
}

#[test]
fn it_calls_and_returns_all() {
    with_server(async |address| {
        let response = get(address, "/").await.unwrap();
        assert_eq!(response.body(), &format!("GET \"{address}\" "));
        let response = call(address, "PUT", "/", Some("text/plain"), Bytes::from("content")).await.unwrap();
        assert_eq!(response.body(), &format!("PUT \"{address}\" content"));
    });
}

#[test]
fn its_limits_hold() {
    with_server(async |address| {
        let limits = Limits { body_bytes_max: 5, ..Limits::default() };
        let error = send(address, Request::new(Bytes::new()), limits).await.unwrap_err();
        assert!(matches!(error, ClientError::TooLarge { limit: 5 }), "{error:?}");
        let limits = Limits { deadline: Duration::from_millis(50), ..Limits::default() };
        let never = Request::builder().uri("/never").body(Bytes::new()).unwrap();
        let error = send(address, never, limits).await.unwrap_err();
        assert!(matches!(error, ClientError::Deadline { .. }), "{error:?}");
    });
}

#[test]
fn no_listener_is_a_failed_connect() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(get(SocketAddr::from(([127, 0, 0, 1], 1)), "/")).unwrap_err();
    assert!(matches!(error, ClientError::Connect { .. }), "{error:?}");
}
