#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use identity::{Key, Svid};
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, IsCa, KeyUsagePurpose, SanType, date_time_ymd};

/// Good for a year. Nobody judges it here, so it may be its own issuer.
fn identity() -> Identity {
    let key = Key::generate().unwrap();
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(2030, 1, 1);
    params.not_after = date_time_ymd(2031, 1, 1);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let id = Ia5String::try_from("spiffe://leno.demo/ns/default/sa/client").unwrap();
    params.subject_alt_names = vec![SanType::URI(id)];
    let chain = vec![params.self_signed(&key).unwrap().der().to_vec()];
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
