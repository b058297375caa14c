#![allow(clippy::unwrap_used, clippy::panic)]

use super::{Token, TokenError};

#[test]
fn a_token_survives_its_text() {
    let token = Token::generate([7; 32]).unwrap();
    let text = token.text();
    assert_eq!(text.len(), 3 + 1 + 16 + 1 + 32 + 1 + 64);
    assert_eq!(Token::parse(&format!(" {text}\n")).unwrap(), token);
    assert!(token.is_hash(&Token::parse(&text).unwrap().hash()));
    assert!(!token.is_hash(&Token::generate([7; 32]).unwrap().hash()));
    assert!(!token.is_hash(""));
}

#[test]
fn what_is_kept_and_printed_tells_no_secret() {
    let token = Token::generate([7; 32]).unwrap();
    let text = token.text();
    let secret = text.split('.').nth(2).unwrap();
    assert!(!format!("{token:?}").contains(secret) && !token.hash().contains(secret));
}

#[test]
fn other_texts_are_refused() {
    let good = Token::generate([7; 32]).unwrap().text();
    for text in ["", "lj1", "lj1...", "x.y.z.w", "lj1.+1.é.", &good[..good.len() - 1], &format!("{good}0")] {
        assert_eq!(Token::parse(text), Err(TokenError::Malformed), "{text}");
    }
    assert_eq!(Token::parse(&good.replacen("lj1", "lj2", 1)), Err(TokenError::Version));
    assert_eq!(Token::parse(&"a".repeat(10_000)), Err(TokenError::Malformed));
    let signs = good.replacen(&good[4..6], "+1", 1);
    assert_eq!(Token::parse(&signs), Err(TokenError::Malformed));
}
