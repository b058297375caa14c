#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::{AllowedUsers, LocalAsker};
use crate::limits::SigningRate;
use ca::issuer::serve::{Grant, Granting, SigningRefusal, Wish, WishedCertificate};
use ca::{GrantSubject, Root};
use model::TrustDomain;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn asker(uid: u32, further: &[u32]) -> LocalAsker {
    let trust_domain = TrustDomain::parse("a.test").unwrap();
    LocalAsker {
        uid,
        pid: Some(7),
        allowed: AllowedUsers::new(further),
        root: Root::generate(trust_domain, Duration::from_secs(3600)).unwrap(),
        grants: Arc::default(),
        rate: Arc::new(SigningRate::new(Instant::now())),
    }
}

fn wish(asker: &LocalAsker, certificate: WishedCertificate<'_>) -> Result<Grant, SigningRefusal> {
    asker.grant(Wish { certificate, token: None, csr: b"" })
}

#[test]
fn root_this_user_and_allowed_ones_are_granted_what_they_name() {
    let own = nix::unistd::geteuid().as_raw();
    for uid in [0, own, 4711] {
        let asker = asker(uid, &[4711]);
        let grant = wish(&asker, WishedCertificate::Intermediate(Some("west"))).unwrap();
        assert!(matches!(grant, Grant::Intermediate { cluster, .. } if cluster == "west"));
        let token = asker.make_grant(GrantSubject::Manager, None).unwrap();
        assert_eq!((token.root_pin(), token.subject), (asker.root.pin(), GrantSubject::Manager));
    }
    let leaf = wish(&asker(own, &[]), WishedCertificate::Leaf).unwrap();
    assert!(matches!(leaf, Grant::Leaf(id) if id.to_string() == "spiffe://a.test/ns/leno-system/sa/manager"));
    assert_eq!(asker(own, &[]).who(), format!("uid {own} pid 7"));
}

#[test]
fn others_and_bad_names_are_refused_with_what_to_do() {
    let stranger = asker(4711, &[4712]);
    let refused = [
        wish(&stranger, WishedCertificate::Leaf).unwrap_err(),
        wish(&stranger, WishedCertificate::Intermediate(Some("west"))).unwrap_err(),
        stranger.make_grant(GrantSubject::Manager, None).unwrap_err(),
    ];
    for refusal in refused {
        assert!(refusal.reason.contains("--allow-uid 4711"), "{}", refusal.reason);
    }
    let long = "x".repeat(65);
    let own = asker(0, &[]);
    for name in ["", "a b", "a\n", "ä", long.as_str()] {
        let wished = wish(&own, WishedCertificate::Intermediate(Some(name))).unwrap_err();
        let granted = own.make_grant(GrantSubject::Cluster(name.into()), None).unwrap_err();
        for refusal in [wished, granted] {
            assert!(refusal.reason.contains("is no name of a cluster"), "{}", refusal.reason);
        }
    }
    assert!(wish(&own, WishedCertificate::Intermediate(None)).is_err());
}
