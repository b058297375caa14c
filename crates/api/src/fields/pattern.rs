//! Values that Istio's policies compare, and which of them could never match.

use crate::syntax;
use model::authz::Cidr;
use std::net::IpAddr;

/// Whether a value with an optional `*` at its beginning or end can match anything: in between a `*` would
/// be compared as a letter.
pub fn is_pattern(text: &str) -> bool {
    let rest = text.strip_suffix('*').or_else(|| text.strip_prefix('*')).unwrap_or(text);
    !text.is_empty() && !rest.contains('*')
}

/// The same for `DOMAIN/ns/NAMESPACE/sa/ACCOUNT`, which is written without a scheme.
pub fn is_principal(text: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    let is_whole = matches!(parts[..], [domain, "ns", namespace, "sa", account]
        if !domain.is_empty() && !namespace.is_empty() && !account.is_empty());
    is_pattern(text) && !text.contains("://") && (text.contains('*') || is_whole)
}

/// The same for a namespace.
pub fn is_namespace(text: &str) -> bool {
    is_pattern(text) && !text.contains('/')
}

/// The same for a method; they are compared exactly.
pub fn is_method(text: &str) -> bool {
    is_pattern(text) && !text.bytes().any(|b| b.is_ascii_lowercase())
}

/// The same for a path: one begins with `/` and has neither query nor fragment; what has empty or dot segments is
/// also read without them, so a policy on them could only lead to 400. Templates are not understood yet.
pub fn is_path(text: &str) -> bool {
    let stray = ["?", "#", "//", "/./", "/../", "{", "}"].iter().any(|part| text.contains(part));
    is_pattern(text) && text.starts_with(['/', '*']) && !stray
}

/// The same for an address block: IPv4 addresses are compared as such.
pub fn is_block(text: &str) -> bool {
    let is_mapped = |cidr: Cidr| matches!(cidr.address, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some());
    Cidr::parse(text).is_some_and(|cidr| !is_mapped(cidr))
}

/// The same for a port as text.
pub fn is_port(text: &str) -> bool {
    text.parse().is_ok_and(|port: u16| port > 0 && port.to_string() == text)
}

/// The same for a value of a `when` condition on this key.
pub fn is_value_of(key: &str, value: &str) -> bool {
    match key {
        "source.ip" | "remote.ip" => is_block(value),
        "source.namespace" => is_namespace(value),
        "source.principal" => is_principal(value),
        "destination.port" => is_port(value),
        _ => is_pattern(value),
    }
}

/// `NAME` of `request.headers[NAME]`.
pub fn header_of(key: &str) -> Option<&str> {
    let name = key.strip_prefix("request.headers[")?.strip_suffix(']')?;
    syntax::is_token(name).then_some(name)
}
