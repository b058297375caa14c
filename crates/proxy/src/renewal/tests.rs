#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use fixtures::pki::TestAuthority;
use identity::{Key, Svid};
use rcgen::date_time_ymd;

/// Good for a year.
fn identity() -> Identity {
    let key = Key::generate().unwrap();
    let chain =
        TestAuthority::root("root").leaf_for(&key, "spiffe://leno.demo/ns/default/sa/client", |leaf| {
            leaf.not_before = date_time_ymd(2030, 1, 1);
            leaf.not_after = date_time_ymd(2031, 1, 1);
        });
    let identity = Identity::new(Vec::new());
    identity.install(Svid::new(key, chain).unwrap());
    identity
}

#[test]
fn trouble_is_told_before_the_certificate_expires_and_after() {
    let (identity, renewal) = (identity(), Renewal::default());
    let svid = identity.svid().unwrap();
    let life = svid.not_after.duration_since(svid.not_before).unwrap();
    let at = |part: f64| renewal.trouble(&identity, svid.not_before + life.mul_f64(part));
    assert_eq!(at(0.0), None);
    assert_eq!(at(0.79), None);
    let soon = at(0.81).unwrap();
    assert_eq!(soon.state, "CERTIFICATE_EXPIRES");
    assert!(soon.text.contains(&rfc3339(svid.not_after)), "{soon:?}");
    assert_eq!(at(1.1).unwrap().state, "CERTIFICATE_EXPIRED");
    renewal.failed("nobody there");
    let late = at(1.1).unwrap();
    assert!(late.text.ends_with("; not renewed: nobody there"), "{late:?}");
    renewal.set_refused(true);
    assert!(at(1.1).unwrap().text.contains("new join token"));
    // A proxy without a certificate needs none.
    assert_eq!(renewal.trouble(&Identity::new(Vec::new()), SystemTime::now()), None);
}
