#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use crate::plane::tests::{filling_cluster, plane, plane_with_gap};
use apiserver::store::{KEY_BYTES_MAX, StoreError, Swap};
use apiserver::{MemoryStore, Row, StoreSnapshot, Table};
use daemon::clock::System;
use std::sync::atomic::{AtomicU32, Ordering};

#[tokio::test]
async fn a_store_that_stands_still_does_not_stop_the_world() {
    let (work, handle, mut rows) = prepare(Arc::new(System));
    let world = tokio::spawn(work.run(plane()));
    let count = ROW_BATCHES_MAX + 10;
    let all = async {
        for number in 0..count {
            let row = Change::Delete(Table::Registrations, number.to_string());
            handle.run(move |plane, _| plane.add_rows(vec![row])).await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(30), all).await.unwrap();
    // Nothing is lost, and the order stays.
    let mut stored = Vec::new();
    while stored.len() < count {
        stored.extend(rows.recv().await.unwrap());
    }
    let wanted = |number: usize| Change::Delete(Table::Registrations, number.to_string());
    assert!(stored.iter().cloned().eq((0..count).map(wanted)));
    drop(handle);
    world.await.unwrap();
}

/// Nobody asks for findings here, and yet the metric is true soon.
#[tokio::test]
async fn the_metric_of_findings_is_true_without_being_asked_for() {
    let (work, handle, _rows) = prepare(Arc::new(System));
    let plane = plane_with_gap();
    let findings = plane.metrics.findings.clone();
    let world = tokio::spawn(work.run(plane));
    assert_eq!(findings.get(), 1);
    handle.run(|plane, _| plane.remote(vec![filling_cluster()])).await.unwrap();
    let soon = async {
        while findings.get() != 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), soon).await.expect("the metric is out of date");
    drop(handle);
    world.await.unwrap();
}

/// A store whose first commits fail.
struct Failing(MemoryStore, AtomicU32);

impl Store for Failing {
    fn rows(&self, table: Table) -> Result<Vec<Row>, StoreError> {
        self.0.rows(table)
    }
    fn row(&self, table: Table, key: &str) -> Result<Option<Row>, StoreError> {
        self.0.row(table, key)
    }
    fn commit(&self, changes: &[Change]) -> Result<u64, StoreError> {
        match self.1.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)) {
            Ok(_) => Err(StoreError::TooLarge { key: "the disk is full".into(), bytes: 0 }),
            Err(_) => self.0.commit(changes),
        }
    }
    fn swap(&self, table: Table, key: &str, expected: &[u8], value: &[u8]) -> Result<Swap, StoreError> {
        self.0.swap(table, key, expected, value)
    }
    fn revision(&self) -> Result<u64, StoreError> {
        self.0.revision()
    }
    fn snapshot(&self, bytes_max: usize) -> Result<StoreSnapshot, StoreError> {
        self.0.snapshot(bytes_max)
    }
}

fn put(key: &str) -> Change {
    Change::Put(Table::Addresses, key.into(), b"240.0.0.1".to_vec())
}

fn keys(store: &dyn Store) -> Vec<String> {
    store.rows(Table::Addresses).unwrap().into_iter().map(|row| row.key).collect()
}

#[tokio::test]
async fn a_failed_write_is_tried_again_though_nothing_follows() {
    let store = Arc::new(Failing(MemoryStore::new(), AtomicU32::new(1)));
    let (tx, rows) = mpsc::channel(4);
    let writing = tokio::spawn(write_rows(store.clone(), rows));
    tx.send(vec![put("a")]).await.unwrap();
    let begun = Instant::now();
    while keys(&*store) != ["a"] {
        assert!(begun.elapsed() < Duration::from_secs(30), "not stored within 30 s");
        tokio::task::yield_now().await;
    }
    drop(tx);
    writing.await.unwrap();
}

#[tokio::test]
async fn a_row_that_changes_all_the_time_takes_the_place_of_no_other() {
    let store = Arc::new(Failing(MemoryStore::new(), AtomicU32::new(1)));
    let (tx, rows) = mpsc::channel(4);
    let again = std::iter::repeat_n(put("b"), ROWS_LEFT_MAX);
    tx.send(std::iter::once(put("a")).chain(again).collect()).await.unwrap();
    let writing = tokio::spawn(write_rows(store.clone(), rows));
    let stored = async {
        while keys(&*store).len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), stored).await.expect("the first row is lost");
    drop(tx);
    writing.await.unwrap();
}

#[tokio::test]
async fn a_row_that_can_never_be_stored_keeps_out_no_other() {
    let store = Arc::new(MemoryStore::new());
    let (tx, rows) = mpsc::channel(4);
    tx.send(vec![put("a"), put(&"x".repeat(KEY_BYTES_MAX + 1)), put("b")]).await.unwrap();
    drop(tx);
    write_rows(store.clone(), rows).await;
    assert_eq!(keys(&*store), ["a", "b"]);
}
