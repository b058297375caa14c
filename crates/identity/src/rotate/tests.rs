#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::{
    Event, RETRY_WAIT_URGENT, SignedLeaf, renew_after, replace_after, retry_wait_max, run, superseded,
};
use crate::freshness::Freshness;
use crate::tests::{ALICE, BOB, bundle};
use crate::{Identity, Key, Svid};
use fixtures::pki::TestAuthority;
use rcgen::{CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, date_time_ymd};
use std::cell::Cell;
use std::future::ready;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// 2030-01-01.
const START: Duration = Duration::from_secs(1_893_456_000);
const DAY: Duration = Duration::from_secs(86_400);

fn two_days(leaf: &mut CertificateParams) {
    leaf.not_before = date_time_ymd(2030, 1, 1);
    leaf.not_after = date_time_ymd(2030, 1, 3);
}

#[test]
fn renewal_lies_between_two_fifths_and_half_of_a_life() {
    let at = |s| UNIX_EPOCH + Duration::from_secs(s);
    let check = |now, jitter, expected| {
        assert_eq!(renew_after(at(1000), at(2000), at(now), jitter).as_secs_f64().round(), expected);
    };
    check(1000, 0.0, 400.0);
    check(1000, 1.0, 500.0);
    check(1450, 1.0, 50.0);
    check(1450, 0.0, 0.0);
    check(9999, 0.5, 0.0);
    check(1000, f64::INFINITY, 500.0);
    assert_eq!(renew_after(at(2000), at(1000), at(3000), 0.5), Duration::ZERO);
}

#[test]
fn the_last_fifth_of_a_life_is_told_of() {
    let at = |s| UNIX_EPOCH + Duration::from_secs(s);
    let check = |now, expected| assert_eq!(Freshness::of(at(1000), at(2000), at(now)), expected, "{now}");
    check(1000, Freshness::Good);
    check(1799, Freshness::Good);
    check(1800, Freshness::ExpiresSoon(Duration::from_secs(200)));
    check(2000, Freshness::ExpiresSoon(Duration::ZERO));
    check(2001, Freshness::Expired(Duration::from_secs(1)));
}

#[test]
fn a_connection_is_replaced_shortly_before_its_certificate_ends() {
    let at = |s| UNIX_EPOCH + Duration::from_secs(s);
    let check = |now, jitter, expected| {
        assert_eq!(replace_after(at(1000), at(2000), at(now), jitter).as_secs_f64().round(), expected);
    };
    check(1000, 0.0, 800.0);
    check(1000, 1.0, 900.0);
    check(1850, 1.0, 50.0);
    check(9999, 0.5, 0.0);
    assert_eq!(replace_after(at(2000), at(1000), at(3000), 0.5), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_newer_certificate_is_kept() {
    let root = TestAuthority::root("a");
    let identity = Identity::new(vec![bundle("a.test", &[&root])]);
    let install = |days: u8| {
        let key = Key::generate().unwrap();
        let chain = root.leaf_for(&key, ALICE, |leaf| {
            leaf.not_before = date_time_ymd(2030, 1, 1);
            leaf.not_after = date_time_ymd(2030, 1, 1 + days);
        });
        identity.install(Svid::new(key, chain).unwrap());
    };
    install(2);
    let began = Instant::now();
    let wall = move || SystemTime::UNIX_EPOCH + START + began.elapsed();
    let mut replaced = std::pin::pin!(superseded(&identity, identity.svid(), wall, 0.0));
    // Not even when it has expired; a newer one that ends no later is no better.
    assert!(tokio::time::timeout(DAY, &mut replaced).await.is_err());
    install(2);
    assert!(tokio::time::timeout(2 * DAY, &mut replaced).await.is_err());
    install(4);
    replaced.await;
    // With a newer one at hand it waits for its time.
    let replaced = superseded(&identity, identity.svid(), wall, 1.0);
    install(9);
    let asked = began.elapsed();
    replaced.await;
    assert!(asked < 4 * DAY * 9 / 10 && began.elapsed() >= 4 * DAY * 9 / 10);
}

#[test]
fn attempts_come_closer_as_expiry_does() {
    let check = |left_s, expected_s| {
        assert_eq!(retry_wait_max(Duration::from_secs(left_s)), Duration::from_secs(expected_s));
    };
    check(100_000, 60);
    check(300, 30);
    check(20, 5);
    check(0, 5);
}

#[tokio::test(start_paused = true)]
async fn renews_at_half_life_after_failed_attempts_and_a_stranger() {
    let root = TestAuthority::root("a");
    let identity = Identity::new(vec![bundle("a.test", &[&root])]);
    let key = Key::generate().unwrap();
    let chain = root.leaf_for(&key, ALICE, two_days);
    identity.install(Svid::new(key, chain).unwrap());
    let first = identity.svid().unwrap().chain()[0].clone();

    let began = Instant::now();
    let wall = move || SystemTime::UNIX_EPOCH + START + began.elapsed();
    let attempts = Cell::new(0);
    let sign = |csr: Vec<u8>| {
        attempts.set(attempts.get() + 1);
        let request = CertificateSigningRequestParams::from_der(&csr.into()).unwrap();
        let id = if attempts.get() == 2 { BOB } else { ALICE };
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![rcgen::SanType::URI(id.try_into().unwrap())];
        params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
        two_days(&mut params);
        let leaf = params.signed_by(&request.public_key, &root.issuer).unwrap();
        ready(match attempts.get() {
            1 => Err(std::io::Error::other("nobody there")),
            _ => Ok(SignedLeaf { chain: vec![leaf.der().to_vec()], bundles: vec![] }),
        })
    };
    let (events_tx, mut events) = mpsc::unbounded_channel();
    let rotating = run(identity.clone(), sign, wall, || 1.0, |event| events_tx.send(event).unwrap());
    let watching = async {
        let Some(Event::Failed { error, expired: false, .. }) = events.recv().await else {
            panic!("not failed")
        };
        assert_eq!(error, "nobody there");
        assert!(began.elapsed() >= DAY && began.elapsed() < DAY + Duration::from_secs(1));
        let Some(Event::Failed { error, .. }) = events.recv().await else { panic!("not failed") };
        assert!(error.contains("bob"), "{error}");
        let Some(Event::Renewed { .. }) = events.recv().await else { panic!("not renewed") };
        assert_ne!(identity.svid().unwrap().chain()[0], first);
    };
    tokio::select! {
        _ = rotating => {}
        () = watching => {}
    }
}

#[tokio::test(start_paused = true)]
async fn goes_on_asking_after_expiry() {
    let root = TestAuthority::root("a");
    let identity = Identity::new(vec![]);
    let key = Key::generate().unwrap();
    let chain = root.leaf_for(&key, ALICE, two_days);
    identity.install(Svid::new(key, chain).unwrap());
    let began = Instant::now();
    let wall = move || SystemTime::UNIX_EPOCH + START + began.elapsed();
    let (events_tx, mut events) = mpsc::unbounded_channel();
    let sign = |_| ready(Err::<SignedLeaf, _>("no"));
    let rotating = run(identity.clone(), sign, wall, || 0.0, |event| events_tx.send(event).unwrap());
    let watching = async {
        while !matches!(events.recv().await, Some(Event::Failed { expired: true, .. })) {}
        assert!(began.elapsed() >= 2 * DAY);
        let Some(Event::Failed { retry_after, .. }) = events.recv().await else { panic!("not failed") };
        assert!(retry_after <= RETRY_WAIT_URGENT, "{retry_after:?}");
    };
    tokio::select! {
        _ = rotating => {}
        () = watching => {}
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_would_believe_is_not_installed() {
    let (root, other) = (TestAuthority::root("a"), TestAuthority::root("b"));
    let identity = Identity::new(vec![bundle("a.test", &[&root])]);
    let key = Key::generate().unwrap();
    let chain = root.leaf_for(&key, ALICE, two_days);
    identity.install(Svid::new(key, chain).unwrap());
    let began = Instant::now();
    let wall = move || SystemTime::UNIX_EPOCH + START + began.elapsed();
    let attempts = Cell::new(0);
    let sign = |csr: Vec<u8>| {
        attempts.set(attempts.get() + 1);
        let request = CertificateSigningRequestParams::from_der(&csr.into()).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![rcgen::SanType::URI(ALICE.try_into().unwrap())];
        params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
        two_days(&mut params);
        let mut bundles = vec![];
        let signer = match attempts.get() {
            1 => &other,
            2 => {
                params.not_after = date_time_ymd(2030, 1, 1) + Duration::from_secs(60);
                &root
            }
            3 => {
                params.distinguished_name.push(DnType::CommonName, "west/default/sibling");
                &root
            }
            4 => {
                bundles = vec![bundle("a.test", &[&other])];
                &root
            }
            _ => &root,
        };
        let leaf = params.signed_by(&request.public_key, &signer.issuer).unwrap();
        ready(Ok::<_, std::io::Error>(SignedLeaf { chain: vec![leaf.der().to_vec()], bundles }))
    };
    let (events_tx, mut events) = mpsc::unbounded_channel();
    let rotating = run(identity.clone(), sign, wall, || 1.0, |event| events_tx.send(event).unwrap());
    let watching = async {
        for cause in [
            "UnknownIssuer",
            "the certificate expired at 2030-01-01T00:01:00Z",
            "west/default/sibling",
            "UnknownIssuer",
        ] {
            let Some(Event::Failed { error, .. }) = events.recv().await else {
                panic!("not failed: {cause}")
            };
            assert!(error.contains(cause), "{error}");
            assert_eq!(identity.bundles(), [bundle("a.test", &[&root])]);
        }
        let Some(Event::Renewed { .. }) = events.recv().await else { panic!("not renewed") };
    };
    tokio::select! {
        _ = rotating => {}
        () = watching => {}
    }
}
