#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
use super::*;

#[test]
fn durations_have_units() {
    let check = |text: &str, expected: Option<u64>| {
        assert_eq!(parse_duration(text).ok(), expected.map(Duration::from_millis), "{text}");
    };
    check("5s", Some(5_000));
    check("250ms", Some(250));
    check("2m", Some(120_000));
    check("5", None);
    check("s", None);
    check("-5s", None);
}

#[test]
fn headers_are_name_and_value() {
    let headers = parse_headers(&["x-a: 1".into(), "X-A:2".into()]).unwrap();
    let values: Vec<_> = headers.get_all("x-a").iter().map(|v| v.to_str().unwrap()).collect();
    assert_eq!(values, ["1", "2"]);
    assert!(parse_headers(&["no colon".into()]).is_err());
}
