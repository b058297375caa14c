#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use crate::{Clients, Expect, Identity, Key, Svid, refusal, server_name};
use aws_lc_rs::digest;
use fixtures::pki::{TestAuthority, leaf_params, uri};
use model::trust::{Shown, TrustBundle, Voucher};
use model::{Reason, SpiffeId, TrustDomain};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType,
    date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ServerConfig};
use std::io;
use std::sync::Arc;
use std::time::UNIX_EPOCH;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

pub(crate) const ALICE: &str = "spiffe://a.test/ns/shop/sa/alice";
pub(crate) const BOB: &str = "spiffe://a.test/ns/shop/sa/bob";
const CONTROL: &str = "spiffe://a.test/ns/leno-system/sa/control";

/// Leaves as this crate holds them.
trait Leaves {
    /// A chain with its key; a test may spoil the leaf.
    fn leaf(&self, id: &str, edit: impl FnOnce(&mut CertificateParams)) -> (Key, Vec<Vec<u8>>);
    fn svid(&self, id: &str) -> Svid;
}

impl Leaves for TestAuthority {
    fn leaf(&self, id: &str, edit: impl FnOnce(&mut CertificateParams)) -> (Key, Vec<Vec<u8>>) {
        let key = Key::generate().unwrap();
        let chain = self.leaf_for(&key, id, edit);
        (key, chain)
    }

    fn svid(&self, id: &str) -> Svid {
        let (key, chain) = self.leaf(id, |_| {});
        Svid::new(key, chain).unwrap()
    }
}

fn id(text: &str) -> SpiffeId {
    SpiffeId::parse(text).unwrap()
}

pub(crate) fn bundle(domain: &str, roots: &[&TestAuthority]) -> TrustBundle {
    let roots = roots.iter().map(|root| root.root_der()).collect();
    TrustBundle { trust_domain: TrustDomain::parse(domain).unwrap(), roots }
}

/// A certificate that `Svid` would not take, as an attacker shows it.
fn forged(config: &ClientConfig, (key, chain): (Key, Vec<Vec<u8>>)) -> Arc<ClientConfig> {
    let mut config = config.clone();
    config.client_auth_cert_resolver = Arc::new(single(key, chain));
    Arc::new(config)
}

fn single(key: Key, chain: Vec<Vec<u8>>) -> SingleCertAndKey {
    let chain = chain.into_iter().map(CertificateDer::from).collect();
    SingleCertAndKey::from(CertifiedKey::new(chain, Arc::new(key)))
}

type Both = (io::Result<server::TlsStream<DuplexStream>>, io::Result<client::TlsStream<DuplexStream>>);

async fn handshake(server: Arc<ServerConfig>, client: Arc<ClientConfig>) -> Both {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let accept = TlsAcceptor::from(server).accept(near);
    tokio::join!(accept, TlsConnector::from(client).connect(server_name(), far))
}

/// Bob serves and trusts `a.test`; the client shows what `leaf` makes. What does Bob say?
async fn bob_judges(trust: &[TrustBundle], leaf: (Key, Vec<Vec<u8>>)) -> Result<String, Reason> {
    let root = TestAuthority::root("own");
    let bob = Identity::new([trust, &[bundle("b.test", &[&root])]].concat());
    bob.install(root.svid("spiffe://b.test/ns/shop/sa/bob"));
    let expect = Expect::OneOf(vec![id("spiffe://b.test/ns/shop/sa/bob")]);
    let client = forged(&bob.client_config(expect, &[b"h2"]), leaf);
    let (server, _) = handshake(bob.server_config(Clients::Required, &[b"h2"]), client).await;
    match server {
        Ok(stream) => {
            Ok(crate::leaf(stream.get_ref().1.peer_certificates().unwrap()).unwrap().id.to_string())
        }
        Err(error) => Err(refusal(&error)),
    }
}

async fn check_leaf(edit: impl FnOnce(&mut CertificateParams), expected: Result<&str, Reason>) {
    let root = TestAuthority::root("a");
    let judged = bob_judges(&[bundle("a.test", &[&root])], root.leaf(ALICE, edit)).await;
    assert_eq!(judged, expected.map(str::to_owned));
}

#[tokio::test]
async fn a_good_leaf_is_believed() {
    check_leaf(|_| {}, Ok(ALICE)).await;
}

#[tokio::test]
async fn a_dns_name_beside_the_uri_does_not_matter() {
    check_leaf(|leaf| leaf.subject_alt_names.push(SanType::DnsName("x.test".try_into().unwrap())), Ok(ALICE))
        .await;
}

#[tokio::test]
async fn two_uri_names_are_refused() {
    check_leaf(|leaf| leaf.subject_alt_names.push(uri(BOB)), Err(Reason::PeerUntrusted)).await;
}

#[tokio::test]
async fn no_uri_name_is_refused() {
    check_leaf(|leaf| leaf.subject_alt_names.clear(), Err(Reason::PeerUntrusted)).await;
    let dns = |leaf: &mut CertificateParams| {
        leaf.subject_alt_names = vec![SanType::DnsName("alice.a.test".try_into().unwrap())];
    };
    check_leaf(dns, Err(Reason::PeerUntrusted)).await;
}

#[tokio::test]
async fn other_shapes_of_uri_are_refused() {
    for text in [
        "spiffe://a.test",
        "spiffe://a.test/ns/shop/sa/alice/",
        "spiffe://a.test/ns/shop/sa/bob/../alice",
        "spiffe://a.test/ns/shop/sa/%61lice",
        "spiffe://A.test/ns/shop/sa/alice",
        "spiffe://a.test:8080/ns/shop/sa/alice",
        "spiffe://a.test/ns/shop/sa/alice?x",
        "https://a.test/ns/shop/sa/alice",
    ] {
        check_leaf(|leaf| leaf.subject_alt_names = vec![uri(text)], Err(Reason::PeerUntrusted)).await;
    }
    let long = format!("spiffe://a.test/ns/shop/sa/{}", "a".repeat(2048));
    check_leaf(|leaf| leaf.subject_alt_names = vec![uri(&long)], Err(Reason::PeerUntrusted)).await;
}

#[tokio::test]
async fn an_expired_leaf_is_refused_as_such() {
    let expired = |leaf: &mut CertificateParams| {
        leaf.not_before = date_time_ymd(2020, 1, 1);
        leaf.not_after = date_time_ymd(2021, 1, 1);
    };
    check_leaf(expired, Err(Reason::PeerExpired)).await;
}

#[tokio::test]
async fn a_leaf_from_the_future_is_refused() {
    check_leaf(|leaf| leaf.not_before = date_time_ymd(3000, 1, 1), Err(Reason::PeerNotYetValid)).await;
}

#[tokio::test]
async fn a_ca_as_leaf_is_refused() {
    let ca = |leaf: &mut CertificateParams| leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    check_leaf(ca, Err(Reason::PeerUntrusted)).await;
    let signs = |leaf: &mut CertificateParams| leaf.key_usages.push(KeyUsagePurpose::KeyCertSign);
    check_leaf(signs, Err(Reason::PeerUntrusted)).await;
    let revokes = |leaf: &mut CertificateParams| leaf.key_usages.push(KeyUsagePurpose::CrlSign);
    check_leaf(revokes, Err(Reason::PeerUntrusted)).await;
}

#[tokio::test]
async fn key_usage_must_say_digital_signature() {
    check_leaf(|leaf| leaf.key_usages.clear(), Err(Reason::PeerUntrusted)).await;
    let other = |leaf: &mut CertificateParams| leaf.key_usages = vec![KeyUsagePurpose::KeyAgreement];
    check_leaf(other, Err(Reason::PeerUntrusted)).await;
}

#[tokio::test]
async fn extended_key_usage_is_for_both_sides_or_absent() {
    check_leaf(|leaf| leaf.extended_key_usages.clear(), Ok(ALICE)).await;
    let client_only =
        |leaf: &mut CertificateParams| leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    check_leaf(client_only, Err(Reason::PeerUntrusted)).await;
}

#[tokio::test]
async fn an_unknown_root_is_refused() {
    let (ours, theirs) = (TestAuthority::root("a"), TestAuthority::root("a"));
    let judged = bob_judges(&[bundle("a.test", &[&ours])], theirs.leaf(ALICE, |_| {})).await;
    assert_eq!(judged, Err(Reason::PeerUntrusted));
}

#[tokio::test]
async fn a_trust_domain_without_a_bundle_is_refused_as_such() {
    let root = TestAuthority::root("c");
    let judged = bob_judges(&[], root.leaf("spiffe://c.test/ns/shop/sa/alice", |_| {})).await;
    assert_eq!(judged, Err(Reason::PeerWrongDomain));
}

#[tokio::test]
async fn a_federated_root_cannot_vouch_for_another_domain() {
    let (ours, federated) = (TestAuthority::root("a"), TestAuthority::root("c"));
    let trust = [bundle("a.test", &[&ours]), bundle("c.test", &[&federated])];
    let own = bob_judges(&trust, federated.leaf("spiffe://c.test/ns/shop/sa/alice", |_| {})).await;
    assert_eq!(own, Ok("spiffe://c.test/ns/shop/sa/alice".to_owned()));
    assert_eq!(bob_judges(&trust, federated.leaf(ALICE, |_| {})).await, Err(Reason::PeerUntrusted));
}

#[tokio::test]
async fn an_intermediate_is_fine_unless_it_expired_or_goes_too_deep() {
    let root = TestAuthority::root("a");
    let trust = [bundle("a.test", &[&root])];
    let last = |ca: &mut CertificateParams| ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let cluster = root.below("cluster", last);
    assert_eq!(bob_judges(&trust, cluster.leaf(ALICE, |_| {})).await, Ok(ALICE.to_owned()));
    let deeper = cluster.below("rogue", |_| {});
    assert_eq!(bob_judges(&trust, deeper.leaf(ALICE, |_| {})).await, Err(Reason::PeerUntrusted));
    let expired = root.below("old", |ca| ca.not_after = date_time_ymd(2020, 1, 1));
    assert_eq!(bob_judges(&trust, expired.leaf(ALICE, |_| {})).await, Err(Reason::PeerExpired));
}

#[tokio::test]
async fn a_leaf_cannot_sign_another() {
    let root = TestAuthority::root("a");
    let key = rcgen::KeyPair::generate().unwrap();
    let chain = root.leaf_for(&key, ALICE, |_| {});
    let rogue = TestAuthority { issuer: rcgen::Issuer::new(leaf_params(ALICE), key), chain };
    assert_eq!(
        bob_judges(&[bundle("a.test", &[&root])], rogue.leaf(BOB, |_| {})).await,
        Err(Reason::PeerUntrusted)
    );
}

#[tokio::test]
async fn a_long_chain_is_refused_before_any_work() {
    let root = TestAuthority::root("a");
    let (key, mut chain) = root.leaf(ALICE, |_| {});
    chain.resize(100, root.root_der());
    assert_eq!(bob_judges(&[bundle("a.test", &[&root])], (key, chain)).await, Err(Reason::PeerUntrusted));
}

#[tokio::test]
async fn without_a_certificate_there_is_no_connection_unless_only_requested() {
    let root = TestAuthority::root("a");
    let bob = Identity::new(vec![bundle("a.test", &[&root])]);
    bob.install(root.svid(BOB));
    let stranger = Identity::new(vec![bundle("a.test", &[&root])]);
    let client = || stranger.client_config(Expect::OneOf(vec![id(BOB)]), &[]);
    let (server, _) = handshake(bob.server_config(Clients::Required, &[]), client()).await;
    assert_eq!(refusal(&server.unwrap_err()), Reason::NoPeerCertificate);
    let (server, answered) = handshake(bob.server_config(Clients::Requested, &[]), client()).await;
    assert!(server.unwrap().get_ref().1.peer_certificates().is_none() && answered.is_ok());
    let expired = root.leaf(ALICE, |leaf| leaf.not_after = date_time_ymd(2020, 1, 1));
    let (server, _) = handshake(bob.server_config(Clients::Requested, &[]), forged(&client(), expired)).await;
    assert_eq!(refusal(&server.unwrap_err()), Reason::PeerExpired);
}

#[tokio::test]
async fn an_expired_certificate_is_let_in_for_its_renewal_and_proves_nothing_else() {
    let root = TestAuthority::root("a");
    let bob = Identity::new(vec![bundle("a.test", &[&root])]);
    bob.install(root.svid(BOB));
    let past = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    };
    // As after an outage: who signed it has expired too.
    let signer = root.below("cluster", past);
    let verify_chain = async |leaf: (Key, Vec<Vec<u8>>)| {
        let client = forged(&bob.client_config(Expect::OneOf(vec![id(BOB)]), &[]), leaf);
        let (server, _) = handshake(bob.server_config(Clients::Renewing, &[]), client).await;
        let server = server.map_err(|error| refusal(&error))?;
        let shown = server.get_ref().1.peer_certificates().unwrap();
        assert_eq!(bob.proof(shown).is_some(), matches!(bob.shown(shown), Some(Shown::Valid(_))));
        Ok::<_, Reason>(bob.shown(shown))
    };
    let Ok(Some(Shown::Expired(proof))) = verify_chain(signer.leaf(ALICE, past)).await else {
        panic!("not let in")
    };
    assert_eq!(proof.id.to_string(), ALICE);
    assert!(matches!(verify_chain(root.leaf(ALICE, |_| {})).await, Ok(Some(Shown::Valid(_)))));
    // All else is judged as ever.
    let other = TestAuthority::root("a");
    assert_eq!(verify_chain(other.leaf(ALICE, past)).await, Err(Reason::PeerExpired));
    assert_eq!(verify_chain(signer.leaf(ALICE, |_| {})).await, Err(Reason::PeerExpired));
    let future = |leaf: &mut CertificateParams| leaf.not_before = date_time_ymd(3000, 1, 1);
    assert_eq!(verify_chain(root.leaf(ALICE, future)).await, Err(Reason::PeerNotYetValid));
    let (_, chain) = root.leaf(ALICE, past);
    assert!(verify_chain((Key::generate().unwrap(), chain)).await.is_err());
    assert_eq!(bob.outside_validity().not_yet_valid, 1);
    assert_eq!(bob.outside_validity().expired, 2);
    // A server that renews nothing takes none of them.
    let client = forged(&bob.client_config(Expect::OneOf(vec![id(BOB)]), &[]), root.leaf(ALICE, past));
    let (server, _) = handshake(bob.server_config(Clients::Required, &[]), client).await;
    let error = server.unwrap_err();
    assert_eq!(refusal(&error), Reason::PeerExpired);
    let outside = crate::outside_validity(&error).unwrap();
    assert!(outside.to_string().starts_with("the certificate expired at 2021-01-01T00:00:00Z"), "{outside}");
}

#[tokio::test]
async fn a_clock_behind_says_so_with_both_times() {
    let root = TestAuthority::root("a");
    let behind = UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let alice = Identity::new(vec![bundle("a.test", &[&root])]).with_wall(move || behind);
    let bob = Identity::new(vec![bundle("a.test", &[&root])]);
    let (key, chain) = root.leaf(BOB, |leaf| leaf.not_before = date_time_ymd(2020, 1, 1));
    bob.install(Svid::new(key, chain).unwrap());
    let client = alice.client_config(Expect::OneOf(vec![id(BOB)]), &[]);
    let (_, answered) = handshake(bob.server_config(Clients::None, &[]), client).await;
    let error = answered.unwrap_err();
    assert_eq!(refusal(&error), Reason::PeerNotYetValid);
    let text = crate::outside_validity(&error).unwrap().to_string();
    for part in ["valid from 2020-01-01T00:00:00Z", "says 2001-09-09T01:46:40Z", "days earlier", "NTP"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(alice.outside_validity().not_yet_valid, 1);
}

#[tokio::test]
async fn a_certificate_without_its_key_is_refused() {
    let root = TestAuthority::root("a");
    let (_, chain) = root.leaf(ALICE, |_| {});
    let stolen = (Key::generate().unwrap(), chain);
    assert!(bob_judges(&[bundle("a.test", &[&root])], stolen).await.is_err());
}

/// A client that expects `expect` calls a server that shows `shown`, signed below a root or not.
async fn check_expect(root: &TestAuthority, shown: &str, expect: Expect, expected: Result<(), Reason>) {
    let server = Identity::new(vec![bundle("a.test", &[root])]);
    server.install(root.svid(shown));
    let client = Identity::new(vec![bundle("a.test", &[root])]);
    let (_, answered) =
        handshake(server.server_config(Clients::Requested, &[]), client.client_config(expect, &[])).await;
    assert_eq!(answered.map(|_| ()).map_err(|error| refusal(&error)), expected, "{shown}");
}

#[tokio::test]
async fn a_client_accepts_only_whom_it_expects() {
    let root = TestAuthority::root("a");
    check_expect(&root, BOB, Expect::OneOf(vec![id(ALICE), id(BOB)]), Ok(())).await;
    check_expect(&root, BOB, Expect::OneOf(vec![id(ALICE)]), Err(Reason::PeerUntrusted)).await;
    check_expect(&root, BOB, Expect::OneOf(vec![]), Err(Reason::PeerUntrusted)).await;
}

#[tokio::test]
async fn a_pinned_root_admits_the_control_plane_and_nobody_else() {
    let root = TestAuthority::root("a");
    let cluster = root.below("cluster", |_| {});
    let hash = |der: &[u8]| <[u8; 32]>::try_from(digest::digest(&digest::SHA256, der).as_ref()).unwrap();
    let pin = Expect::PinnedRoot(hash(&root.root_der()));
    check_expect(&cluster, CONTROL, pin.clone(), Ok(())).await;
    check_expect(&cluster, BOB, pin, Err(Reason::PeerUntrusted)).await;
    check_expect(&cluster, CONTROL, Expect::PinnedRoot([7; 32]), Err(Reason::PeerUntrusted)).await;
}

#[tokio::test]
async fn who_holds_the_root_is_certified_by_it_alone() {
    const HOLDER: &str = "spiffe://a.test/ns/leno-system/sa/root";
    let root = TestAuthority::root("a");
    let west = root.below("west", of("west"));
    let pin = digest::digest(&digest::SHA256, &root.root_der()).as_ref().try_into().unwrap();
    let pin = Expect::PinnedHolder(pin);
    check_expect(&root, HOLDER, pin.clone(), Ok(())).await;
    check_expect(&root, HOLDER, Expect::OneOf(vec![id(HOLDER)]), Ok(())).await;
    for stranger in [CONTROL, BOB] {
        check_expect(&root, stranger, pin.clone(), Err(Reason::PeerUntrusted)).await;
    }
    check_expect(&root, HOLDER, Expect::PinnedHolder([7; 32]), Err(Reason::PeerUntrusted)).await;
    // A cluster that gives itself the name.
    for expect in [pin, Expect::OneOf(vec![id(HOLDER)])] {
        check_expect(&west, HOLDER, expect, Err(Reason::PeerUntrusted)).await;
    }
}

fn of(cluster: &str) -> impl FnOnce(&mut CertificateParams) {
    move |ca| ca.distinguished_name.push(DnType::OrganizationalUnitName, cluster)
}

#[tokio::test]
async fn a_control_plane_is_its_clusters_alone() {
    let root = TestAuthority::root("a");
    let (west, edge) = (root.below("west", of("west")), root.below("edge", of("edge")));
    let expect = || {
        let trust_domain = TrustDomain::parse("a.test").unwrap();
        Expect::Control { trust_domain, cluster: "west".into() }
    };
    check_expect(&west, CONTROL, expect(), Ok(())).await;
    check_expect(&west, BOB, expect(), Err(Reason::PeerUntrusted)).await;
    for other in [&edge, &root, &root.below("west", |_| {})] {
        check_expect(other, CONTROL, expect(), Err(Reason::PeerUntrusted)).await;
    }
}

#[tokio::test]
async fn a_federated_root_cannot_name_our_clusters() {
    let (ours, theirs) = (TestAuthority::root("a"), TestAuthority::root("b"));
    let trust = || vec![bundle("a.test", &[&ours]), bundle("b.test", &[&theirs])];
    let server = Identity::new(trust());
    server.install(theirs.below("west", of("west")).svid("spiffe://b.test/ns/leno-system/sa/control"));
    for (domain, expected) in [("a.test", Err(Reason::PeerUntrusted)), ("b.test", Ok(()))] {
        let trust_domain = TrustDomain::parse(domain).unwrap();
        let expect = Expect::Control { trust_domain, cluster: "west".into() };
        let client = Identity::new(trust()).client_config(expect, &[]);
        let (_, answered) = handshake(server.server_config(Clients::Requested, &[]), client).await;
        assert_eq!(answered.map(|_| ()).map_err(|error| refusal(&error)), expected, "{domain}");
    }
}

#[tokio::test]
async fn only_the_root_vouches_for_the_management_plane() {
    const MANAGER: &str = "spiffe://a.test/ns/leno-system/sa/manager";
    let root = TestAuthority::root("a");
    let expect = || Expect::OneOf(vec![id(MANAGER)]);
    check_expect(&root, MANAGER, expect(), Ok(())).await;
    let west = root.below("west", of("west"));
    check_expect(&west, MANAGER, expect(), Err(Reason::PeerUntrusted)).await;
}

#[test]
fn the_voucher_is_who_signed_and_not_who_stands_first() {
    let root = TestAuthority::root("a");
    let (west, edge) = (root.below("west", of("west")), root.below("edge", of("edge")));
    let identity = Identity::new(vec![bundle("a.test", &[&root])]);
    let proof = |chain: Vec<Vec<u8>>| {
        let chain: Vec<_> = chain.into_iter().map(CertificateDer::from).collect();
        identity.proof(&chain).map(|proof| proof.voucher)
    };
    let own = edge.leaf(CONTROL, |_| {}).1;
    assert_eq!(proof(own.clone()), Some(Voucher::Cluster("edge".into())));
    let borrowed = vec![own[0].clone(), west.chain[0].clone(), own[1].clone(), own[2].clone()];
    assert_eq!(proof(borrowed), Some(Voucher::Cluster("edge".into())));
    // Its own words count for nothing.
    let boasting = edge.leaf(CONTROL, of("west")).1;
    assert_eq!(proof(boasting), Some(Voucher::Cluster("edge".into())));
    assert_eq!(proof(root.leaf(CONTROL, of("west")).1), Some(Voucher::Root));
    assert_eq!(proof(root.below("west", |_| {}).leaf(CONTROL, |_| {}).1), Some(Voucher::Nameless));
    assert_eq!(proof(vec![own[0].clone(), west.chain[0].clone()]), None);
    assert_eq!(proof(Vec::new()), None);
}

#[tokio::test]
async fn a_pinned_root_that_only_stands_in_the_chain_proves_nothing() {
    let (root, rogue) = (TestAuthority::root("a"), TestAuthority::root("a"));
    let (key, mut chain) = rogue.leaf(CONTROL, |_| {});
    chain.push(root.root_der());
    let server = Identity::new(vec![]);
    let mut config = (*server.server_config(Clients::None, &[])).clone();
    config.cert_resolver = Arc::new(single(key, chain));
    let pin = <[u8; 32]>::try_from(digest::digest(&digest::SHA256, &root.root_der()).as_ref()).unwrap();
    let client = Identity::new(vec![]).client_config(Expect::PinnedRoot(pin), &[]);
    let (_, answered) = handshake(Arc::new(config), client).await;
    assert_eq!(refusal(&answered.map(|_| ()).unwrap_err()), Reason::PeerUntrusted);
}

#[tokio::test]
async fn rotation_keeps_connections_and_shows_the_new_certificate_to_new_ones() {
    let (old, new) = (TestAuthority::root("old"), TestAuthority::root("new"));
    let both = || vec![bundle("a.test", &[&old, &new])];
    let (alice, bob) = (Identity::new(both()), Identity::new(both()));
    alice.install(old.svid(ALICE));
    bob.install(old.svid(BOB));
    let server = bob.server_config(Clients::Required, &[b"h2"]);
    let client = alice.client_config(Expect::OneOf(vec![id(BOB)]), &[b"h2"]);
    let (near, far) = handshake(server.clone(), client.clone()).await;
    let (mut near, mut far) = (near.unwrap(), far.unwrap());

    let fresh = new.svid(BOB);
    let leaf = fresh.chain()[0].clone();
    bob.install(fresh);
    let changes = bob.trust_changes();
    let mut same = bob.bundles();
    same.reverse();
    bob.set_trust(same);
    assert!(!changes.has_changed().unwrap());
    bob.set_trust(vec![bundle("a.test", &[&new])]);
    assert!(changes.has_changed().unwrap());
    alice.install(new.svid(ALICE));
    far.write_all(b"still here").await.unwrap();
    let mut read = [0; 10];
    near.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"still here");

    let (near, far) = handshake(server, client).await;
    assert!(near.is_ok());
    assert_eq!(far.unwrap().get_ref().1.peer_certificates().unwrap()[0], leaf);
}

#[tokio::test]
async fn every_handshake_is_a_full_one() {
    let root = TestAuthority::root("a");
    let bob = Identity::new(vec![bundle("a.test", &[&root])]);
    bob.install(root.svid(BOB));
    let server = bob.server_config(Clients::Required, &[]);
    let client = bob.client_config(Expect::OneOf(vec![id(BOB)]), &[]);
    for _ in 0..3 {
        let (near, far) = handshake(server.clone(), client.clone()).await;
        let (mut near, mut far) = (near.unwrap(), far.unwrap());
        assert_eq!(near.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Full));
        near.write_all(b"x").await.unwrap();
        assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 1);
    }
}

#[tokio::test]
async fn no_common_protocol_is_no_connection() {
    let root = TestAuthority::root("a");
    let bob = Identity::new(vec![bundle("a.test", &[&root])]);
    bob.install(root.svid(BOB));
    let server = bob.server_config(Clients::Required, &[b"h2"]);
    let client = bob.client_config(Expect::OneOf(vec![id(BOB)]), &[b"smtp"]);
    let (near, _) = handshake(server, client).await;
    assert_eq!(refusal(&near.unwrap_err()), Reason::PeerHandshake);
}

#[tokio::test]
async fn noise_is_a_failed_handshake() {
    let root = TestAuthority::root("a");
    let bob = Identity::new(vec![bundle("a.test", &[&root])]);
    bob.install(root.svid(BOB));
    let (near, mut far) = tokio::io::duplex(1024);
    let accept = TlsAcceptor::from(bob.server_config(Clients::Required, &[])).accept(near);
    let (accepted, _) = tokio::join!(accept, far.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"));
    assert_eq!(refusal(&accepted.map(|_| ()).unwrap_err()), Reason::PeerHandshake);
}

#[test]
fn a_key_and_another_keys_certificate_make_no_svid() {
    let root = TestAuthority::root("a");
    let (_, chain) = root.leaf(ALICE, |_| {});
    assert!(Svid::new(Key::generate().unwrap(), chain).is_err());
    assert!(Svid::new(Key::generate().unwrap(), vec![]).is_err());
    assert!(Svid::new(Key::generate().unwrap(), vec![vec![1, 2, 3]]).is_err());
}

#[test]
fn debug_output_tells_no_key() {
    let root = TestAuthority::root("a");
    let key = Key::generate().unwrap();
    assert_eq!(format!("{key:?}"), "Key(secret)");
    let bob = Identity::new(vec![]);
    bob.install(root.svid(BOB));
    let text = format!("{bob:?}");
    assert!(text.contains("bob") && !text.to_lowercase().contains("key"), "{text}");
}
