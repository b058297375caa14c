#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::{PEM_BYTES_MAX, read};

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nAw\nQF\n-----END PRIVATE KEY-----\n";

#[test]
fn certificates_and_a_key_are_read_in_any_order_between_other_text() {
    let text = format!("subject=x\r\n{KEY}\nissuer=y\n{}{CERTIFICATE}", CERTIFICATE.replace('\n', "\r\n"));
    let chain = read(text.as_bytes()).unwrap();
    assert_eq!(chain.certificates, [vec![0, 1, 2], vec![0, 1, 2]]);
    assert_eq!(chain.key.as_slice(), [3, 4, 5]);
    assert_eq!(format!("{chain:?}"), "PemChain(2 certificates, secret)");
}

#[test]
fn what_is_wrong_is_told_and_the_text_is_not() {
    let check = |text: &str, expected: &str| {
        let error = read(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("QF"), "{error}");
    };
    check("", "no certificate");
    check(KEY, "no certificate");
    check(CERTIFICATE, "no private key");
    check(&format!("{CERTIFICATE}{KEY}{KEY}"), "several private keys");
    check(
        &KEY.replace("PRIVATE", "EC PRIVATE"),
        "`EC PRIVATE KEY` is not read; convert the key with `openssl pkcs8",
    );
    check(&KEY.replace("PRIVATE", "ENCRYPTED PRIVATE"), "`ENCRYPTED PRIVATE KEY` is not read");
    check(&CERTIFICATE.replace("CERTIFICATE", "X509 CRL"), "a PEM block `X509 CRL`");
    check(&format!("x\n{}", &KEY[..40]), "cut off or no base64, in line 2");
    check(&KEY.replace("Aw", "A*"), "in line 1");
    check(&KEY.replace("END PRIVATE", "END PUBLIC"), "in line 1");
    check(&" ".repeat(PEM_BYTES_MAX + 1), "more than 65536 bytes");
    assert!(read([0xff, 0xfe].as_slice()).is_err());
}
