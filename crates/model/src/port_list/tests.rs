use super::parse;

fn check(text: &str, expected: &str) {
    let found = match parse(text) {
        Ok(ports) => format!("{ports:?}"),
        Err(error) => error.to_string(),
    };
    assert_eq!(found, expected, "{text}");
}

#[test]
fn ports_and_ranges_are_listed_with_commas() {
    check("", "{}");
    check("25", "{25}");
    check("3306, 25,8000-8002,", "{25, 3306, 8000, 8001, 8002}");
    check("65535", "{65535}");
}

#[test]
fn what_has_no_reading_is_told() {
    for entry in ["0", "65536", "http", "2-1", "1-", "-1", "1-2-3"] {
        check(
            &format!("25,{entry}"),
            &format!("`{entry}` is neither a port from 1 to 65535 nor a range of them, as in 8000-8010"),
        );
    }
    check("1-65535", "more than 4096 ports");
    check(
        "1-4000,5000-5095",
        &format!("{:?}", (1..=4000).chain(5000..=5095).collect::<std::collections::BTreeSet<u16>>()),
    );
    check("1-4000,5000-5096", "more than 4096 ports");
}
