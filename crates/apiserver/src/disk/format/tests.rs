#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use redb::backends::InMemoryBackend;

fn database(format: u32) -> Database {
    let database = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
    let write = database.begin_write().unwrap();
    make_tables(&write).unwrap();
    set_format(&write, format).unwrap();
    write.commit().unwrap();
    database
}

#[test]
fn each_format_has_its_step() {
    let from: Vec<u32> = STEPS.iter().map(|step| step.from).collect();
    assert_eq!(from, (1..FORMAT).collect::<Vec<_>>());
}

#[test]
fn a_step_that_fails_leaves_the_file_as_it_was() {
    let fails = |write: &WriteTransaction| {
        write.open_table(definition(Table::Objects))?.insert("half", (1, &b"done"[..]))?;
        Err(redb::Error::Corrupted("a reason".into()))
    };
    let steps = [MigrationStep { from: 1, run: note_writer }, MigrationStep { from: 2, run: fails }];
    let database = database(1);
    assert!(migrate_by(&database, 1, &steps).is_err());
    assert_eq!(read_version(&database).unwrap(), Some(FileVersion { format: 1, writer: None }));
    let read = database.begin_read().unwrap();
    assert!(read.open_table(definition(Table::Objects)).unwrap().get("half").unwrap().is_none());
}

#[test]
fn steps_that_are_done_are_not_done_again() {
    let never = |_: &WriteTransaction| panic!("done before");
    let database = database(2);
    migrate_by(&database, 2, &[MigrationStep { from: 1, run: never }]).unwrap();
    assert_eq!(read_version(&database).unwrap().map(|version| version.format), Some(FORMAT));
}
