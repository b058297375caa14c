#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::source::directory::files::tests::service;

fn parse(name: &str, port: u16, file: &str) -> Arc<Object> {
    Arc::new(api::parse::documents(&service(name, port), file).0.pop().unwrap())
}

fn shown(merged: &Merged) -> (Vec<String>, Vec<&'static str>) {
    let objects = merged.objects.iter().map(|o| format!("{}:{}", o.object.name, o.origin.file));
    (objects.collect(), merged.findings.iter().map(|f| f.code.as_str()).collect())
}

#[test]
fn the_directory_wins_over_the_api() {
    let mut objects = Objects::default();
    objects.store(parse("a", 1, ""), 5);
    objects.store(parse("b", 1, ""), 6);
    objects.set_files(vec![parse("a", 2, "a.yaml"), parse("c", 2, "c.yaml")], BTreeSet::new(), Vec::new());
    let merged = objects.merged();
    assert_eq!(shown(&merged), (vec!["a:a.yaml".into(), "b:".into(), "c:c.yaml".into()], vec!["LENO0007"]));
    objects.set_files(Vec::new(), BTreeSet::new(), Vec::new());
    assert_eq!(shown(&objects.merged()), (vec!["a:".into(), "b:".into()], vec![]));
}

#[test]
fn the_first_of_two_files_stays_in_force() {
    let mut objects = Objects::default();
    objects.set_files(vec![parse("a", 1, "1.yaml"), parse("a", 2, "2.yaml")], BTreeSet::new(), Vec::new());
    assert_eq!(shown(&objects.merged()), (vec!["a:1.yaml".into()], vec!["LENO0006"]));
}

#[test]
fn nobody_chooses_the_age_of_an_object() {
    let text = service("a", 80).replace("name: a", "name: a\n  creationTimestamp: 1970-01-01T00:00:01Z");
    let mut object = api::parse::documents(&text, "").0.pop().unwrap();
    assert_eq!(object.meta.created, 1);
    created_at(&mut object, 86_400);
    assert_eq!(object.value()["metadata"]["creationTimestamp"], "1970-01-02T00:00:00Z");
    let Change::Put(_, key, value) = put(&object) else { panic!("not a put") };
    let objects = Objects::load(&[Row { key, value, revision: 9 }]);
    let back = &objects.find_stored(&object.object).unwrap().object;
    assert_eq!((back.meta.created, &back.json), (86_400, &object.json));
    assert_eq!(back.text, object.text, "lines in findings are those of what was sent");
}

#[test]
fn rows_come_back_as_objects() {
    let object = parse("a", 80, "");
    let Change::Put(_, key, value) = put(&object) else { panic!("not a put") };
    assert_eq!(key, "Service/default/a");
    let objects = Objects::load(&[Row { key, value, revision: 9 }]);
    assert_eq!(objects.find_stored(&object.object).unwrap().revision, 9);
}

/// Else `rm FILE && leno apply` would be refused for a second.
#[test]
fn what_leaves_the_directory_makes_room_for_the_api() {
    let mut objects = Objects::default();
    let (file, stored) = (parse("a", 1, "a.yaml"), parse("a", 2, ""));
    let key = file.object.clone();
    objects.set_files(vec![file.clone()], BTreeSet::from([key.clone()]), Vec::new());
    assert_eq!(shown(&objects.merged()), (vec!["a:a.yaml".into()], vec![]));
    assert!(objects.find_file(&key).is_none());
    objects.store(stored, 1);
    assert_eq!(shown(&objects.merged()), (vec!["a:".into()], vec![]));
    objects.set_files(vec![file], BTreeSet::new(), Vec::new());
    assert_eq!(shown(&objects.merged()), (vec!["a:a.yaml".into()], vec!["LENO0007"]));
}
