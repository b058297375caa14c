use super::{CountLimits, LimitVerdict};

const TEXT: &str = "# Of a request.\n[plain]\ninstructions = 61_000 # callgrind\nsystem_calls = 6\n\n[memory]\nroute = 4096.5\n";

#[test]
fn tables_keys_and_comments_are_read() {
    let limits = CountLimits::parse(TEXT).expect("read");
    let of = |name| limits.judge(name, 0.0, 0.0).map(|(limit, _)| limit).ok();
    assert_eq!(of("plain.instructions"), Some(61_000.0));
    assert_eq!(of("plain.system_calls"), Some(6.0));
    assert_eq!(of("memory.route"), Some(4096.5));
    assert_eq!(of("memory.endpoint"), None);
    assert!(CountLimits::parse("[plain]\nwords").is_err());
    assert!(CountLimits::parse("[plain]\nx = many").is_err());
}

#[test]
fn more_than_the_tolerance_exceeds_and_much_less_is_told() {
    let limits = CountLimits::parse(TEXT).expect("read");
    let judge = |value| limits.judge("plain.instructions", value, 0.01).map(|(_, verdict)| verdict).ok();
    assert_eq!(judge(61_600.0), Some(LimitVerdict::Within));
    assert_eq!(judge(61_700.0), Some(LimitVerdict::Exceeded));
    assert_eq!(judge(60_500.0), Some(LimitVerdict::Within));
    assert_eq!(judge(60_300.0), Some(LimitVerdict::Lower));
}
