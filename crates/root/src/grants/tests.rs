#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::{GRANTS_MAX, Grants, TTL_DEFAULT, TTL_MAX};
use ca::{GrantSubject, GrantToken, RefusalCode};
use std::time::{Duration, SystemTime};

fn west() -> GrantSubject {
    GrantSubject::Cluster("west".into())
}

#[test]
fn a_grant_is_spent_by_one_request_which_may_come_again() {
    let (grants, now) = (Grants::default(), SystemTime::now());
    let token = grants.make(west(), None, [1; 32], now).unwrap();
    assert_eq!((token.root_pin(), &token.subject), ([1; 32], &west()));
    let token = GrantToken::parse(&token.text()).unwrap();
    let code = |csr: &[u8], at| grants.spend(&token, csr, at).map_err(|refusal| refusal.code);
    assert_eq!(code(b"one", now), Ok(west()));
    assert_eq!(code(b"one", now), Ok(west()), "the answer may have been lost");
    assert_eq!(code(b"two", now), Err(RefusalCode::GrantSpent));
    assert_eq!(code(b"one", now + TTL_DEFAULT), Err(RefusalCode::GrantExpired));
    // Forgotten when the next one is made.
    grants.make(west(), None, [1; 32], now + TTL_DEFAULT).unwrap();
    assert_eq!(code(b"one", now), Err(RefusalCode::GrantInvalid));
}

#[test]
fn others_tokens_and_too_many_are_refused() {
    let (grants, now) = (Grants::default(), SystemTime::now());
    let foreign = Grants::default().make(west(), None, [1; 32], now).unwrap();
    let refusal = grants.spend(&foreign, b"csr", now).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::GrantInvalid);
    assert!(refusal.reason.contains("`leno root grant`"), "{}", refusal.reason);
    for _ in 0..GRANTS_MAX {
        grants.make(west(), Some(Duration::from_secs(60)), [1; 32], now).unwrap();
    }
    assert_eq!(grants.make(west(), None, [1; 32], now).unwrap_err().code, RefusalCode::TooMany);
    let later = now + Duration::from_secs(61);
    let long = grants.make(west(), Some(100 * TTL_MAX), [1; 32], later).unwrap();
    assert!(grants.spend(&long, b"csr", later + TTL_MAX).is_err(), "no grant lasts longer than a day");
}
