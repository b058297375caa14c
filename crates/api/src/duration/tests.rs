use super::*;

fn check(text: &str, millis: Option<u64>) {
    assert_eq!(parse(text), millis.map(Duration::from_millis), "{text}");
}

#[test]
fn gep_2257_examples() {
    check("1h", Some(3_600_000));
    check("1m30s", Some(90_000));
    check("100ms", Some(100));
    check("0s", Some(0));
    check("1h2m3s4ms", Some(3_723_004));
}

#[test]
fn what_go_allows_and_gateway_api_does_not() {
    for text in ["", "1", "1.5s", "-1s", "1us", "100000s", "1h1h1h1h1h", "s", "1s ", "1d"] {
        check(text, None);
    }
}
