//! A GET of a probe. The status alone counts: redirects are not followed, and nothing of a body is read.

use super::cause::plain;
use super::tls;
use codec::{Body, Io};
use http::{HeaderName, HeaderValue, Request, header};
use model::probe::{HttpGetProbe, ProbeScheme};
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// What a probe calls itself, unless its headers say otherwise.
pub(super) const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("leno-probe/", env!("CARGO_PKG_VERSION")));

/// Asks over `tcp`, which leads to `at`.
///
/// # Errors
/// Why that is no success.
pub(super) async fn get(tcp: TcpStream, at: SocketAddr, probe: &HttpGetProbe) -> Result<(), String> {
    let request = request(at, probe)?;
    match probe.scheme {
        ProbeScheme::Http => exchange(tcp, request).await,
        ProbeScheme::Https => {
            let name = ServerName::IpAddress(at.ip().into());
            let config = tls::unverified().map_err(|error| format!("TLS: {error}"))?;
            let secured = TlsConnector::from(config).connect(name, tcp).await;
            let secured = secured.map_err(|error| format!("TLS with {at}: {}", plain(&error)))?;
            exchange(secured, request).await
        }
    }
}

fn request(at: SocketAddr, probe: &HttpGetProbe) -> Result<Request<Body>, String> {
    // What headers hold is not told.
    let made = Request::get(&*probe.path).body(Body::full(""));
    let mut request = made.map_err(|_| "the probe has no readable path".to_owned())?;
    let headers = request.headers_mut();
    for wanted in &probe.headers {
        let name = HeaderName::from_bytes(wanted.name.as_bytes());
        let value = HeaderValue::from_str(&wanted.value);
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(format!("the probe has an unreadable header {:?}", wanted.name));
        };
        headers.append(name, value);
    }
    if !headers.contains_key(header::HOST) {
        let host = HeaderValue::from_str(&at.to_string()).map_err(|_| "no host".to_owned())?;
        headers.insert(header::HOST, host);
    }
    headers.entry(header::USER_AGENT).or_insert(USER_AGENT);
    headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    Ok(request)
}

async fn exchange(io: impl Io, request: Request<Body>) -> Result<(), String> {
    let failed = |error: codec::SendError| format!("no HTTP answer: {error}");
    let (mut sender, connection) = codec::http1::connect(io).await.map_err(failed)?;
    let watching = async {
        connection.await;
        // The answer may have come before the end.
        std::future::pending::<std::convert::Infallible>().await
    };
    let response = tokio::select! {
        response = sender.send(request) => response.map_err(failed)?,
        never = watching => match never {},
    };
    match response.status().as_u16() {
        200..=399 => Ok(()),
        status => Err(format!("HTTP status {status}")),
    }
}
