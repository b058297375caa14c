//! A store that lives as long as the process: for tests.

use crate::store::{Change, Row, Store, StoreError, StoreSnapshot, Swap, Table, check};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A store in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    revision: u64,
    rows: BTreeMap<(Table, String), (u64, Vec<u8>)>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    // Each change of the state is a single insert or remove, so a poisoned lock holds no half-done work.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn rows(&self, table: Table) -> Result<Vec<Row>, StoreError> {
        let state = self.state();
        let of_table = state.rows.iter().filter(|((of, _), _)| *of == table);
        Ok(of_table
            .map(|((_, key), (revision, value))| Row {
                key: key.clone(),
                value: value.clone(),
                revision: *revision,
            })
            .collect())
    }

    fn row(&self, table: Table, key: &str) -> Result<Option<Row>, StoreError> {
        let state = self.state();
        let found = state.rows.get(&(table, key.to_owned()));
        Ok(found.map(|(revision, value)| Row {
            key: key.to_owned(),
            value: value.clone(),
            revision: *revision,
        }))
    }

    fn commit(&self, changes: &[Change]) -> Result<u64, StoreError> {
        check(changes)?;
        let mut state = self.state();
        state.revision += 1;
        let revision = state.revision;
        for change in changes {
            match change {
                Change::Put(table, key, value) => {
                    state.rows.insert((*table, key.clone()), (revision, value.clone()));
                }
                Change::Delete(table, key) => {
                    state.rows.remove(&(*table, key.clone()));
                }
            }
        }
        Ok(revision)
    }

    fn swap(&self, table: Table, key: &str, expected: &[u8], value: &[u8]) -> Result<Swap, StoreError> {
        let changes = [Change::Put(table, key.to_owned(), value.to_vec())];
        check(&changes)?;
        let mut state = self.state();
        let revision = state.revision + 1;
        match state.rows.get_mut(&(table, key.to_owned())) {
            Some(row) if row.1 == expected => *row = (revision, value.to_vec()),
            _ => return Ok(Swap::Differs),
        }
        state.revision = revision;
        Ok(Swap::Done)
    }

    fn revision(&self) -> Result<u64, StoreError> {
        Ok(self.state().revision)
    }

    fn snapshot(&self, bytes_max: usize) -> Result<StoreSnapshot, StoreError> {
        let state = self.state();
        let row = |((table, key), (revision, value)): (&(Table, String), &(u64, Vec<u8>))| {
            (*table, Row { key: key.clone(), value: value.clone(), revision: *revision })
        };
        let taken = StoreSnapshot { revision: state.revision, rows: state.rows.iter().map(row).collect() };
        match taken.rows.iter().map(|(_, row)| row.key.len() + row.value.len()).sum::<usize>() > bytes_max {
            true => Err(StoreError::SnapshotTooLarge { bytes_max }),
            false => Ok(taken),
        }
    }
}
