//! What a certificate calls its holder, in the forms that others write it. Says nothing about trust.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use x509_parser::extensions::GeneralName;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::X509Name;

/// Names of one sort that are read; more are left out.
const NAMES_MAX: usize = 256;

/// The names in a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateNames {
    /// The subject as RFC 2253 writes it: the most specific part first.
    pub subject: String,
    /// Alternative names: DNS.
    pub dns: Vec<String>,
    /// Alternative names: URI.
    pub uris: Vec<String>,
    /// Alternative names: addresses.
    pub addresses: Vec<IpAddr>,
    /// SHA-256 of its `SubjectPublicKeyInfo`.
    pub public_key_sha256: [u8; 32],
}

/// Reads the names of a certificate (DER); `None` when it is none.
pub fn certificate_names(der: &[u8]) -> Option<CertificateNames> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let mut names =
        CertificateNames { subject: rfc2253(certificate.subject()), ..CertificateNames::default() };
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate.public_key().raw);
    names.public_key_sha256.copy_from_slice(digest.as_ref());
    let alternative = certificate.subject_alternative_name().ok().flatten();
    for name in alternative.iter().flat_map(|names| &names.value.general_names) {
        match name {
            GeneralName::DNSName(dns) if names.dns.len() < NAMES_MAX => names.dns.push((*dns).to_owned()),
            GeneralName::URI(uri) if names.uris.len() < NAMES_MAX => names.uris.push((*uri).to_owned()),
            GeneralName::IPAddress(bytes) if names.addresses.len() < NAMES_MAX => {
                names.addresses.extend(address(bytes));
            }
            _ => {}
        }
    }
    Some(names)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|bytes| IpAddr::V4(Ipv4Addr::from(bytes)));
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|bytes| IpAddr::V6(Ipv6Addr::from(bytes)))).ok()
}

fn rfc2253(name: &X509Name<'_>) -> String {
    let parts: Vec<String> = name
        .iter_rdn()
        .map(|part| {
            let attributes = part.iter().map(|attribute| {
                let oid = attribute.attr_type();
                let kind = oid2abbrev(oid, oid_registry()).map_or_else(|_| oid.to_id_string(), str::to_owned);
                format!("{kind}={}", escaped(attribute.as_str().unwrap_or_default()))
            });
            attributes.collect::<Vec<_>>().join("+")
        })
        .collect();
    parts.into_iter().rev().collect::<Vec<_>>().join(",")
}

/// RFC 2253 section 2.4.
fn escaped(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut text = String::with_capacity(value.len());
    for (at, character) in value.chars().enumerate() {
        let is_special = matches!(character, ',' | '+' | '"' | '\\' | '<' | '>' | ';')
            || (character == '#' && at == 0)
            || (character == ' ' && (at == 0 || at == last));
        if is_special {
            text.push('\\');
        }
        text.push(character);
    }
    text
}
