//! The cryptography of mesh TLS: which cipher suites, and in which order.

use std::sync::{Arc, OnceLock};

use rustls::CipherSuite;
use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// Passed explicitly, so that no process-wide default is needed.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(aes_128_first())).clone()
}

/// BoringSSL, and with it Envoy, prefers AES-128 where there is hardware for it; rustls puts AES-256 first, which has more
/// rounds and lasts no longer.
fn aes_128_first() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    provider
}

#[cfg(test)]
mod tests;
