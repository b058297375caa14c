//! Private keys: made in memory, or read once where somebody else made them; never serialised, never printed.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use rustls::{SignatureAlgorithm, SignatureScheme};
use std::fmt;
use std::sync::Arc;

/// A P-256 private key. The bytes stay inside the TLS library; copies share them.
#[derive(Clone)]
pub struct Key(Arc<EcdsaKeyPair>);

/// Why a key or a request could not be made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The random source or the library failed.
    #[error("generate a P-256 key")]
    Generate,
    /// It was made elsewhere and cannot be used.
    #[error("the private key is not of P-256 in PKCS#8")]
    Kind,
    /// The request could not be written.
    #[error("write a certificate signing request")]
    Request(#[source] rcgen::Error),
}

impl Key {
    /// A new random key.
    pub fn generate() -> Result<Self, KeyError> {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)
            .map(|pair| Self(Arc::new(pair)))
            .map_err(|_| KeyError::Generate)
    }

    /// One that was made elsewhere, PKCS#8 in DER. The caller wipes the bytes.
    ///
    /// # Errors
    /// When it is not one of P-256.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der);
        pair.map(|pair| Self(Arc::new(pair))).map_err(|_| KeyError::Kind)
    }

    /// A PKCS #10 request in DER. It names nobody: who signs knows who asks.
    pub fn csr(&self) -> Result<Vec<u8>, KeyError> {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        let request = params.serialize_request(self).map_err(KeyError::Request)?;
        Ok(request.der().to_vec())
    }

    /// The public point, uncompressed (65 bytes).
    pub fn public(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    fn sign_bytes(&self, message: &[u8]) -> Option<Vec<u8>> {
        let signature = self.0.sign(&SystemRandom::new(), message).ok()?;
        Some(signature.as_ref().to_vec())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(secret)")
    }
}

impl rcgen::PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        self.public()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.sign_bytes(message).ok_or(rcgen::Error::RingUnspecified)
    }
}

impl rustls::sign::SigningKey for Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn rustls::sign::Signer>> {
        offered
            .contains(&SignatureScheme::ECDSA_NISTP256_SHA256)
            .then(|| Box::new(self.clone()) as Box<dyn rustls::sign::Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl rustls::sign::Signer for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.sign_bytes(message).ok_or_else(|| rustls::Error::General("signing failed".into()))
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}
