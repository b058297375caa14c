#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::ApiResource::{Backup, Below, Discovery, Health, Objects, Reports};
use super::ApiVerb::{Apply, Create, Delete, Get};
use super::*;

/// `V`, `E` or `A`: the least role that may; `-`: none may.
fn check(verb: ApiVerb, resource: ApiResource<'_>, least: char) {
    let may: String = ApiRole::ALL
        .into_iter()
        .filter(|role| permit(*role, verb, resource).is_ok())
        .map(|role| role.to_string().remove(0).to_ascii_uppercase())
        .collect();
    let expected = match least {
        'V' => "VEA",
        'E' => "EA",
        'A' => "A",
        _ => "",
    };
    assert_eq!(may, expected, "{verb} {resource}");
}

#[test]
fn each_role_may_what_the_table_says() {
    for resource in [Health, Discovery, Reports] {
        check(Get, resource, 'V');
        for verb in [Apply, Delete, Create] {
            check(verb, resource, '-');
        }
    }
    check(Get, Objects, 'V');
    check(Apply, Objects, 'E');
    check(Delete, Objects, 'E');
    check(Create, Objects, '-');
    check(Get, Backup, 'A');
    for verb in [Apply, Delete, Create] {
        check(verb, Backup, '-');
    }
    check(Create, Below("token"), 'A');
    check(Create, Below("withdraw"), 'E');
    // What nobody has thought of is nobody's.
    check(Create, Below("tokens"), '-');
    for verb in [Get, Apply, Delete] {
        check(verb, Below("token"), '-');
    }
}

#[test]
fn a_refusal_says_which_role_it_takes() {
    let told = |role, verb, resource| permit(role, verb, resource).unwrap_err().to_string();
    assert_eq!(
        told(ApiRole::View, Create, Below("token")),
        "role view may not create token; that takes role admin"
    );
    assert_eq!(told(ApiRole::Admin, Get, Below("x")), "no role may get x");
}

#[test]
fn roles_are_read_as_they_are_written() {
    for role in ApiRole::ALL {
        assert_eq!(role.to_string().parse(), Ok(role));
    }
    for text in ["", "Admin", "root", "view "] {
        assert!(text.parse::<ApiRole>().unwrap_err().contains("view, edit and admin"), "{text}");
    }
}
