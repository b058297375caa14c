#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::{LIFE_LEFT_MIN, UnfitIntermediate, intermediate};
use crate::Root;
use crate::issuer::Issued;
use identity::Key;
use model::TrustDomain;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use std::time::{Duration, SystemTime};

const HOUR: Duration = Duration::from_secs(3600);

fn domain(name: &str) -> TrustDomain {
    TrustDomain::parse(name).unwrap()
}

/// What our own root signs for west, with its key.
fn signed(ttl: Duration) -> (Key, Issued) {
    let root = Root::generate(domain("a.test"), 10 * HOUR).unwrap();
    let key = Key::generate().unwrap();
    let chain = root.sign_intermediate(&key.csr().unwrap(), "west", ttl).unwrap();
    (key, Issued { chain, bundles: vec![root.bundle()], id: None, trust_domain: domain("a.test") })
}

fn refused(key: Key, issued: Issued, cluster: &str) -> String {
    let error = intermediate(key, issued, cluster, SystemTime::now()).unwrap_err();
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    format!("{error}: {}", cause.unwrap_or_default())
}

#[test]
fn what_our_root_signs_is_fit() {
    let (key, issued) = signed(HOUR);
    let held = intermediate(key, issued, "west", SystemTime::now()).unwrap();
    assert_eq!(held.signer.cluster().as_deref(), Some("west"));
}

#[test]
fn another_cluster_key_life_or_root_is_refused() {
    let (key, issued) = signed(HOUR);
    assert!(refused(key.clone(), issued.clone(), "east").contains("is for cluster west, this is east"));
    assert!(refused(Key::generate().unwrap(), issued.clone(), "west").contains("for another key"));
    let none = Issued { chain: Vec::new(), ..issued.clone() };
    assert!(refused(key.clone(), none, "west").contains("empty"));
    let foreign = Root::generate(domain("a.test"), HOUR).unwrap();
    let swapped = Issued { bundles: vec![foreign.bundle()], ..issued.clone() };
    assert!(refused(key.clone(), swapped, "west").contains("is no root of a.test"));
    let other_domain = Issued { trust_domain: domain("b.test"), ..issued.clone() };
    assert!(refused(key.clone(), other_domain, "west").contains("is no root of b.test"));
    for at in [SystemTime::now() + 2 * HOUR, SystemTime::now() - 2 * HOUR] {
        let error = intermediate(key.clone(), issued.clone(), "west", at).unwrap_err();
        assert!(matches!(error, UnfitIntermediate::Life { .. }), "{error}");
    }
    let (key, short) = signed(LIFE_LEFT_MIN / 2);
    assert!(refused(key, short, "west").contains("at least 30 s must be left"));
}

/// An intermediate by a root that signs whatever it is told.
fn careless(change: impl FnOnce(&mut CertificateParams)) -> (Key, Issued) {
    let root_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&root_key).unwrap();
    let issuer = Issuer::from_ca_cert_der(root.der(), root_key).unwrap();
    let key = Key::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::OrganizationalUnitName, "west");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    change(&mut params);
    let chain = vec![params.signed_by(&key, &issuer).unwrap().der().to_vec(), root.der().to_vec()];
    let bundle =
        model::trust::TrustBundle { trust_domain: domain("a.test"), roots: vec![root.der().to_vec()] };
    (key, Issued { chain, bundles: vec![bundle], id: None, trust_domain: domain("a.test") })
}

#[test]
fn what_peers_would_not_believe_is_refused() {
    let check = |(key, issued): (Key, Issued), expected: &str| {
        let error = refused(key, issued, "west");
        assert!(error.contains(expected), "{error}");
    };
    let (key, good) = careless(|_| {});
    assert!(intermediate(key, good, "west", SystemTime::now()).is_ok(), "the control run");
    let length = |constraint| careless(move |params| params.is_ca = IsCa::Ca(constraint));
    check(length(BasicConstraints::Constrained(1)), "path length 1, it must have path length 0");
    check(length(BasicConstraints::Unconstrained), "no path length, it must have path length 0");
    check(careless(|params| params.is_ca = IsCa::ExplicitNoCa), "not a signing certificate");
    let unit = |name: &'static str| {
        careless(move |params| params.distinguished_name.push(DnType::OrganizationalUnitName, name))
    };
    check(unit("east"), "is for cluster east");
    check(
        careless(|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]),
        "may not sign certificates",
    );
    // NameConstraints with one permitted URI (tag 6), which rcgen does not write itself (RFC 5280 section 4.2.1.10).
    let uri = b"a.test";
    let mut subtrees = vec![0x30, 12, 0xa0, 10, 0x30, 8, 0x86, 6];
    subtrees.extend_from_slice(uri);
    let constrained = careless(|params| {
        let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 30], subtrees);
        extension.set_criticality(true);
        params.custom_extensions = vec![extension];
    });
    check(constrained, "name constraints for URIs");
    let unknown = careless(|params| {
        let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![5, 0]);
        extension.set_criticality(true);
        params.custom_extensions = vec![extension];
    });
    check(unknown, "peers would not believe");
}
