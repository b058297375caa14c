#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::{AllowedUsers, LocalAsker};
use crate::limits::SigningRate;
use ca::issuer::serve::{Grant, Granting, Wish};
use model::TrustDomain;
use std::sync::Arc;
use std::time::Instant;

fn asker(uid: u32, further: &[u32]) -> LocalAsker {
    LocalAsker {
        uid,
        pid: Some(7),
        allowed: AllowedUsers::new(further),
        trust_domain: TrustDomain::parse("a.test").unwrap(),
        rate: Arc::new(SigningRate::new(Instant::now())),
    }
}

#[test]
fn root_this_user_and_allowed_ones_are_granted_what_they_name() {
    let own = nix::unistd::geteuid().as_raw();
    for uid in [0, own, 4711] {
        let grant = asker(uid, &[4711]).grant(Wish::Intermediate(Some("west"))).unwrap();
        assert!(matches!(grant, Grant::Intermediate { cluster, .. } if cluster == "west"));
    }
    let leaf = asker(own, &[]).grant(Wish::Leaf).unwrap();
    assert!(matches!(leaf, Grant::Leaf(id) if id.to_string() == "spiffe://a.test/ns/leno-system/sa/manager"));
    assert_eq!(asker(own, &[]).who(), format!("uid {own} pid 7"));
}

#[test]
fn others_and_bad_names_are_refused_with_what_to_do() {
    for wish in [Wish::Leaf, Wish::Intermediate(Some("west"))] {
        let refusal = asker(4711, &[4712]).grant(wish).unwrap_err();
        assert!(refusal.reason.contains("--allow-uid 4711"), "{}", refusal.reason);
    }
    let long = "x".repeat(65);
    for name in ["", "a b", "a\n", "ä", long.as_str()] {
        let refusal = asker(0, &[]).grant(Wish::Intermediate(Some(name))).unwrap_err();
        assert!(refusal.reason.contains("is no name of a cluster"), "{}", refusal.reason);
    }
    assert!(asker(0, &[]).grant(Wish::Intermediate(None)).is_err());
}
