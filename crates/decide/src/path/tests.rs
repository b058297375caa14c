#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
//! What is forwarded, in every mode; the rows of bad-inputs.md, section 2.2, against applications.

mod applications;
mod bypass;

use super::{Path, pattern, prefix_in, read};
use model::Reason;
use model::settings::{EscapedSlashesAction, Normalization, PathNormalization};
use proptest::prelude::*;

const NORMALIZATIONS: [Normalization; 4] = [
    Normalization::None,
    Normalization::Base,
    Normalization::MergeSlashes,
    Normalization::DecodeAndMergeSlashes,
];
const ACTIONS: [EscapedSlashesAction; 4] = [
    EscapedSlashesAction::KeepUnchanged,
    EscapedSlashesAction::RejectRequest,
    EscapedSlashesAction::UnescapeAndRedirect,
    EscapedSlashesAction::UnescapeAndForward,
];

fn modes() -> impl Iterator<Item = PathNormalization> {
    NORMALIZATIONS.into_iter().flat_map(|normalization| {
        ACTIONS.map(|escaped_slashes| PathNormalization { normalization, escaped_slashes })
    })
}

fn by(normalization: Normalization) -> PathNormalization {
    PathNormalization { normalization, ..PathNormalization::default() }
}

/// What is forwarded of `given` by each normalisation, in their order; an empty text means refused.
fn check(given: &str, expected: [&str; 4]) {
    for (normalization, expected) in NORMALIZATIONS.into_iter().zip(expected) {
        let forwarded = read(given, by(normalization)).map(|path| path.forwarded.into_owned());
        let expected = if expected.is_empty() { Err(Reason::BadPath) } else { Ok(expected.to_owned()) };
        assert_eq!(forwarded, expected, "{given:?} by {normalization:?}");
    }
}

/// The same by each.
fn check_all(given: &str, expected: &str) {
    check(given, [expected; 4]);
}

#[test]
fn what_is_not_normalised_is_forwarded_byte_for_byte() {
    for path in [
        "/",
        "/a/b/",
        "*",
        "/cart;jsessionid=8F2A/items",
        "/map;lat=50;long=20/tiles",
        "/discount-100%25abc",
        "/caf%c3%a9",
        "/caf%C3%a9",
        "/café",
        "/%E9",
        "/a%20b+c",
        "/a%3Bb%3fc%23d",
        "/sign%28me%29%2C%21%2a%27",
        "/(me),!*'$&=:@",
        "/a{b}|c\"^",
        "/ADMIN",
        "/...",
        "/a%252Fb",
    ] {
        check_all(path, path);
    }
    check_all("", "/");
    let decoded = "/projects/group/project";
    let kept = "/projects/group%2Fproject";
    check(kept, [kept, kept, kept, decoded]);
    check(
        "/@scope%2fpackage",
        ["/@scope%2fpackage", "/@scope%2fpackage", "/@scope%2fpackage", "/@scope/package"],
    );
    check(
        "/api/queues/%2F/q",
        ["/api/queues/%2F/q", "/api/queues/%2F/q", "/api/queues/%2F/q", "/api/queues/q"],
    );
}

#[test]
fn each_mode_does_what_the_one_before_does_and_more() {
    check("/%61%7e%2D%5f%2Ex", ["/%61%7e%2D%5f%2Ex", "/a~-_.x", "/a~-_.x", "/a~-_.x"]);
    check("/x/../admin", ["/x/../admin", "/admin", "/admin", "/admin"]);
    check("/x/%2e%2E/admin", ["/x/%2e%2E/admin", "/admin", "/admin", "/admin"]);
    check("/../../a/./b/..", ["/../../a/./b/..", "/a/", "/a/", "/a/"]);
    check("/a/.", ["/a/.", "/a/", "/a/", "/a/"]);
    check("//a///b//", ["//a///b//", "//a///b//", "/a/b/", "/a/b/"]);
    check("/x//../admin", ["/x//../admin", "/x/admin", "/x/admin", "/x/admin"]);
    check("/x%2f..%2Fadmin", ["/x%2f..%2Fadmin", "/x%2f..%2Fadmin", "/x%2f..%2Fadmin", "/admin"]);
    check("/x%5c..%5Cadmin", ["", "", "", "/admin"]);
    check_all("/..;/admin", "/..;/admin");
}

#[test]
fn what_has_no_sound_reading_is_refused_in_every_mode() {
    for path in [
        "admin",
        "/\\admin",
        "/admin#x",
        "/#/../admin",
        "/admin?x",
        "/a b",
        "/admin\n",
        "/admin%00",
        "/admin%00.png",
        "/admin%0d%0aX:1",
        "/admin%7f",
        "/a%",
        "/a%zz",
        "/a%2",
        "/a%u002e",
        "/%c0%ae",
        "/%c0%af",
        "/%e0%80%af",
        "/%f0%80%80%af",
        "/%25c0%25af",
        "/admin%2500.png",
        "/%25252561",
    ] {
        check_all(path, "");
    }
}

#[test]
fn encoded_slashes_are_treated_as_their_action_says() {
    let check = |given: &str, expected: [&str; 4]| {
        for (escaped_slashes, expected) in ACTIONS.into_iter().zip(expected) {
            let how = PathNormalization { escaped_slashes, ..PathNormalization::default() };
            let told = read(given, how).map_or_else(
                |_| String::new(),
                |path| format!("{}{}", if path.is_redirected { "307 " } else { "" }, path.forwarded),
            );
            assert_eq!(told, expected, "{given:?} by {escaped_slashes:?}");
        }
    };
    check("/a%2Fb", ["/a%2Fb", "", "307 /a/b", "/a/b"]);
    check("/a%2f%2e.%5Cb", ["", "", "307 /b", "/b"]);
    check("/%2Fevil.example/", ["/%2Fevil.example/", "", "307 //evil.example/", "//evil.example/"]);
    check("/a/b", ["/a/b"; 4]);
    check("/a%252Fb", ["/a%252Fb"; 4]);
    // Without any other normalisation, too.
    let how = PathNormalization {
        normalization: Normalization::None,
        escaped_slashes: EscapedSlashesAction::UnescapeAndForward,
    };
    assert_eq!(read("/x%2F..%2Fadmin", how).unwrap().forwarded, "/x/../admin");
}

/// The readings by default; none: the path is its own.
fn readings(given: &str) -> Vec<String> {
    read(given, PathNormalization::default()).unwrap().readings
}

#[test]
fn what_is_not_odd_has_one_reading() {
    for path in ["/", "/a/b/", "/x/../a", "/a/./b", "/%61", "/(me),!*'$&=:@", "*", ""] {
        assert_eq!(readings(path), [""; 0], "{path}");
    }
    assert_eq!(readings("/caf%c3%a9"), ["/caf%C3%A9"]);
    assert_eq!(readings("/café"), ["/caf%C3%A9"]);
    assert_eq!(readings("/sign%28me%29"), ["/sign(me)"]);
    assert_eq!(readings("/a%20{b}"), ["/a%20%7Bb%7D"]);
    assert_eq!(readings("/%e9"), ["/%E9"]);
    assert_eq!(readings("/100%25"), [""; 0]);
}

#[test]
fn readings_are_what_applications_make_of_a_path() {
    let check = |given: &str, expected: &[&str]| {
        let mut found = readings(given);
        assert_eq!(
            found.first().map(String::as_str),
            expected.first().copied(),
            "the literal one of {given}"
        );
        let mut expected = expected.to_vec();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{given}");
    };
    check("/cart;id=1/items", &["/cart;id=1/items", "/cart/items"]);
    check("/a;x/b;y", &["/a;x/b;y", "/a/b", "/a;x/b"]);
    check("/a%2Fb", &["/a%2Fb", "/a/b"]);
    check("/a//b", &["/a//b", "/a/b"]);
    check("/admin//", &["/admin//", "/admin/", "/admin"]);
    check("//", &["//", "/"]);
    check("/100%25ab", &["/100%25ab", "/100%AB"]);
    check("/%2561dmin", &["/%2561dmin", "/admin"]);
    check("/admin%3Fx", &["/admin%3Fx", "/admin"]);
    check("/admin%23x", &["/admin%23x", "/admin"]);
    check("/admin%3Bx", &["/admin;x", "/admin"]);
    check("/a+b", &["/a+b", "/a%20b"]);
    check("/..;/admin", &["/..;/admin", "/../admin", "/admin"]);
    check("/x/..%2Fadmin", &["/x/..%2Fadmin", "/x/../admin", "/admin"]);
}

#[test]
fn what_users_write_is_spelled_alike() {
    for (text, spelled) in [
        ("/a{b}", "/a%7Bb%7D"),
        ("/%7bx", "/%7Bx"),
        ("/a b", "/a%20b"),
        ("/100%", "/100%25"),
        ("/%61/", "/a/"),
        ("/a;b+c", "/a;b+c"),
        ("/a%2fb", "/a%2Fb"),
    ] {
        assert_eq!(pattern(text), spelled);
    }
}

#[test]
fn a_prefix_of_a_reading_is_one_of_what_is_forwarded() {
    let check = |given: &str, prefix: &str, rest: &str| {
        let Path { forwarded, readings, .. } = read(given, PathNormalization::default()).unwrap();
        let literal = readings.first().map_or(&*forwarded, |reading| reading);
        assert!(literal.starts_with(prefix), "{literal}");
        assert_eq!(&forwarded[prefix_in(&forwarded, literal, prefix.len())..], rest, "{given}");
    };
    check("/%C3%a4pi/x%2Fy", "/%C3%A4pi", "/x%2Fy");
    check("/äpi/x%2Fy", "/%C3%A4pi", "/x%2Fy");
    check("/a%2Fb//c;d", "/a%2Fb", "//c;d");
    check("/a%2Fb//c;d", "", "/a%2Fb//c;d");
    check("/sign%28/", "/sign(", "/");
    check("/sign%28", "/sign(", "");
    check("/%20/%20", "/%20/%20", "");
}

#[test]
fn an_attacker_cannot_make_us_work_for_long() {
    let odd = |part: &str, times: usize| {
        read(&format!("/{}", part.repeat(times)), PathNormalization::default())
            .map(|path| path.readings.len())
    };
    assert_eq!(odd("a;b/", 4000), Ok(2));
    assert_eq!(odd("a%2Fb/", 4000), Ok(2));
    assert_eq!(odd("+%2F;%252F%253F/..;/%3B/", 200), Err(Reason::BadPath));
    assert_eq!(odd("%28", 20_000), Ok(1), "what has one reading may be long");
}

/// Pieces of paths that readers disagree about.
pub(super) fn odd_path() -> impl Strategy<Value = String> {
    "(/|//|/\\.|/\\.\\.|a|x|admin|%2[fF]|%2e|%252[fFeE]|%25|%61|%3[bB]|%3[fF]|%23|;|;y=|\\+|%2B|%5[cC]|%255c|é|%c3%a9|%20|[!-~]){0,9}"
        .prop_map(|rest| format!("/{rest}"))
}

proptest! {
    #[test]
    fn what_is_forwarded_is_forwarded_so_again(raw in odd_path()) {
        for how in modes() {
            let Ok(once) = read(&raw, how) else { continue };
            let twice = read(&once.forwarded, how);
            let twice = twice.map(|path| (path.forwarded.into_owned(), path.is_redirected));
            prop_assert_eq!(twice, Ok((once.forwarded.to_string(), false)), "{:?} from {:?}", how, raw);
        }
        let how = by(Normalization::None);
        prop_assert!(read(&raw, how).is_ok_and(|path| path.forwarded == raw) || read(&raw, how).is_err());
    }

    #[test]
    fn readings_are_paths_and_each_comes_once(raw in odd_path()) {
        for how in modes() {
            let Ok(Path { readings, .. }) = read(&raw, how) else { continue };
            for (at, reading) in readings.iter().enumerate() {
                prop_assert!(reading.starts_with('/') && reading.is_ascii(), "{}", reading);
                let spelled = pattern(reading);
                prop_assert_eq!(&*spelled, &**reading);
                prop_assert!(!readings[..at].contains(reading), "{}", reading);
            }
        }
    }
}
