#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use std::fs;

pub(crate) fn service(name: &str, port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\nspec:\n  ports:\n  - port: {port}\n    name: http\n"
    )
}

fn names(directory: &Directory) -> String {
    directory.objects().map(|object| object.object.name.to_string()).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_broken_file_keeps_its_last_good_objects() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a.yaml"), dir.path().join("b.yaml"));
    fs::write(&a, service("a", 80)).unwrap();
    fs::write(&b, service("b", 80)).unwrap();
    fs::write(dir.path().join("README.md"), "nothing").unwrap();
    fs::write(dir.path().join(".c.yaml.swp.yaml"), "{{{").unwrap();
    let mut directory = Directory::open(dir.path(), &[]).unwrap();
    let nobody = BTreeSet::new();
    assert_eq!((names(&directory).as_str(), directory.findings().count()), ("a b", 0));
    assert_eq!(directory.read(&nobody).unwrap(), Reading::Same);

    fs::write(&a, "kind: Service\n  broken: [").unwrap();
    assert_eq!(directory.read(&nobody).unwrap(), Reading::Changed);
    assert_eq!(names(&directory), "a b");
    let finding = directory.findings().next().unwrap();
    assert!(finding.origin.file.ends_with("a.yaml") && finding.origin.line > 0, "{finding}");
    assert_eq!(directory.read(&nobody).unwrap(), Reading::Same);

    fs::write(&a, service("a2", 80)).unwrap();
    assert_eq!(directory.read(&nobody).unwrap(), Reading::Changed);
    assert_eq!((names(&directory).as_str(), directory.findings().count()), ("a2 b", 0));

    fs::remove_file(&b).unwrap();
    assert_eq!(directory.read(&nobody).unwrap(), Reading::Changed);
    assert_eq!(names(&directory), "a2");
}

#[test]
fn a_file_being_written_is_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let a = dir.path().join("a.yaml");
    fs::write(&a, service("a", 80)).unwrap();
    let mut directory = Directory::open(dir.path(), &[]).unwrap();
    fs::write(&a, "").unwrap();
    assert_eq!(directory.read(&BTreeSet::from([a.clone()])).unwrap(), Reading::Same);
    assert_eq!(names(&directory), "a");
    assert_eq!(directory.read(&BTreeSet::new()).unwrap(), Reading::Changed);
    assert_eq!(names(&directory), "");
}

#[test]
fn a_missing_directory_is_an_error() {
    let error = Directory::open(Path::new("/nowhere/leno"), &[]).unwrap_err();
    assert_eq!(error.to_string(), "read configuration directory /nowhere/leno");
}

#[test]
fn what_was_good_survives_a_restart_with_a_broken_file() {
    use apiserver::{MemoryStore, Store};
    let (dir, store) = (tempfile::tempdir().unwrap(), MemoryStore::new());
    let (a, b) = (dir.path().join("a.yaml"), dir.path().join("b.yaml"));
    fs::write(&a, service("a", 80)).unwrap();
    fs::write(&b, service("b", 80)).unwrap();
    store.commit(&Directory::open(dir.path(), &[]).unwrap().take_rows()).unwrap();
    fs::write(&a, "kind: [").unwrap();
    fs::remove_file(&b).unwrap();
    let mut after = Directory::open(dir.path(), &store.rows(Table::Files).unwrap()).unwrap();
    assert_eq!((names(&after).as_str(), after.findings().count()), ("a", 1));
    store.commit(&after.take_rows()).unwrap();
    assert_eq!(store.rows(Table::Files).unwrap().len(), 1);
    // A control run: without the rows nothing of it is left.
    assert_eq!(names(&Directory::open(dir.path(), &[]).unwrap()), "");
}

#[test]
fn files_of_a_subdirectory_that_cannot_be_read_are_not_gone() {
    // As a rule on paths: the administrator, who may run this test, can read every directory.
    let closed = [(PathBuf::from("/c/sub"), io::Error::from(io::ErrorKind::PermissionDenied))];
    let below = |path: &str| is_below(Path::new(path), &closed);
    assert!(below("/c/sub/a.yaml") && below("/c/sub/deeper/a.yaml"));
    assert!(!below("/c/a.yaml") && !below("/c/subway/a.yaml"));
}
