use super::*;

fn check(text: &str, expected: &[(u32, &str)]) {
    let got: Vec<_> = documents(text).iter().map(|document| (document.lines_before, document.text)).collect();
    assert_eq!(got, expected, "{text:?}");
}

#[test]
fn documents_keep_their_place() {
    check("a: 1\n---\nb: 2\n", &[(0, "a: 1\n"), (2, "b: 2\n")]);
    check("---\na: 1\n...\n---\nb: 2", &[(1, "a: 1\n"), (4, "b: 2")]);
    check("# only a comment\n---\n\n---\r\na: 1\r\n", &[(4, "a: 1\r\n")]);
}

#[test]
fn content_on_the_marker_line_counts() {
    check("--- {a: 1}\n---\tb", &[(0, "--- {a: 1}\n"), (1, "---\tb")]);
    check("--- # note\na: 1", &[(1, "a: 1")]);
}

#[test]
fn dashes_elsewhere_are_content() {
    check("a: |\n  ---\n----\nb: ---x\n", &[(0, "a: |\n  ---\n----\nb: ---x\n")]);
}
