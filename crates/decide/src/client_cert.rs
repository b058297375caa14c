//! What applications are told of a caller's certificate by `x-forwarded-client-cert`, as Envoy writes it
//! (`forward_client_cert_details`, `set_current_client_cert_details`). The last element is of who called the proxy itself.

#[cfg(test)]
mod tests;

use model::client_traffic::{ClientCertDetail, ForwardClientCertMode};
use std::fmt::Write;

/// Longest value that is sent, in bytes: a longer one is the proxy's own element alone.
pub const CLIENT_CERT_BYTES_MAX: usize = 32 * 1024;

/// What is made of the one that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarding {
    /// It passes.
    pub keeps: bool,
    /// The caller's certificate is added.
    pub adds: bool,
}

/// By the mode; `is_proven`: the caller has shown a certificate that somebody vouches for.
pub fn forwarding(mode: ForwardClientCertMode, is_proven: bool) -> Forwarding {
    let (keeps, adds) = match mode {
        ForwardClientCertMode::Sanitize => (false, false),
        ForwardClientCertMode::ForwardOnly => (is_proven, false),
        ForwardClientCertMode::AppendForward => (is_proven, is_proven),
        ForwardClientCertMode::SanitizeSet => (false, is_proven),
        ForwardClientCertMode::AlwaysForwardOnly => (true, false),
    };
    Forwarding { keeps, adds }
}

/// The value that is sent on; `None`: there is none.
pub fn joined(forwarding: Forwarding, came: Option<&[u8]>, own: Option<&[u8]>) -> Option<Vec<u8>> {
    let came = came.filter(|came| forwarding.keeps && !came.is_empty());
    let own = own.filter(|_| forwarding.adds);
    match (came, own) {
        (None, None) => None,
        (Some(came), Some(own)) if came.len() + own.len() < CLIENT_CERT_BYTES_MAX => {
            Some([came, b",", own].concat())
        }
        (_, Some(own)) => Some(own.to_vec()),
        (Some(came), None) => (came.len() <= CLIENT_CERT_BYTES_MAX).then(|| came.to_vec()),
    }
}

/// A certificate, as far as an element tells of it.
#[derive(Clone, Debug, Default)]
pub struct CertificateFacts<'a> {
    /// Who the proxy itself is; `None`: nobody by name.
    pub by: Option<&'a str>,
    /// SHA-256, hex.
    pub sha256: &'a str,
    /// PEM.
    pub pem: &'a str,
    /// PEM of all that were shown.
    pub chain_pem: &'a str,
    /// As RFC 2253 writes it; may be empty.
    pub subject: &'a str,
    /// Alternative names that are URIs.
    pub uris: &'a [String],
    /// Alternative names that are DNS names.
    pub dns: &'a [String],
}

/// The element that tells these details of it, beside `By` and `Hash`.
pub fn element(details: &[ClientCertDetail], facts: &CertificateFacts<'_>) -> String {
    let mut pairs = Vec::new();
    pairs.extend(facts.by.map(|by| format!("By={}", value(by))));
    pairs.push(format!("Hash={}", facts.sha256));
    for detail in details {
        match detail {
            ClientCertDetail::Cert => pairs.push(format!("Cert=\"{}\"", url_encoded(facts.pem))),
            ClientCertDetail::Chain => pairs.push(format!("Chain=\"{}\"", url_encoded(facts.chain_pem))),
            // Present also where it is empty.
            ClientCertDetail::Subject => pairs.push(format!("Subject={}", quoted(facts.subject))),
            ClientCertDetail::Uri => pairs.extend(facts.uris.iter().map(|uri| format!("URI={}", value(uri)))),
            ClientCertDetail::Dns => pairs.extend(facts.dns.iter().map(|dns| format!("DNS={}", value(dns)))),
        }
    }
    pairs.join(";")
}

/// In quotes where it could be read as something else: its holder chose it.
fn value(text: &str) -> String {
    match text.contains([',', ';', '=', '"', '\\', ' ']) {
        true => quoted(text),
        false => text.to_owned(),
    }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for char in text.chars() {
        match char {
            '"' => quoted.push_str("\\\""),
            // An escape that is there already stays one.
            char if char.is_ascii_graphic() || char == ' ' => quoted.push(char),
            // No header could carry it.
            _ => quoted.push('?'),
        }
    }
    // An escape at the end would take the quote along.
    if quoted.ends_with('\\') {
        quoted.push('\\');
    }
    quoted.push('"');
    quoted
}

/// As Envoy writes PEM: what is no letter, digit, `-`, `_`, `.` or `~` is escaped.
fn url_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 5 / 4);
    for byte in text.bytes() {
        match byte {
            b'-' | b'_' | b'.' | b'~' => encoded.push(byte.into()),
            byte if byte.is_ascii_alphanumeric() => encoded.push(byte.into()),
            // Writing to a `String` cannot fail.
            byte => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}
