#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::{JoinToken, JoinTokenError};

#[test]
fn a_token_survives_its_text() {
    let token = JoinToken::generate([7; 32]).unwrap();
    let text = token.text();
    assert_eq!(text.len(), 3 + 1 + 16 + 1 + 32 + 1 + 64);
    assert_eq!(JoinToken::parse(&format!(" {text}\n")).unwrap(), token);
    assert!(token.is_hash(&JoinToken::parse(&text).unwrap().hash()));
    assert!(!token.is_hash(&JoinToken::generate([7; 32]).unwrap().hash()));
    assert!(!token.is_hash(""));
}

#[test]
fn what_is_kept_and_printed_tells_no_secret() {
    let token = JoinToken::generate([7; 32]).unwrap();
    let text = token.text();
    let secret = text.split('.').nth(2).unwrap();
    assert!(!format!("{token:?}").contains(secret) && !token.hash().contains(secret));
}

#[test]
fn other_texts_are_refused() {
    let good = JoinToken::generate([7; 32]).unwrap().text();
    for text in ["", "lj1", "lj1...", "x.y.z.w", "lj1.+1.é.", &good[..good.len() - 1], &format!("{good}0")] {
        assert_eq!(JoinToken::parse(text), Err(JoinTokenError::Malformed), "{text}");
    }
    assert_eq!(JoinToken::parse(&good.replacen("lj1", "lj2", 1)), Err(JoinTokenError::Version));
    assert_eq!(JoinToken::parse(&"a".repeat(10_000)), Err(JoinTokenError::Malformed));
    let signs = good.replacen(&good[4..6], "+1", 1);
    assert_eq!(JoinToken::parse(&signs), Err(JoinTokenError::Malformed));
}
