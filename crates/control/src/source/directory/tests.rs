#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use crate::source::Sources;
use crate::source::objects::Objects;
use apiserver::{Change, MemoryStore, Store, Table};
use fixtures::text::service;
use std::fs;

/// Sources over directories of a temporary one, each with a file; the first has precedence.
fn opened(root: &Path, files: &[(&str, &str)], stored: Vec<Row>) -> (Objects, Vec<Change>) {
    for (file, text) in files {
        let file = root.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    let directories = ["first", "second"].map(|name| root.join(name)).to_vec();
    let sources = Sources { directories, text: None }.open(stored).unwrap();
    let mut objects = Objects::default();
    let replace = |mut source: Box<dyn ObjectSource>| objects.replace(source.id(), source.first());
    let rows = sources.into_iter().flat_map(replace).collect();
    (objects, rows)
}

#[test]
fn a_missing_directory_is_an_error() {
    let error = open(&["/nowhere/leno".into()], Vec::new()).err().unwrap();
    assert_eq!(error.to_string(), "watch configuration directory /nowhere/leno");
}

#[test]
fn directories_that_overlap_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (root, below) = (dir.path().to_owned(), dir.path().join("below"));
    fs::create_dir(&below).unwrap();
    std::os::unix::fs::symlink(&root, dir.path().join("again")).unwrap();
    for roots in [[&root, &below], [&below, &root], [&root, &dir.path().join("again")]] {
        let refused = open(&roots.map(Clone::clone), Vec::new()).err();
        assert!(matches!(refused, Some(DirectoryError::Overlap { .. })), "{roots:?}: {refused:?}");
    }
}

/// Each directory keeps the last good text of its own files; what is nobody's any more goes.
#[test]
fn what_was_good_is_the_directorys_that_it_was_read_from() {
    let dir = tempfile::tempdir().unwrap();
    let store = MemoryStore::new();
    let of_another = Change::Put(Table::Files, "/elsewhere/c.yaml".into(), service("c", 80).into());
    store.commit(&[of_another]).unwrap();
    let (a, b) = (service("a", 80), service("b", 80));
    let files = [("first/a.yaml", a.as_str()), ("second/b.yaml", b.as_str())];
    let (_, rows) = opened(dir.path(), &files, store.rows(Table::Files).unwrap());
    store.commit(&rows).unwrap();
    let kept: Vec<_> = store.rows(Table::Files).unwrap().into_iter().map(|row| row.key).collect();
    let of = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    assert_eq!(kept, [of("first/a.yaml"), of("second/b.yaml")]);

    let broken = [("first/a.yaml", "{{{"), ("second/b.yaml", "{{{")];
    let (objects, _) = opened(dir.path(), &broken, store.rows(Table::Files).unwrap());
    let merged = objects.merged();
    let names: Vec<_> = merged.objects.iter().map(|object| object.object.name.to_string()).collect();
    assert_eq!((names, merged.findings.len()), (vec!["a".to_owned(), "b".to_owned()], 2));
}
