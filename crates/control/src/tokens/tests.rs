#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use apiserver::MemoryStore;
use std::sync::Mutex;
use std::time::{Instant, SystemTime};

/// A clock that stands until it is moved.
pub(crate) struct Still(Mutex<SystemTime>);

impl Still {
    pub(crate) fn at(wall: SystemTime) -> Self {
        Self(Mutex::new(wall))
    }
}

impl Clock for Still {
    fn now(&self) -> Instant {
        Instant::now()
    }
    fn wall(&self) -> SystemTime {
        *self.0.lock().unwrap()
    }
}

fn tokens() -> (Tokens, Arc<Still>, Arc<MemoryStore>) {
    let clock = Arc::new(Still(Mutex::new(UNIX_EPOCH + Duration::from_secs(1_000_000))));
    let store = Arc::new(MemoryStore::new());
    (Tokens::new(store.clone(), clock.clone()), clock, store)
}

fn binding() -> Binding {
    Binding { namespace: "default".into(), group: "web".into() }
}

#[test]
fn a_token_is_good_once() {
    let (tokens, _, store) = tokens();
    let issued = tokens.issue(&binding(), [7; 32]).unwrap();
    assert!(issued.text.starts_with("lj1.") && issued.text.ends_with(&"07".repeat(32)), "{}", issued.text);
    let (first, second) = (tokens.check(&issued.text).unwrap(), tokens.check(&issued.text).unwrap());
    assert_eq!(first.binding, binding());
    tokens.spend(&first).unwrap();
    assert!(matches!(tokens.spend(&second), Err(TokenError::Spent)));
    assert!(matches!(tokens.check(&issued.text), Err(TokenError::Spent)));
    let secret = issued.text.split('.').nth(2).unwrap();
    let rows = store.rows(Table::Tokens).unwrap();
    assert!(
        rows.iter().all(|row| !String::from_utf8_lossy(&row.value).contains(secret)),
        "the secret is stored"
    );
}

#[test]
fn a_token_expires_and_is_forgotten() {
    let (tokens, clock, store) = tokens();
    let issued = tokens.issue(&binding(), [7; 32]).unwrap();
    *clock.0.lock().unwrap() += TTL;
    assert!(matches!(tokens.check(&issued.text), Err(TokenError::Expired)));
    // A spent one is no different: its own expiry refuses it as well.
    let spent = tokens.issue(&binding(), [7; 32]).unwrap();
    tokens.spend(&tokens.check(&spent.text).unwrap()).unwrap();
    *clock.0.lock().unwrap() += TTL;
    tokens.issue(&binding(), [7; 32]).unwrap();
    assert_eq!(store.rows(Table::Tokens).unwrap().len(), 1);
}

#[test]
fn other_texts_are_no_tokens() {
    let (tokens, _, _) = tokens();
    let good = tokens.issue(&binding(), [7; 32]).unwrap().text;
    let wrong_secret = {
        let mut parts: Vec<_> = good.split('.').map(str::to_owned).collect();
        parts[2] = "0".repeat(32);
        parts.join(".")
    };
    for text in ["", "lj1", &wrong_secret, &format!("{good}.x"), &good[1..], &"a".repeat(10_000)] {
        assert!(matches!(tokens.check(text), Err(TokenError::Invalid)), "{text}");
    }
}
