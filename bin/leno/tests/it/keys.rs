//! Finds P-256 private keys in bytes of any kind: raw, hex and base64, at every offset.
//!
//! A window of 32 bytes is a key when, taken as a scalar, it gives one of the public keys that were issued.
//! Two filters save the multiplication, and a random key passes both but once in 10^13: a raw window must not
//! be all printable text, and every window must have at least `DISTINCT_MIN` different bytes.

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use std::collections::HashSet;

const KEY_BYTES: usize = 32;
/// 32 random bytes have about 30 different values; fewer than 18 practically never.
const DISTINCT_MIN: usize = 18;

/// Uncompressed public keys (65 bytes) that were issued.
pub(crate) struct Searcher {
    publics: HashSet<Vec<u8>>,
    tried: HashSet<[u8; KEY_BYTES]>,
}

impl Searcher {
    pub(crate) fn new(publics: HashSet<Vec<u8>>) -> Self {
        assert!(publics.iter().all(|public| public.len() == 65), "uncompressed points expected");
        Self { publics, tried: HashSet::new() }
    }

    /// Scalars tried so far, so that a test can see that the search did something.
    pub(crate) fn tried(&self) -> usize {
        self.tried.len()
    }

    /// How the first key found is written, if there is one.
    pub(crate) fn search(&mut self, haystack: &[u8]) -> Option<&'static str> {
        let raw = haystack.windows(KEY_BYTES).any(|window| !is_text(window) && self.is_key(window));
        if raw {
            return Some("raw");
        }
        if self.search_hex(haystack) {
            return Some("hex");
        }
        self.search_base64(haystack).then_some("base64")
    }

    fn search_hex(&mut self, haystack: &[u8]) -> bool {
        for run in haystack.split(|b| !b.is_ascii_hexdigit()).filter(|run| run.len() >= 2 * KEY_BYTES) {
            for window in run.windows(2 * KEY_BYTES) {
                let decoded: Vec<u8> =
                    window.chunks(2).map(|pair| digit(pair[0]) * 16 + digit(pair[1])).collect();
                if self.is_key(&decoded) {
                    return true;
                }
            }
        }
        false
    }

    fn search_base64(&mut self, haystack: &[u8]) -> bool {
        // Line ends inside base64 (PEM), as bytes or as escapes in JSON, do not interrupt it.
        let text: Vec<u8> = String::from_utf8_lossy(haystack).replace("\\n", "").into_bytes();
        let joined: Vec<u8> = text.into_iter().filter(|b| !matches!(b, b'\n' | b'\r')).collect();
        for run in joined.split(|b| sextet(*b).is_none()).filter(|run| run.len() >= 43) {
            for skip in 0..4.min(run.len()) {
                let sextets: Vec<u8> = run[skip..].iter().filter_map(|b| sextet(*b)).collect();
                let mut decoded = Vec::with_capacity(sextets.len());
                for group in sextets.chunks(4) {
                    let bits = group.iter().fold(0u32, |bits, s| bits << 6 | u32::from(*s))
                        << (6 * (4 - group.len()));
                    decoded.extend_from_slice(&bits.to_be_bytes()[1..]);
                }
                if decoded.windows(KEY_BYTES).any(|window| !is_text(window) && self.is_key(window)) {
                    return true;
                }
            }
        }
        false
    }

    fn is_key(&mut self, window: &[u8]) -> bool {
        let mut seen = [false; 256];
        let distinct =
            window.iter().filter(|b| !std::mem::replace(&mut seen[usize::from(**b)], true)).count();
        let Ok(scalar) = <[u8; KEY_BYTES]>::try_from(window) else { return false };
        if distinct < DISTINCT_MIN || !self.tried.insert(scalar) {
            return false;
        }
        let Ok(key) = PrivateKey::from_private_key(&ECDH_P256, window) else { return false };
        key.compute_public_key().is_ok_and(|public| self.publics.contains(public.as_ref()))
    }
}

fn is_text(window: &[u8]) -> bool {
    window.iter().all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace())
}

fn digit(b: u8) -> u8 {
    (b as char).to_digit(16).map_or(0, |digit| digit as u8)
}

fn sextet(b: u8) -> Option<u8> {
    Some(match b {
        b'A'..=b'Z' => b - b'A',
        b'a'..=b'z' => b - b'a' + 26,
        b'0'..=b'9' => b - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    })
}

/// A fresh key: `(scalar, uncompressed public key, PKCS#8 PEM)`.
pub(crate) fn plant() -> (Vec<u8>, Vec<u8>, String) {
    let pair = rcgen::KeyPair::generate().expect("a key");
    let der = pair.serialize_der();
    // RFC 5915 inside PKCS#8: the scalar follows the tag of a 32-byte octet string.
    let at = der.windows(2).position(|tag| tag == [0x04, 0x20]).expect("a scalar") + 2;
    (der[at..at + KEY_BYTES].to_vec(), pair.public_key_raw().to_vec(), pair.serialize_pem())
}

#[test]
fn a_key_is_found_however_it_is_written() {
    use base64::Engine;
    let (scalar, public, pem) = plant();
    let hex: String = scalar.iter().map(|b| format!("{b:02x}")).collect();
    let base64 = base64::engine::general_purpose::STANDARD.encode(&scalar);
    let found = |bytes: &[u8]| Searcher::new(HashSet::from([public.clone()])).search(bytes);
    let noise = b"some \x00\x01\xff noise around it";
    assert_eq!(found(&[noise, scalar.as_slice(), noise].concat()), Some("raw"));
    assert_eq!(found(format!("{{\"key\":\"f{hex}\"}}").as_bytes()), Some("hex"));
    assert_eq!(found(format!("x={base64}&y").as_bytes()), Some("base64"));
    assert_eq!(found(pem.as_bytes()), Some("base64"));
    assert_eq!(found(pem.replace('\n', "\\n").as_bytes()), Some("base64"));
    let (_, _, other) = plant();
    assert_eq!(found(other.as_bytes()), None);
}
