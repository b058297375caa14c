#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use fixtures::text::service;

fn parse(name: &str, port: u16, file: &str) -> Arc<Object> {
    Arc::new(api::parse::documents(&service(name, port), file).0.pop().unwrap())
}

/// The directory has these objects now, some of them about to leave.
fn directory(objects: &mut Objects, found: Vec<Arc<Object>>, leaving: &[&ObjectRef]) {
    source(objects, 0, found, leaving);
}

/// The same of one of several directories.
fn source(objects: &mut Objects, number: u16, found: Vec<Arc<Object>>, leaving: &[&ObjectRef]) {
    let leaving = leaving.iter().copied().cloned().collect();
    let state = SourceState { objects: found, leaving, ..SourceState::default() };
    assert!(objects.replace(SourceId::Directory(number), state).is_empty());
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
    directory(&mut objects, vec![parse("a", 2, "a.yaml"), parse("c", 2, "c.yaml")], &[]);
    let merged = objects.merged();
    assert_eq!(shown(&merged), (vec!["a:a.yaml".into(), "b:".into(), "c:c.yaml".into()], vec!["LENO0007"]));
    directory(&mut objects, Vec::new(), &[]);
    assert_eq!(shown(&objects.merged()), (vec!["a:".into(), "b:".into()], vec![]));
}

#[test]
fn the_first_of_two_files_stays_in_force() {
    let mut objects = Objects::default();
    directory(&mut objects, vec![parse("a", 1, "1.yaml"), parse("a", 2, "2.yaml")], &[]);
    assert_eq!(shown(&objects.merged()), (vec!["a:1.yaml".into()], vec!["LENO0006"]));
}

/// Else `rm FILE && leno apply` would be refused for a second.
#[test]
fn what_leaves_the_directory_makes_room_for_the_api() {
    let mut objects = Objects::default();
    let (file, stored) = (parse("a", 1, "a.yaml"), parse("a", 2, ""));
    let key = file.object.clone();
    directory(&mut objects, vec![file.clone()], &[&key]);
    assert_eq!(shown(&objects.merged()), (vec!["a:a.yaml".into()], vec![]));
    assert!(objects.find_read_only(&key).is_none());
    objects.store(stored, 1);
    assert_eq!(shown(&objects.merged()), (vec!["a:".into()], vec![]));
    directory(&mut objects, vec![file], &[]);
    assert_eq!(shown(&objects.merged()), (vec!["a:a.yaml".into()], vec!["LENO0007"]));
}

/// What leaves one directory is not replaced by another's before it is gone: else each save of an editor would
/// show the other's for a moment.
#[test]
fn a_source_fills_the_gaps_of_those_before_it() {
    let mut objects = Objects::default();
    let (first, second) = (parse("a", 1, "1/a.yaml"), parse("a", 2, "2/a.yaml"));
    let key = first.object.clone();
    source(&mut objects, 1, vec![second.clone(), parse("b", 2, "2/b.yaml")], &[]);
    let gap = (vec!["a:2/a.yaml".into(), "b:2/b.yaml".into()], vec![]);
    assert_eq!(shown(&objects.merged()), gap);
    source(&mut objects, 0, vec![first.clone()], &[]);
    let filled = (vec!["a:1/a.yaml".into(), "b:2/b.yaml".into()], vec!["LENO0011"]);
    assert_eq!(shown(&objects.merged()), filled);
    let told = &objects.findings()[0];
    assert_eq!(
        (&*told.origin.file, told.cause.as_str()),
        ("2/a.yaml", "the object of 1/a.yaml:1 is in force instead")
    );

    source(&mut objects, 0, vec![first.clone()], &[&key]);
    assert_eq!(shown(&objects.merged()), filled);
    // The API takes a place at once, but not one that is a directory's in a moment.
    objects.store(parse("a", 3, ""), 1);
    assert_eq!(shown(&objects.merged()).0, filled.0);
    assert_eq!(objects.find_read_only(&key).map(|found| &*found.origin.file), Some("2/a.yaml"));
    objects.remove(&key, 2);
    source(&mut objects, 0, Vec::new(), &[]);
    assert_eq!(shown(&objects.merged()), gap);
}
