#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use crate::memory::MemoryStore;
use std::os::unix::fs::PermissionsExt;

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
    assert!(error.to_string().contains("is not one of leno's"), "{error}");
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
    for length in [0, 64, 512, 4096, bytes.len() / 2, bytes.len() - 1] {
        check_damaged(&path, &bytes[..length]);
    }
}

/// A file of these bytes is refused with what to do, and is still these bytes.
fn check_damaged(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
    let error = DiskStore::open(path).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{} bytes: {error:?}", bytes.len());
    let told = error.to_string();
    assert!(told.contains(path.to_str().unwrap()) && told.contains("restore a backup"), "{told}");
    assert!(std::fs::read(path).unwrap() == bytes, "it was touched");
}

fn all_rows(store: &DiskStore) -> Vec<Vec<Row>> {
    Table::ALL.iter().map(|table| store.rows(*table).unwrap()).collect()
}

#[test]
fn a_copy_that_cannot_be_made_leaves_no_half_of_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    std::fs::write(&path, fixtures::state::CONTROL_FORMAT_1).unwrap();
    // It has no place.
    std::fs::create_dir(kept_at(&path, 1)).unwrap();
    DiskStore::open(&path).unwrap_err();
    assert!(std::fs::read(&path).unwrap() == fixtures::state::CONTROL_FORMAT_1);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn a_file_of_the_first_format_becomes_one_of_this() {
    for (file, tables) in [
        (fixtures::state::CONTROL_FORMAT_1, "objects addresses tokens registrations remote files"),
        (fixtures::state::MANAGER_FORMAT_1, "remote history"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.redb");
        std::fs::write(&path, file).unwrap();
        let before =
            inspect::inspect(&path, File::options().read(true).write(true).open(&path).unwrap()).unwrap();
        assert_eq!((before.format, before.writer), (1, None));
        let rows = {
            let store = DiskStore::open(&path).unwrap();
            store.commit(&[Change::Delete(Table::Objects, "none".into())]).unwrap();
            all_rows(&store)
        };
        let filled = Table::ALL.iter().zip(&rows).filter(|(_, rows)| !rows.is_empty());
        let filled: Vec<&str> = filled.map(|(table, _)| table.as_str()).collect();
        assert_eq!(filled.join(" "), tables);
        let after =
            inspect::inspect(&path, File::options().read(true).write(true).open(&path).unwrap()).unwrap();
        assert_eq!((after.format, after.writer.as_deref()), (FORMAT, Some(PROGRAM)));
        assert_eq!(all_rows(&DiskStore::open(&path).unwrap()), rows);
        // Nothing is left beside it.
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

#[test]
fn a_migration_that_was_cut_off_is_done_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    std::fs::write(&path, fixtures::state::CONTROL_FORMAT_1).unwrap();
    let kept = keep(&path, 1).unwrap();
    assert!(std::fs::read(&kept).unwrap() == fixtures::state::CONTROL_FORMAT_1);
    assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::write(&kept, b"half of it").unwrap();
    assert_eq!(DiskStore::open(&path).unwrap().rows(Table::Tokens).unwrap().len(), 2);
    assert!(!kept.exists());
}

#[test]
fn a_file_of_a_later_format_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    {
        let store = DiskStore::open(&path).unwrap();
        let pretend = |database: &Database| {
            let write = database.begin_write()?;
            let meta: redb::TableDefinition<'_, &str, &str> = redb::TableDefinition::new("meta");
            write.open_table(meta)?.insert("format", "leno-store-9")?;
            write.open_table(meta)?.insert("writer", "leno 7.1.0")?;
            Ok(write.commit()?)
        };
        store.run(pretend).unwrap();
    }
    let bytes = std::fs::read(&path).unwrap();
    let told = DiskStore::open(&path).unwrap_err().to_string();
    for words in ["store.redb has format 9, written by leno 7.1.0", "up to 2", "start leno 7.1.0 or a later"]
    {
        assert!(told.contains(words), "{told}");
    }
    assert!(std::fs::read(&path).unwrap() == bytes);
}

#[test]
fn a_database_of_somebody_else_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let write = |database: Database| database.begin_write().unwrap().commit().unwrap();
    write(Database::create(&path).unwrap());
    let bytes = std::fs::read(&path).unwrap();
    check_damaged(&path, &bytes);
}

#[test]
fn a_file_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let _held = DiskStore::open(&path).unwrap();
    assert!(matches!(DiskStore::open(&path), Err(StoreError::InUse { .. })));
}

/// What comes of a file with one byte that is another: it is refused and untouched, or nothing of it is lost.
fn check_flipped(sound: &[u8], rows: &[Vec<Row>], at: usize, flip: u8) {
    let mut bytes = sound.to_vec();
    bytes[at] ^= flip;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    std::fs::write(&path, &bytes).unwrap();
    match DiskStore::open(&path) {
        Ok(store) => assert_eq!(all_rows(&store), rows, "{at} ^ {flip}"),
        Err(StoreError::Damaged { cause, .. }) => {
            assert!(!cause.to_string().contains("gave up"), "the database panicked at {at} ^ {flip}");
            assert!(std::fs::read(&path).unwrap() == bytes, "{at} ^ {flip}: touched");
        }
        Err(other) => panic!("{at} ^ {flip}: {other}"),
    }
}

fn sound() -> (Vec<u8>, Vec<Vec<Row>>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    std::fs::write(&path, fixtures::state::CONTROL_FORMAT_1).unwrap();
    let rows = all_rows(&DiskStore::open(&path).unwrap());
    (std::fs::read(&path).unwrap(), rows)
}

/// Not all of it has a checksum.
#[test]
fn no_byte_of_the_header_does_harm() {
    let (sound, rows) = sound();
    for at in 0..320 {
        check_flipped(&sound, &rows, at, 1 << (at % 8));
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(128))]

    #[test]
    fn no_byte_anywhere_does_harm(at in 0..usize::MAX, flip in 1..=u8::MAX) {
        static SOUND: std::sync::LazyLock<(Vec<u8>, Vec<Vec<Row>>)> = std::sync::LazyLock::new(sound);
        let (sound, rows) = &*SOUND;
        check_flipped(sound, rows, at % sound.len(), flip);
    }
}

/// As on a disk that is full and then is not: no call is lost but those that failed.
#[test]
fn after_a_fault_the_file_is_opened_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let store = DiskStore::open(&path).unwrap();
    store.commit(&[put(Table::Objects, "a", "1")]).unwrap();
    let full =
        |_: &Database| -> Result<(), redb::Error> { Err(io::Error::from(io::ErrorKind::StorageFull).into()) };
    let told = store.run(full).unwrap_err();
    assert!(matches!(told, StoreError::Full { .. }), "{told:?}");
    assert!(told.to_string().contains("free space"), "{told}");
    assert_eq!(store.commit(&[put(Table::Objects, "b", "2")]).unwrap(), 2);
    assert_eq!(store.rows(Table::Objects).unwrap().len(), 2);

    // A file that was taken away meanwhile is no empty state.
    let away = dir.path().join("away");
    std::fs::rename(&path, &away).unwrap();
    store.run(full).unwrap_err();
    for _ in 0..2 {
        assert!(matches!(store.rows(Table::Objects), Err(StoreError::Io { .. })));
    }
    assert!(!path.exists());
    std::fs::rename(&away, &path).unwrap();
    assert_eq!(store.rows(Table::Objects).unwrap().len(), 2);
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
