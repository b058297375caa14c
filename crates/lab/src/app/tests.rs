#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
use super::*;

#[track_caller]
fn check(line: &str, expected: Option<AppFault>) {
    assert_eq!(fault(line, "web-api"), expected, "{line}");
}

#[test]
fn faults_are_meant_for_one_service() {
    check("web-api delay 20", Some(AppFault::Delay(Duration::from_millis(20))));
    check("web-api status 503", Some(AppFault::Status { status: StatusCode::SERVICE_UNAVAILABLE, every: 1 }));
    check(
        "web-api status 503 every 3",
        Some(AppFault::Status { status: StatusCode::SERVICE_UNAVAILABLE, every: 3 }),
    );
    check("recommendation delay 20", None);
}

#[test]
fn what_cannot_be_read_is_no_fault() {
    for line in
        ["", "web-api", "web-api delay", "web-api delay x", "web-api status 99", "web-api status 503 every 0"]
    {
        check(line, None);
    }
}

#[test]
fn only_context_headers_are_passed_on() {
    let mut headers = HeaderMap::new();
    for name in ["x-tenant", "traceparent", "authorization", "host"] {
        headers.insert(name, HeaderValue::from_static("1"));
    }
    let mut names: Vec<_> = context(&headers).keys().map(ToString::to_string).collect();
    names.sort();
    assert_eq!(names, ["traceparent", "x-tenant"]);
}
