#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

#[test]
fn times_are_written_as_people_know_them() {
    for (seconds, expected) in [
        (0, "1970-01-01T00:00:00Z"),
        (951_782_399, "2000-02-28T23:59:59Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (1_735_689_599, "2024-12-31T23:59:59Z"),
        (4_107_542_400, "2100-03-01T00:00:00Z"),
    ] {
        assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
    }
}

#[test]
fn a_body_must_be_what_the_path_names() {
    let kind = all_kinds().into_iter().find(|kind| kind.kind == "Service").unwrap();
    let target = |name: &str| Target { kind, namespace: "default".into(), name: name.into() };
    let body = crate::source::directory::tests::service("a", 80);
    assert!(parse_body(&target("a"), &body).is_ok());
    assert!(parse_body(&target(""), &body).is_ok());
    for (name, body) in [("b", body.as_str()), ("a", ""), ("a", "kind: [")] {
        assert!(matches!(parse_body(&target(name), body), Err(Refusal::Invalid(_))), "{name} {body}");
    }
}
