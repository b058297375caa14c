#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::{Root, RootError};
use crate::pem::PemChain;
use identity::Key;
use model::TrustDomain;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose, NameConstraints};
use std::time::{Duration, SystemTime};
use zeroize::Zeroizing;

const HOUR: Duration = Duration::from_secs(3600);

/// As `openssl req -x509` makes one, but for what `change` says.
fn made(
    algorithm: &'static rcgen::SignatureAlgorithm,
    change: impl FnOnce(&mut CertificateParams),
) -> PemChain {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Example Root");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_after = (SystemTime::now() + 10 * HOUR).into();
    change(&mut params);
    let certificate = params.self_signed(&key).unwrap();
    PemChain { certificates: vec![certificate.der().to_vec()], key: Zeroizing::new(key.serialize_der()) }
}

fn read(pem: &PemChain) -> Result<Root, RootError> {
    Root::read(TrustDomain::parse("a.test").unwrap(), pem, SystemTime::now())
}

#[test]
fn a_root_that_was_made_elsewhere_signs() {
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        let root = read(&made(algorithm, |_| {})).unwrap_or_else(|error| panic!("{algorithm:?}: {error}"));
        let csr = Key::generate().unwrap().csr().unwrap();
        let chain = root.sign_intermediate(&csr, "west", 100 * HOUR).unwrap();
        assert_eq!(identity::cluster(&chain[0]).as_deref(), Some("west"));
        let end = root.not_after().duration_since(SystemTime::now()).unwrap();
        assert!(end < 11 * HOUR, "nothing outlives it: {end:?}");
        // What is read is checked by signing with it, so a further look is not needed.
    }
}

#[test]
fn what_is_no_root_is_refused_with_its_reason() {
    let check = |pem: PemChain, expected: &str| {
        let error = read(&pem).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let p256 = &rcgen::PKCS_ECDSA_P256_SHA256;
    let with = |change: fn(&mut CertificateParams)| made(p256, change);
    let other_key = PemChain { key: made(p256, |_| {}).key, ..with(|_| {}) };
    check(other_key, "is for another key");
    check(PemChain { key: Zeroizing::new(vec![1, 2, 3]), ..with(|_| {}) }, "none of PKCS#8");
    let two = with(|_| {});
    check(
        PemChain { certificates: [two.certificates.clone(), two.certificates].concat(), key: two.key },
        "2 certificates",
    );
    check(PemChain { certificates: vec![vec![0x30]], ..with(|_| {}) }, "cannot be read");
    check(with(|params| params.is_ca = IsCa::ExplicitNoCa), "may not sign intermediates");
    check(
        with(|params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0))),
        "may not sign intermediates",
    );
    check(with(|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]), "key usage");
    check(with(|params| params.not_after = SystemTime::UNIX_EPOCH.into()), "is valid from");
    check(with(|params| params.not_before = (SystemTime::now() + HOUR).into()), "is valid from");
    let constrained = with(|params| {
        let permitted = vec![rcgen::GeneralSubtree::DnsName("a.test".into())];
        params.name_constraints =
            Some(NameConstraints { permitted_subtrees: permitted, excluded_subtrees: Vec::new() });
    });
    // Names of other kinds bind nothing that a mesh shows.
    assert!(read(&constrained).is_ok());
}
