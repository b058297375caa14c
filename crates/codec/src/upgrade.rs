//! Upgrades in one form for both versions: `upgrade` of HTTP/1 (RFC 9110 section 7.8), extended CONNECT of HTTP/2
//! (RFC 8441).
//!
//! A request that asks for one has [`Upgrade`] among its extensions; fields never say it to whom it is handed. Its
//! method is the one of HTTP/1: extended CONNECT comes as GET. The answer that accepts has status 101 and a body that
//! is a tunnel (`Body::take_tunnel`); of a server it is `Reply::Tunnel`. Anything else is an ordinary response.

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, Request, Version};

use crate::Body;

/// What a request asks to go on with, behind its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade(HeaderValue);

impl Upgrade {
    /// The protocols as they were written: one, or in HTTP/1 a list of them, best first.
    pub fn protocols(&self) -> &HeaderValue {
        &self.0
    }

    /// The first of its protocols that is `allowed`, alone.
    pub fn first(&self, allowed: impl Fn(&str) -> bool) -> Option<Upgrade> {
        let protocols = self.0.to_str().ok()?.split(',').map(str::trim);
        let protocol = protocols.into_iter().find(|protocol| is_protocol(protocol) && allowed(protocol))?;
        HeaderValue::from_str(protocol).ok().map(Upgrade)
    }

    /// Whether `value` names the same protocol, or the same list.
    pub fn is(&self, value: &HeaderValue) -> bool {
        self.0.as_bytes().eq_ignore_ascii_case(value.as_bytes())
    }

    /// The value of `:protocol`: one token.
    pub(crate) fn of_pseudo_field(value: bytes::Bytes) -> Option<Upgrade> {
        let value = HeaderValue::from_maybe_shared(value).ok()?;
        let is_token = value.to_str().is_ok_and(is_protocol);
        is_token.then_some(Upgrade(value))
    }
}

impl TryFrom<&str> for Upgrade {
    type Error = NoProtocol;

    fn try_from(protocol: &str) -> Result<Self, NoProtocol> {
        if !is_protocol(protocol) {
            return Err(NoProtocol);
        }
        HeaderValue::from_str(protocol).map(Upgrade).map_err(|_| NoProtocol)
    }
}

/// What cannot be the name of a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no name of a protocol")]
pub struct NoProtocol;

/// `protocol-name [ "/" protocol-version ]`, both tokens.
fn is_protocol(text: &str) -> bool {
    let is_token = |part: &str| {
        let is_of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        !part.is_empty() && part.bytes().all(is_of_token)
    };
    match text.split_once('/') {
        Some((name, version)) => is_token(name) && is_token(version),
        None => is_token(text),
    }
}

/// Notes among the extensions of an HTTP/1 request what its fields ask for. A request that asks otherwise than in one
/// `upgrade` field that `connection` names, or that has a body, is an ordinary one: any server may ignore it.
#[cold]
pub(crate) fn note(request: &mut Request<Body>) {
    let headers = request.headers();
    let names_it = headers.get_all(CONNECTION).iter().any(|value| has_member(value, b"upgrade"));
    let closes = headers.get_all(CONNECTION).iter().any(|value| has_member(value, b"close"));
    let mut values = headers.get_all(UPGRADE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return };
    let is_one = names_it && !closes && request.version() == Version::HTTP_11;
    if is_one && request.body().is_end_stream() && request.method() != http::Method::CONNECT {
        let upgrade = Upgrade(value.clone());
        request.extensions_mut().insert(upgrade);
    }
}

fn has_member(value: &HeaderValue, wanted: &[u8]) -> bool {
    value
        .as_bytes()
        .split(|byte| *byte == b',')
        .any(|member| member.trim_ascii().eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests;
