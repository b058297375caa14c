//! A request for another protocol on its way out, and whether the answer is the one that was asked for. Where one
//! side's handshake of WebSocket has what the other's has not (RFC 8441 section 5), it is made up here.

use crate::request::{HEADER_METHOD, HEADER_STATUS, NO_TUNNEL};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use codec::http2::Http2Sender;
use codec::{Body, Upgrade};
use decide::Dice;
use decide::dice::Pcg;
use http::header::{SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use model::Reason;
use model::settings::HttpConnections;
use std::cell::RefCell;
use std::time::Duration;
use tokio::time::timeout;

/// For the peer of a new HTTP/2 connection to say whether it takes upgrades. Longer: it does not.
const OFFER_TIMEOUT: Duration = Duration::from_secs(5);
/// What a server of WebSocket proves with that it has read the key (RFC 6455 section 1.3).
const WEBSOCKET_GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The handshake with an application that speaks HTTP/1.1: what one of HTTP/2 left out is made up.
pub(super) struct Http1Handshake<'a> {
    asked: &'a Upgrade,
    /// A key that only we know.
    own: Option<HeaderValue>,
}

impl<'a> Http1Handshake<'a> {
    /// Completes `request`, which asks for `asked`.
    pub(super) fn begin(asked: &'a Upgrade, request: &mut Request<Body>, dice: &RefCell<Pcg>) -> Self {
        let is_incomplete = is_websocket(asked) && !request.headers().contains_key(SEC_WEBSOCKET_KEY);
        let own = is_incomplete.then(|| websocket_key(&mut dice.borrow_mut()));
        if let Some(key) = &own {
            complete(request.headers_mut(), key.clone());
        }
        Self { asked, own }
    }

    /// Whether an upstream that changed its protocol changed it to what was asked for.
    ///
    /// # Errors
    /// [`Reason::UpstreamProtocol`]: to something else, or it has not read the key.
    pub(super) fn check(&self, response: &mut Response<Body>) -> Result<(), Reason> {
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(());
        }
        let mut changed_to = response.headers().get_all(UPGRADE).iter();
        let is_it = changed_to.next().is_some_and(|to| self.asked.is(to)) && changed_to.next().is_none();
        let proof = response.headers().get(SEC_WEBSOCKET_ACCEPT);
        let is_accepted = self.own.as_ref().is_none_or(|key| proof == Some(&accept(key)));
        if !is_it || !is_accepted {
            return Err(Reason::UpstreamProtocol);
        }
        if self.own.is_some() {
            response.headers_mut().remove(SEC_WEBSOCKET_ACCEPT);
        }
        response.extensions_mut().insert(self.asked.clone());
        Ok(())
    }
}

/// The handshake with an application, or a proxy, that speaks HTTP/2: what that leaves out is made up for a caller of
/// HTTP/1.1.
pub(super) struct Http2Handshake<'a> {
    asked: &'a Upgrade,
    /// The caller's, who waits for the proof.
    key: Option<HeaderValue>,
}

impl<'a> Http2Handshake<'a> {
    /// With a proxy, whose application proves what it has read.
    pub(super) fn with_proxy(asked: &'a Upgrade) -> Self {
        Self { asked, key: None }
    }

    /// With an application, which `request` asks for `asked`.
    pub(super) fn with_application(asked: &'a Upgrade, request: &Request<Body>) -> Self {
        let key = request.headers().get(SEC_WEBSOCKET_KEY).filter(|_| is_websocket(asked)).cloned();
        Self { asked, key }
    }

    /// Completes an answer that changed the protocol.
    pub(super) fn complete(self, response: &mut Response<Body>) {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            if let Some(key) = self.key {
                response.headers_mut().entry(SEC_WEBSOCKET_ACCEPT).or_insert_with(|| accept(&key));
            }
            response.extensions_mut().insert(self.asked.clone());
        }
    }
}

/// Waits until the peer of an HTTP/2 connection has said that it takes upgrades.
///
/// # Errors
/// [`Reason::UpgradeFailed`]: it does not.
pub(super) async fn wait_for_offer(sender: &Http2Sender) -> Result<(), Reason> {
    if !sender.takes_upgrades() {
        // Nothing was said yet on a connection that was made just now.
        let _ = timeout(OFFER_TIMEOUT, sender.settled()).await;
    }
    if sender.takes_upgrades() { Ok(()) } else { Err(Reason::UpgradeFailed) }
}

fn websocket_key(dice: &mut Pcg) -> HeaderValue {
    let bytes: [[u8; 8]; 2] = std::array::from_fn(|_| dice.below(u64::MAX).to_be_bytes());
    header_value(BASE64_STANDARD.encode(bytes.as_flattened()))
}

/// Says to another proxy what extended CONNECT cannot.
pub(super) fn tell_method(request: &mut Request<Body>) {
    if *request.method() != Method::GET
        && let Ok(method) = HeaderValue::from_str(request.method().as_str())
    {
        request.headers_mut().insert(HEADER_METHOD, method);
    }
}

/// Hears from another proxy what the application's status was: a success that opened no tunnel, and nothing else.
pub(super) fn hear_status(response: &mut Response<Body>) {
    if response.status() != NO_TUNNEL {
        return;
    }
    let told = response.headers().get(HEADER_STATUS);
    let told = told.and_then(|status| StatusCode::from_bytes(status.as_bytes()).ok());
    if let Some(status) = told.filter(StatusCode::is_success) {
        *response.status_mut() = status;
    }
}

/// What RFC 6455 wants in HTTP/1 and RFC 8441 leaves out.
fn complete(headers: &mut HeaderMap, key: HeaderValue) {
    headers.insert(SEC_WEBSOCKET_KEY, key);
    headers.entry(SEC_WEBSOCKET_VERSION).or_insert(HeaderValue::from_static("13"));
}

fn is_websocket(asked: &Upgrade) -> bool {
    asked.protocols().as_bytes().eq_ignore_ascii_case(HttpConnections::WEBSOCKET.as_bytes())
}

/// The answer to a key.
fn accept(key: &HeaderValue) -> HeaderValue {
    header_value(websocket_accept(key.as_bytes()))
}

pub(crate) fn websocket_accept(key: impl AsRef<[u8]>) -> String {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key.as_ref(), WEBSOCKET_GUID.as_bytes()].concat());
    BASE64_STANDARD.encode(hash)
}

fn header_value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::{accept, hear_status};
    use codec::Body;
    use http::{HeaderValue, Response};

    #[test]
    fn a_key_is_answered_as_rfc_6455_says() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept(&key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn only_a_success_is_heard_in_place_of_no_tunnel() {
        for (own, told, heard) in [
            (501, "200", 200),
            (501, "204", 204),
            (501, "101", 501),
            (501, "302", 501),
            (501, "999", 501),
            (200, "204", 200),
            (403, "200", 403),
        ] {
            let response = Response::builder().status(own).header("x-leno-status", told);
            let mut response = response.body(Body::empty()).unwrap();
            hear_status(&mut response);
            assert_eq!(response.status(), heard, "{own} {told}");
        }
    }
}
