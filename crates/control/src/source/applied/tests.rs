#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use fixtures::text::service;

#[test]
fn nobody_chooses_the_age_of_an_object() {
    let text = service("a", 80).replace("name: a", "name: a\n  creationTimestamp: 1970-01-01T00:00:01Z");
    let mut object = api::parse::documents(&text, "").0.pop().unwrap();
    assert_eq!(object.meta.created, 1);
    created_at(&mut object, 86_400);
    assert_eq!(api::parse::value(&object)["metadata"]["creationTimestamp"], "1970-01-02T00:00:00Z");
    let Change::Put(_, key, value) = put(&object).unwrap() else { panic!("not a put") };
    let objects = load(&[Row { key, value, revision: 9 }]);
    let back = &objects.find_stored(&object.object).unwrap().object;
    assert_eq!((back.meta.created, api::parse::value(back)), (86_400, api::parse::value(&object)));
    assert_eq!(back.text, object.text, "lines in findings are those of what was sent");
}

#[test]
fn rows_come_back_as_objects() {
    let object = api::parse::documents(&service("a", 80), "").0.pop().unwrap();
    let Change::Put(_, key, value) = put(&object).unwrap() else { panic!("not a put") };
    assert_eq!(key, "Service/default/a");
    let objects = load(&[Row { key, value, revision: 9 }]);
    assert_eq!(objects.find_stored(&object.object).unwrap().revision, 9);
}
