use super::*;

fn check(word: &str, expected: Option<&str>) {
    assert_eq!(nearest(word, &["timeouts", "matches", "backendRefs", "name", "retry"]), expected, "{word}");
}

#[test]
fn a_slip_of_the_finger_is_recognised() {
    check("tiemouts", Some("timeouts"));
    check("backendrefs", Some("backendRefs"));
    check("matchs", Some("matches"));
}

#[test]
fn another_word_is_not() {
    check("selector", None);
    check("", None);
}
