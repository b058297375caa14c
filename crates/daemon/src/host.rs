//! Whether a request meant this listener: its `Host` must be an address of ours, or `localhost`.
//!
//! A browser can be brought to send any page's requests to loopback, by a name that first led elsewhere (DNS
//! rebinding); to it that name stays the page's own, so it lets the page read the answer. The name gives it
//! away. Whoever can open a socket on this machine can send any `Host`: this keeps out web pages, nobody else.

use http::uri::Authority;
use http::{HeaderMap, Uri, header};
use std::net::IpAddr;

const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// Whether every name that a request gives its server is ours, when we listen on `bound`. A request
/// that gives none passes: browsers always do.
pub fn is_ours(bound: IpAddr, uri: &Uri, headers: &HeaderMap) -> bool {
    let named = headers.get_all(header::HOST).iter().map(|host| Authority::try_from(host.as_bytes()).ok());
    named.chain(uri.authority().map(|authority| Some(authority.clone()))).all(|authority| match authority {
        Some(authority) => is_our_name(bound, authority.host()),
        None => false,
    })
}

fn is_our_name(bound: IpAddr, host: &str) -> bool {
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match literal.parse::<IpAddr>() {
        // Listening on all addresses, we do not know them all; but no address can be rebound.
        Ok(address) => address.to_canonical().is_loopback() || address == bound || bound.is_unspecified(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// Whether a web page of elsewhere made a browser send this. Browsers name the page (`Origin`) with every request
/// that may change something, and the newer ones say with every request to this machine where it came from
/// (`Sec-Fetch-Site`, W3C Fetch Metadata): from one's own address bar, or from our own page.
pub fn is_from_page(headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
    headers.contains_key(header::ORIGIN) || sites.any(|site| site != "none" && site != "same-origin")
}

#[cfg(test)]
mod tests;
