//! Keys that sign certificates: made here, or read once because somebody else made them.
//!
//! The bytes of one that was read are with the cryptographic library alone, which wipes them; copies share it.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RsaKeyPair,
};
use identity::Key;
use std::fmt;

/// Shortest RSA modulus, in bits: peers believe no shorter one.
const RSA_BITS_MIN: usize = 2048;

/// A private key of an authority.
pub struct SigningKey {
    key: KeyKind,
    public: Vec<u8>,
}

enum KeyKind {
    Made(Key),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

/// Why bytes are no key that can sign here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the private key is none of PKCS#8 with P-256, P-384, Ed25519 or RSA of at least {RSA_BITS_MIN} bits"
)]
pub struct UnusableKey;

impl SigningKey {
    /// Reads PKCS#8 in DER. The caller wipes the bytes.
    ///
    /// # Errors
    /// When it is a key of another kind, or none.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, UnusableKey> {
        let ec = |algorithm| EcdsaKeyPair::from_pkcs8(algorithm, der);
        let key = if let Ok(pair) = ec(&ECDSA_P256_SHA256_ASN1_SIGNING) {
            KeyKind::P256(pair)
        } else if let Ok(pair) = ec(&ECDSA_P384_SHA384_ASN1_SIGNING) {
            KeyKind::P384(pair)
        } else if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            KeyKind::Ed25519(pair)
        } else {
            let pair = RsaKeyPair::from_pkcs8(der).map_err(|_| UnusableKey)?;
            if pair.public_modulus_len() * 8 < RSA_BITS_MIN {
                return Err(UnusableKey);
            }
            KeyKind::Rsa(pair)
        };
        let public = match &key {
            KeyKind::Made(key) => key.public().to_vec(),
            KeyKind::P256(pair) | KeyKind::P384(pair) => pair.public_key().as_ref().to_vec(),
            KeyKind::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
            KeyKind::Rsa(pair) => pair.public_key().as_ref().to_vec(),
        };
        Ok(Self { key, public })
    }

    /// The public key, as the bits of its `SubjectPublicKeyInfo`.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    fn sign_bytes(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match &self.key {
            KeyKind::Made(key) => rcgen::SigningKey::sign(key, message).ok(),
            KeyKind::P256(pair) | KeyKind::P384(pair) => {
                Some(pair.sign(&random, message).ok()?.as_ref().to_vec())
            }
            KeyKind::Ed25519(pair) => Some(pair.sign(message).as_ref().to_vec()),
            KeyKind::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).ok()?;
                Some(signature)
            }
        }
    }
}

impl From<Key> for SigningKey {
    fn from(key: Key) -> Self {
        let public = key.public().to_vec();
        Self { key: KeyKind::Made(key), public }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(secret)")
    }
}

impl rcgen::PublicKeyData for SigningKey {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        match &self.key {
            KeyKind::Made(_) | KeyKind::P256(_) => &rcgen::PKCS_ECDSA_P256_SHA256,
            KeyKind::P384(_) => &rcgen::PKCS_ECDSA_P384_SHA384,
            KeyKind::Ed25519(_) => &rcgen::PKCS_ED25519,
            KeyKind::Rsa(_) => &rcgen::PKCS_RSA_SHA256,
        }
    }
}

impl rcgen::SigningKey for SigningKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.sign_bytes(message).ok_or(rcgen::Error::RingUnspecified)
    }
}
