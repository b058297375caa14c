#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use crate::memory::MemoryStore;

fn put(table: Table, key: &str, value: &str) -> Change {
    Change::Put(table, key.into(), value.into())
}

#[test]
fn what_was_committed_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    {
        let store = DiskStore::open(&path).unwrap();
        assert_eq!(store.revision().unwrap(), 0);
        assert_eq!(
            store.commit(&[put(Table::Objects, "a", "1"), put(Table::Addresses, "a", "x")]).unwrap(),
            1
        );
        assert_eq!(store.commit(&[put(Table::Objects, "b", "2")]).unwrap(), 2);
        assert_eq!(store.commit(&[Change::Delete(Table::Addresses, "a".into())]).unwrap(), 3);
    }
    let store = DiskStore::open(&path).unwrap();
    assert_eq!(store.revision().unwrap(), 3);
    let rows = store.rows(Table::Objects).unwrap();
    assert_eq!(rows.iter().map(|r| (r.key.as_str(), r.revision)).collect::<Vec<_>>(), [("a", 1), ("b", 2)]);
    assert_eq!(store.row(Table::Objects, "b").unwrap().unwrap().value, b"2");
    assert!(store.rows(Table::Addresses).unwrap().is_empty());
}

#[test]
fn a_foreign_file_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let text = "this is a shopping list, not a database\n".repeat(300);
    std::fs::write(&path, &text).unwrap();
    let error = DiskStore::open(&path).unwrap_err();
    assert!(error.to_string().contains("not a store of leno"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn a_damaged_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    {
        let store = DiskStore::open(&path).unwrap();
        store.commit(&[put(Table::Objects, "a", &"x".repeat(10_000))]).unwrap();
    }
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..64]).unwrap();
    assert!(matches!(DiskStore::open(&path), Err(StoreError::Open { .. })));
}

#[test]
fn a_swap_wins_once() {
    let dir = tempfile::tempdir().unwrap();
    let disk = DiskStore::open(&dir.path().join("store.redb")).unwrap();
    for store in [&disk as &dyn Store, &MemoryStore::new()] {
        assert_eq!(store.swap(Table::Tokens, "t", b"fresh", b"spent").unwrap(), Swap::Differs);
        store.commit(&[put(Table::Tokens, "t", "fresh")]).unwrap();
        assert_eq!(store.swap(Table::Tokens, "t", b"fresh", b"spent").unwrap(), Swap::Done);
        assert_eq!(store.swap(Table::Tokens, "t", b"fresh", b"spent").unwrap(), Swap::Differs);
        assert_eq!(store.row(Table::Tokens, "t").unwrap().unwrap().value, b"spent");
        assert_eq!(store.revision().unwrap(), 2);
    }
}

#[test]
fn too_large_rows_are_refused() {
    let store = MemoryStore::new();
    let long = "k".repeat(crate::store::KEY_BYTES_MAX + 1);
    assert!(matches!(store.commit(&[put(Table::Objects, &long, "")]), Err(StoreError::TooLarge { .. })));
}
