#![allow(clippy::unwrap_used)]
//! The rows of bad-inputs.md, section 2.2, as data.

use super::{canonical, pattern};
use model::Reason;
use proptest::prelude::*;

/// `given` is canonically `expected`; an empty `expected` means refused.
fn check(given: &str, expected: &str) {
    let expected = if expected.is_empty() { Err(Reason::BadPath) } else { Ok(expected.into()) };
    assert_eq!(canonical(given), expected, "{given:?}");
}

#[test]
fn slashes_run_together() {
    check("//admin", "/admin");
    check("/x//../admin", "/admin");
    check("/a///b", "/a/b");
    check("/admin/", "/admin/");
    check("/admin//", "");
    check("//", "/");
    check("", "/");
    check("*", "*");
    check("admin", "");
}

#[test]
fn escapes_have_one_spelling_and_hidden_slashes_are_refused() {
    check("/%61dmin", "/admin");
    check("/%41dmin", "/Admin");
    check("/a%2fb", "");
    check("/%2fadmin", "");
    check("/x%2f..%2fadmin", "");
    check("/%5cadmin", "");
    check("/\\admin", "");
    check("/caf%c3%a9", "/caf%C3%A9");
    check("/café", "/caf%C3%A9");
    check("/a%20b", "/a%20b");
    check("/a b", "");
    check("/a{b}|c", "/a%7Bb%7D%7Cc");
    check("/c++", "/c%2B%2B");
    check("/a%3Fb%23c%3Bd", "/a%3Fb%23c%3Bd");
    check("/100%25", "/100%25");
    check("/a%", "");
    check("/a%zz", "");
}

#[test]
fn dots_are_removed_after_one_decoding() {
    check("/x/../admin", "/admin");
    check("/x/%2e%2e/admin", "/admin");
    check("/./admin", "/admin");
    check("/../../admin", "/admin");
    check("/..;/admin", "/admin");
    check("/a/b/..", "/a/");
    check("/a/.", "/a/");
    check("/...", "/...");
    check("/%252e%252e/admin", "");
    check("/%25%32%65/admin", "");
    check("/%c0%ae", "");
    check("/%ff", "");
}

#[test]
fn controls_and_fragments_are_refused() {
    for bad in ["/admin%00", "/admin%00.png", "/admin%0d%0aX:1", "/admin\n", "/admin%7f"] {
        check(bad, "");
    }
    check("/admin#x", "");
    check("/#/../admin", "");
    check("/admin?x", "");
}

#[test]
fn parameters_are_taken_off() {
    check("/admin;x=y/action", "/admin/action");
    check("/x;/../admin", "/admin");
    check("/;a=b/admin", "/admin");
    check("/admin/;x", "/admin/");
    check("/a;%2f", "");
    check("/%c3;%a9", "");
}

#[test]
fn what_users_write_is_spelled_alike() {
    for (text, spelled) in [
        ("/a{b}", "/a%7Bb%7D"),
        ("/%7bx", "/%7Bx"),
        ("/a b", "/a%20b"),
        ("/100%", "/100%25"),
        ("/%61/", "/a/"),
    ] {
        assert_eq!(pattern(text), spelled);
    }
}

proptest! {
    #[test]
    fn canonical_is_idempotent(raw in "(/|//|/\\.|/\\.\\.|[a-c]|%[0-9a-fA-F]{2}|%25|;|[ -~]|é){0,12}") {
        let raw = format!("/{raw}");
        if let Ok(once) = canonical(&raw) {
            let twice = canonical(&once);
            prop_assert_eq!(twice.as_deref(), Ok(&*once), "from {:?}", raw);
            prop_assert!(once.starts_with('/') && !once.contains("//"));
            prop_assert!(!once.split('/').any(|segment| matches!(segment, "." | "..")));
            prop_assert!(once.bytes().all(|b| b.is_ascii_graphic() && !b"\\#?;".contains(&b)));
            let spelled = pattern(&once);
            prop_assert_eq!(&*spelled, &*once);
        }
    }
}
