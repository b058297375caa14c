//! TLS at a gateway's listener: whether it ends here, with which certificates, and what callers must show.
//!
//! Certificates stand here by reference only. A key pair of a Secret is a resource of its own ([`KeyPair`]), which
//! goes to no disk and into no dump; files are read by the proxy itself. Read `docs/decisions/0007` for the reasons.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// What a listener does with TLS.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerTls {
    /// Where TLS ends.
    pub mode: TlsMode,
    /// With [`TlsMode::Terminate`]: the first one that has the name which a caller asks for, else the first.
    #[serde(default)]
    pub certificates: Vec<CertificateRef>,
    /// What callers must show; `None`: they are not asked.
    #[serde(default)]
    pub client: Option<ClientValidation>,
    /// Versions that are spoken.
    #[serde(default)]
    pub versions: TlsVersions,
    /// IANA names of the cipher suites that are offered, all of them known to [`cipher_suite`]; empty: the defaults.
    #[serde(default)]
    pub cipher_suites: Vec<Arc<str>>,
}

/// Where TLS ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TlsMode {
    /// Here.
    #[default]
    Terminate,
    /// At the backend: nothing is decrypted, the server name alone is read.
    Passthrough,
}

/// Where a certificate and its key are.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum CertificateRef {
    /// In a Secret: [`crate::ResourceKey::KeyPair`] of that name.
    Secret {
        /// Its namespace.
        namespace: Arc<str>,
        /// Its name.
        name: Arc<str>,
    },
    /// In files of the gateway's own host, which are watched.
    Files {
        /// PEM, the leaf first.
        certificate: Arc<str>,
        /// PEM.
        key: Arc<str>,
    },
}

/// What callers must show, and who vouches for them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientValidation {
    /// Who is let in.
    pub mode: ClientMode,
    /// Who vouches.
    pub authorities: Vec<CaBundle>,
    /// Names of which the certificate must have one; empty: any (Istio: `subjectAltNames`).
    #[serde(default)]
    pub subject_alt_names: Vec<Arc<str>>,
    /// SHA-256 of certificates of which it must be one, 64 hex digits; empty: any (Istio: `verifyCertificateHash`).
    #[serde(default)]
    pub certificate_hashes: Vec<Arc<str>>,
    /// SHA-256 of public keys of which its own must be one, base64; empty: any (Istio: `verifyCertificateSpki`).
    #[serde(default)]
    pub public_key_hashes: Vec<Arc<str>>,
}

/// Which callers are let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientMode {
    /// Who shows a valid certificate (Gateway API `AllowValidOnly`, Istio `MUTUAL`).
    #[default]
    Required,
    /// Who shows none too (Istio `OPTIONAL_MUTUAL`).
    Optional,
    /// All, also with an invalid one, which proves nothing (Gateway API `AllowInsecureFallback`).
    InsecureFallback,
}

/// Certificates of authorities, PEM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum CaBundle {
    /// As it was written; nothing in it is secret.
    Inline(Arc<str>),
    /// In a file of the gateway's own host, which is watched.
    File(Arc<str>),
}

/// From the oldest version that is spoken to the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsVersions {
    /// The oldest.
    pub min: TlsVersion,
    /// The newest.
    pub max: TlsVersion,
}

impl Default for TlsVersions {
    fn default() -> Self {
        Self { min: TlsVersion::V1_2, max: TlsVersion::V1_3 }
    }
}

/// A version of TLS that can be spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TlsVersion {
    /// RFC 5246.
    V1_2,
    /// RFC 8446.
    V1_3,
}

/// The IANA name of a cipher suite that can be spoken, by that name or by OpenSSL's; `None`: it cannot.
pub fn cipher_suite(name: &str) -> Option<&'static str> {
    CIPHER_SUITES.iter().find(|(iana, openssl)| *iana == name || *openssl == name).map(|(iana, _)| *iana)
}

/// IANA's names and OpenSSL's.
pub const CIPHER_SUITES: &[(&str, &str)] = &[
    ("TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
    ("TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"),
    ("TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256"),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"),
];

/// A certificate of a user with its private key, out of a Secret.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyPair {
    /// Of the Secret.
    pub namespace: Arc<str>,
    /// Of the Secret.
    pub name: Arc<str>,
    /// PEM, the leaf first.
    pub certificate: Arc<str>,
    /// PEM.
    pub key: SecretString,
}

/// What must not be seen: it shows itself nowhere, and is wiped when the last holder lets it go.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretString(Arc<Zeroizing<String>>);

impl SecretString {
    /// Takes it over.
    pub fn new(text: String) -> Self {
        Self(Arc::new(Zeroizing::new(text)))
    }

    /// The text itself, for who is to use it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
