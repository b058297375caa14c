#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::{CSR_BYTES_MAX, LEAF_TTL_MAX, LEAF_TTL_MIN, SignError, Signer};
use crate::Root;
use identity::{Clients, Expect, Identity, Key, Svid, server_name};
use model::{SpiffeId, TrustDomain};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, SanType};
use std::time::{Duration, SystemTime};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use x509_parser::prelude::{FromDer, X509Certificate};

const HOUR: Duration = Duration::from_secs(3600);
const TTL: Duration = Duration::from_secs(600);

fn domain() -> TrustDomain {
    TrustDomain::parse("a.test").unwrap()
}

fn id(text: &str) -> SpiffeId {
    SpiffeId::parse(text).unwrap()
}

fn alice() -> SpiffeId {
    id("spiffe://a.test/ns/shop/sa/alice")
}

fn bob() -> SpiffeId {
    id("spiffe://a.test/ns/shop/sa/bob")
}

fn root() -> Root {
    Root::generate(domain(), HOUR).unwrap()
}

fn signer(root: &Root) -> Signer {
    root.intermediate("west", HOUR).unwrap()
}

/// An identity certified by a signer, that trusts its root.
fn member(root: &Root, signer: &Signer, id: &SpiffeId) -> Identity {
    let key = Key::generate().unwrap();
    let chain = signer.sign(&key.csr().unwrap(), id, TTL).unwrap();
    let identity = Identity::new(vec![root.bundle()]);
    identity.install(Svid::new(key, chain).unwrap());
    identity
}

async fn shake(client: &Identity, expect: Expect, server: &Identity) -> Result<(), String> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let accept = TlsAcceptor::from(server.server_config(Clients::Requested, &[])).accept(near);
    let connect = TlsConnector::from(client.client_config(expect, &[])).connect(server_name(), far);
    let (accepted, connected) = tokio::join!(accept, connect);
    connected.map_err(|error| error.to_string())?;
    accepted.map(|_| ()).map_err(|error| error.to_string())
}

#[tokio::test]
async fn what_is_signed_is_believed_by_the_verifier() {
    let root = root();
    let (west, east) = (signer(&root), root.intermediate("east", HOUR).unwrap());
    let (alice, bob_) = (member(&root, &west, &alice()), member(&root, &east, &bob()));
    assert_eq!(shake(&alice, Expect::OneOf(vec![bob()]), &bob_).await, Ok(()));
    assert!(shake(&alice, Expect::OneOf(vec![id("spiffe://a.test/ns/shop/sa/carol")]), &bob_).await.is_err());
}

#[tokio::test]
async fn who_joins_finds_the_pinned_root_in_the_chain() {
    let root = root();
    let control = member(&root, &signer(&root), &id("spiffe://a.test/ns/leno-system/sa/control"));
    let stranger = Identity::new(vec![]);
    assert_eq!(shake(&stranger, Expect::PinnedRoot(root.pin()), &control).await, Ok(()));
    let workload = member(&root, &signer(&root), &alice());
    assert!(shake(&stranger, Expect::PinnedRoot(root.pin()), &workload).await.is_err());
}

fn names(der: &[u8]) -> Vec<String> {
    let (_, certificate) = X509Certificate::from_der(der).unwrap();
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    names.value.general_names.iter().map(|name| name.to_string()).collect()
}

#[test]
fn names_and_wishes_in_a_request_are_ignored() {
    let root = root();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![
        SanType::URI("spiffe://a.test/ns/leno-system/sa/control".try_into().unwrap()),
        SanType::DnsName("bank.test".try_into().unwrap()),
    ];
    params.distinguished_name.push(DnType::CommonName, "mallory");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let csr = params.serialize_request(&key).unwrap();
    let chain = signer(&root).sign(csr.der(), &alice(), TTL).unwrap();
    assert_eq!(names(&chain[0]), ["URI(spiffe://a.test/ns/shop/sa/alice)"]);
    let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
    assert!(!leaf.is_ca() && leaf.subject().iter_common_name().next().is_none());
    assert_eq!(chain.len(), 3);
    assert_eq!(chain[2], root.der());
}

#[test]
fn a_registration_is_proved_by_its_certificate() {
    let root = root();
    let signer = signer(&root);
    let identity = Identity::new(vec![root.bundle()]);
    let proof = |chain: Vec<Vec<u8>>| {
        let chain: Vec<_> = chain.into_iter().map(identity::CertificateDer::from).collect();
        identity.proof(&chain).unwrap()
    };
    let csr = Key::generate().unwrap().csr().unwrap();
    let uid = format!("west/{}/{}-0123", "n".repeat(63), "g".repeat(253));
    let registered = proof(signer.sign_registered(&csr, &alice(), &uid, TTL).unwrap());
    assert_eq!((registered.id.clone(), registered.uid.as_deref()), (alice(), Some(uid.as_str())));
    assert_eq!(registered.cluster().map(|cluster| &**cluster), Some("west"));
    assert_eq!(proof(signer.sign(&csr, &alice(), TTL).unwrap()).uid, None);
}

#[test]
fn unusable_requests_are_refused() {
    let root = root();
    let signer = signer(&root);
    let sign = |csr: &[u8]| signer.sign(csr, &alice(), TTL).unwrap_err();
    assert!(matches!(sign(b""), SignError::Request(_)));
    assert!(matches!(sign(&[0x30; 300]), SignError::Request(_)));
    assert!(matches!(sign(&vec![0; CSR_BYTES_MAX + 1]), SignError::TooLarge(_)));
    let mut forged = Key::generate().unwrap().csr().unwrap();
    let last = forged.len() - 3;
    forged[last] ^= 1;
    assert!(matches!(sign(&forged), SignError::Request(_)));
    let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let csr = CertificateParams::default().serialize_request(&ed25519).unwrap();
    assert!(matches!(sign(csr.der()), SignError::KeyKind));
    let csr = Key::generate().unwrap().csr().unwrap();
    let foreign = signer.sign(&csr, &id("spiffe://b.test/ns/shop/sa/alice"), TTL);
    assert!(matches!(foreign, Err(SignError::OtherDomain { .. })));
}

fn life(chain: &[Vec<u8>]) -> (SystemTime, SystemTime) {
    let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
    let time = |s: i64| SystemTime::UNIX_EPOCH + Duration::from_secs(s as u64);
    (time(leaf.validity().not_before.timestamp()), time(leaf.validity().not_after.timestamp()))
}

#[test]
fn lives_are_limited_and_begin_a_minute_ago() {
    let root = Root::generate(domain(), 100 * LEAF_TTL_MAX).unwrap();
    let signer = root.intermediate("west", 50 * LEAF_TTL_MAX).unwrap();
    let csr = Key::generate().unwrap().csr().unwrap();
    let check = |signer: &Signer, ttl: Duration, expected: Duration| {
        let now = SystemTime::now();
        let (from, until) = life(&signer.sign(&csr, &alice(), ttl).unwrap());
        let backdated = now.duration_since(from).unwrap().as_secs_f64();
        assert!((backdated - (expected.as_secs_f64() / 10.0).min(60.0)).abs() < 5.0, "{backdated}");
        let left = until.duration_since(now).unwrap().as_secs_f64();
        assert!((left - expected.as_secs_f64()).abs() < 5.0, "{left}");
    };
    check(&signer, TTL, TTL);
    check(&signer, Duration::ZERO, LEAF_TTL_MIN);
    check(&signer, Duration::MAX / 4, LEAF_TTL_MAX);
    let short = root.intermediate("east", Duration::from_secs(120)).unwrap();
    check(&short, TTL, Duration::from_secs(120));
}

#[test]
fn serial_numbers_differ_and_are_positive() {
    let root = root();
    let signer = signer(&root);
    let csr = Key::generate().unwrap().csr().unwrap();
    let serials: std::collections::BTreeSet<Vec<u8>> = (0..20)
        .map(|_| {
            let chain = signer.sign(&csr, &alice(), TTL).unwrap();
            let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
            leaf.raw_serial().to_vec()
        })
        .collect();
    assert_eq!(serials.len(), 20);
    assert!(serials.iter().all(|serial| serial[0] < 0x80 && serial.len() <= 20));
}

#[test]
fn a_signer_needs_its_own_signing_certificate() {
    let root = root();
    let key = Key::generate().unwrap();
    let other = Key::generate().unwrap();
    let chain = root.sign_intermediate(&other.csr().unwrap(), "west", HOUR).unwrap();
    assert!(matches!(Signer::new(domain(), key.clone(), chain), Err(SignError::Chain(_))));
    let leaf = root.sign_leaf(&key.csr().unwrap(), &alice(), TTL).unwrap();
    assert!(matches!(Signer::new(domain(), key.clone(), leaf), Err(SignError::Chain(_))));
    assert!(matches!(Signer::new(domain(), key, vec![]), Err(SignError::Chain(_))));
}

#[test]
fn debug_output_tells_no_key() {
    let root = root();
    let text = format!("{root:?} {:?} {:?}", signer(&root), Key::generate().unwrap());
    assert!(!text.contains("PRIVATE") && !text.contains("[48, ") && text.len() < 300, "{text}");
}
