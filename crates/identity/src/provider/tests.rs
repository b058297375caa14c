use rustls::CipherSuite;

use super::aes_128_first;

#[test]
fn aes_128_comes_first_and_nothing_is_lost() {
    let suites: Vec<CipherSuite> = aes_128_first().cipher_suites.iter().map(|suite| suite.suite()).collect();
    assert_eq!(suites.first(), Some(&CipherSuite::TLS13_AES_128_GCM_SHA256));
    assert!(suites.contains(&CipherSuite::TLS13_AES_256_GCM_SHA384));
    assert!(suites.contains(&CipherSuite::TLS13_CHACHA20_POLY1305_SHA256));
}
