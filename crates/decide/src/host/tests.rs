//! One host, one spelling.

use super::authority;

fn check(given: &str, expected: Option<&str>) {
    assert_eq!(authority(given).as_deref(), expected, "{given}");
    if let Some(canonical) = expected {
        assert_eq!(authority(canonical).as_deref(), expected, "again: {canonical}");
    }
}

#[test]
fn every_spelling_of_a_host_becomes_one() {
    for spelling in ["Shop.Example.:080", "shop.example:80", "SHOP.EXAMPLE:00080"] {
        check(spelling, Some("shop.example:80"));
    }
    for spelling in ["[0:0::1]:080", "[::1]:80", "[::0001]:80"] {
        check(spelling, Some("[::1]:80"));
    }
    check("[FE80::A]", Some("[fe80::a]"));
    check("a_b-c.d.", Some("a_b-c.d"));
    check("192.0.2.1:8080", Some("192.0.2.1:8080"));
    check("v1.2a", Some("v1.2a"));
    check(&"a".repeat(253), Some(&"a".repeat(253)));
}

#[test]
fn what_has_no_reading_or_several_is_refused() {
    let bad = [
        "",
        ".",
        "a..b",
        ".a",
        "a..",
        "u@b",
        "a, b",
        "a/b",
        "a b",
        "a:",
        "a:0",
        "a:+80",
        "a:70000",
        "a:8a",
        "a:80:80",
        "[::1",
        "[::1]80",
        "[fe80::1%25eth0]",
        "[a]",
        "[]",
        "127.1",
        "0x7f.1",
        "1.2.3.0x4",
        "010.0.0.1",
        "2130706433",
        "1.2.3.4.5",
        "b\u{fc}cher.example",
    ];
    for text in bad {
        check(text, None);
    }
    check(&"a".repeat(254), None);
}
