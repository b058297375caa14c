#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::{intermediate, own_certificate};
use crate::pem::PemChain;
use model::TrustDomain;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use std::time::SystemTime;
use zeroize::Zeroizing;

/// A root as others make one.
fn root() -> (Vec<u8>, Issuer<'static, KeyPair>) {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Offline Root");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    let issuer = Issuer::from_ca_cert_der(certificate.der(), key).unwrap();
    (certificate.der().to_vec(), issuer)
}

/// What it signs, with its key.
fn signed(
    algorithm: &'static rcgen::SignatureAlgorithm,
    change: impl FnOnce(&mut CertificateParams),
) -> PemChain {
    let (root, issuer) = root();
    let key = KeyPair::generate_for(algorithm).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::OrganizationalUnitName, "west");
    change(&mut params);
    let certificate = params.signed_by(&key, &issuer).unwrap();
    PemChain {
        certificates: vec![certificate.der().to_vec(), root],
        key: Zeroizing::new(key.serialize_der()),
    }
}

fn signing(params: &mut CertificateParams) {
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
}

fn leaf_of(id: &'static str) -> impl FnOnce(&mut CertificateParams) {
    move |params| {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.subject_alt_names = vec![SanType::URI(id.try_into().unwrap())];
    }
}

fn a_test() -> TrustDomain {
    TrustDomain::parse("a.test").unwrap()
}

#[test]
fn an_intermediate_with_its_chain_and_key_signs() {
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        let held = intermediate(signed(algorithm, signing), a_test(), "west", SystemTime::now()).unwrap();
        assert_eq!(held.bundles[0].roots, [held.signer.root().to_vec()]);
    }
}

#[test]
fn an_intermediate_that_is_none_is_told() {
    let p256 = &rcgen::PKCS_ECDSA_P256_SHA256;
    let check = |pem: PemChain, cluster: &str, expected: &str| {
        let error = intermediate(pem, a_test(), cluster, SystemTime::now()).unwrap_err();
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        let told = format!("{error}: {cause}");
        assert!(told.contains(expected), "{told}");
    };
    check(signed(p256, signing), "east", "is for cluster west, this is east");
    let whole = signed(p256, signing);
    check(
        PemChain { certificates: vec![whole.certificates[0].clone()], ..whole },
        "west",
        "pass the whole chain",
    );
    let mut turned = signed(p256, signing);
    turned.certificates.reverse();
    check(turned, "west", "the root last");
    check(PemChain { key: Zeroizing::new(vec![0]), ..signed(p256, signing) }, "west", "none of PKCS#8");
    let (other, _) = root();
    let mut foreign = signed(p256, signing);
    foreign.certificates[1] = other;
    check(foreign, "west", "the first certificate");
}

#[test]
fn a_manager_s_certificate_is_of_the_root_itself() {
    const MANAGER: &str = "spiffe://a.test/ns/leno-system/sa/manager";
    let p256 = &rcgen::PKCS_ECDSA_P256_SHA256;
    let identity = own_certificate(signed(p256, leaf_of(MANAGER)), SystemTime::now()).unwrap();
    assert_eq!(identity.id().unwrap().to_string(), MANAGER);
    let check = |pem: PemChain, expected: &str| {
        let error = own_certificate(pem, SystemTime::now()).map(drop).unwrap_err();
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(format!("{error}: {cause}").contains(expected), "{error}: {cause}");
    };
    check(signed(p256, leaf_of("spiffe://a.test/ns/shop/sa/manager")), "it must be for");
    check(signed(p256, signing), "the leaf is no SVID");
    check(signed(&rcgen::PKCS_ED25519, leaf_of(MANAGER)), "P-256");
    let mut foreign = signed(p256, leaf_of(MANAGER));
    foreign.certificates[1] = root().0;
    check(foreign, "would not believe");
}
