use super::*;

#[test]
fn timestamps_are_seconds_since_the_epoch() {
    let check = |text: &str, expected: Option<u64>| assert_eq!(timestamp(text), expected, "{text}");
    check("1970-01-01T00:00:00Z", Some(0));
    check("2000-03-01T00:00:00Z", Some(951_868_800));
    check("2026-11-22T23:36:00.5Z", Some(1_795_390_560));
    for text in
        ["", "2026-11-22", "2026-13-01T00:00:00Z", "2026-11-22T25:00:00Z", "2026-11-22T00:00:00+01:00"]
    {
        check(text, None);
    }
}
