#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::{GrantError, GrantSubject, GrantToken};
use crate::JoinToken;

fn grant(subject: GrantSubject) -> GrantToken {
    GrantToken::generate([7; 32], 1_800_000_000, subject).unwrap()
}

#[test]
fn a_grant_survives_its_text_and_tells_no_secret() {
    for subject in [GrantSubject::Cluster("west.example-1".into()), GrantSubject::Manager] {
        let token = grant(subject);
        let text = token.text();
        assert_eq!(GrantToken::parse(&format!(" {text}\n")).unwrap(), token);
        assert!(token.is_hash(&GrantToken::parse(&text).unwrap().hash()));
        assert!(!token.is_hash(&grant(GrantSubject::Manager).hash()));
        let secret = text.split('.').nth(2).unwrap();
        assert!(!format!("{token:?}").contains(secret) && !token.hash().contains(secret));
    }
}

#[test]
fn other_texts_are_refused_with_what_to_do() {
    let good = grant(GrantSubject::Cluster("west".into())).text();
    let cut = good.trim_end_matches("west");
    let texts =
        ["", "lg1", "x", cut, &good.replace("cluster.west", "everybody"), &good.replacen('.', "..", 1)];
    for text in texts {
        assert_eq!(GrantToken::parse(text), Err(GrantError::Malformed), "{text}");
    }
    assert_eq!(GrantToken::parse(&good.replace(".18", ".x18")), Err(GrantError::Malformed));
    assert_eq!(GrantToken::parse(&"a".repeat(10_000)), Err(GrantError::Malformed));
    assert_eq!(GrantToken::parse(&good.replacen("lg1", "lg2", 1)), Err(GrantError::Version));
    let join = JoinToken::generate([7; 32]).unwrap().text();
    assert_eq!(GrantToken::parse(&join), Err(GrantError::JoinToken));
}
