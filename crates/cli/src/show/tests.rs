//! How output looks.

use super::{age, describe, table};
use crate::console::Paint;
use model::{Code, Finding, ObjectRef, Origin};

fn finding(object: ObjectRef, line: u32) -> Finding {
    let origin = Origin { object, file: "file.yaml".into(), line };
    Finding::new(Code::UnknownField, &origin, "unknown field \"backendRef\"", "write backendRefs")
}

#[test]
fn a_finding_shows_its_line_underlined() {
    let source = "spec:\n  rules:\n    backendRef: x  \n";
    let told = describe(&finding(ObjectRef::new("HTTPRoute", "default", "x"), 3), Some(source), Paint::Plain);
    let expected =
        "error[LENO0003] HTTPRoute/x.default (file.yaml:3): unknown field \"backendRef\"; write backendRefs
   |
 3 |     backendRef: x
   |     ^^^^^^^^^^^^^";
    assert_eq!(told, expected);
}

#[test]
fn a_finding_without_object_or_source_is_one_line() {
    let told = describe(&finding(ObjectRef::new("", "", ""), 99), Some("one line"), Paint::Plain);
    assert_eq!(told, "error[LENO0003] (file.yaml:99): unknown field \"backendRef\"; write backendRefs");
}

#[test]
fn columns_are_as_wide_as_needed() {
    let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["long".to_owned(), String::new()]];
    assert_eq!(table(&["NAME", "N"], &rows), "NAME   N\na      1\nlong\n");
    assert_eq!(table(&["NAME"], &[]), "");
}

#[test]
fn ages_are_short() {
    for (seconds, expected) in
        [(0.4, "0s"), (119.0, "119s"), (180.0, "3m"), (7_200.0, "2h"), (200_000.0, "2d")]
    {
        assert_eq!(age(seconds), expected);
    }
}
