//! Objects that were applied over the API, as rows of the store.
//!
//! The API is the last source: `backend` checks what comes in, stores it and brings it into force. Here is only
//! what a row holds.

use crate::source::objects::Objects;
use api::Object;
use apiserver::{Change, Row, Table};
use model::ObjectRef;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The name of an object's row.
pub fn row_key(object: &ObjectRef) -> String {
    format!("{}/{}/{}", object.kind, object.namespace, object.name)
}

/// What an object's row holds: the text as it was sent, and what the sender has no say in.
#[derive(Debug, Serialize, Deserialize)]
struct Content {
    /// When the object was created, in seconds since the epoch.
    created_s: u64,
    text: String,
}

/// The row of an object.
///
/// # Errors
/// When it cannot be written as JSON; nothing may be stored then.
pub fn put(object: &Object) -> Result<Change, serde_json::Error> {
    let content = Content { created_s: object.meta.created, text: object.text.to_string() };
    Ok(Change::Put(Table::Objects, row_key(&object.object), serde_json::to_vec(&content)?))
}

/// The end of an object's row.
pub fn delete(object: &ObjectRef) -> Change {
    Change::Delete(Table::Objects, row_key(object))
}

/// Sets when an object was created, whatever its text says: the oldest of two claims wins, so a claimant may
/// not choose its age.
pub fn created_at(object: &mut Object, created_s: u64) {
    object.meta.created = created_s;
}

/// What the store held. A row that this version cannot read is skipped and told in the log: it was accepted
/// once, so it stays in the store. A policy among them denies everything meanwhile.
pub fn load(rows: &[Row]) -> Objects {
    let mut objects = Objects::default();
    for row in rows {
        let content = serde_json::from_slice::<Content>(&row.value).ok();
        let read = content.and_then(|content| {
            let (mut found, findings) = api::parse::documents_fail_closed(&content.text, "");
            for finding in findings {
                tracing::warn!(row = row.key, %finding, "a stored object");
            }
            let mut object = found.pop()?;
            created_at(&mut object, content.created_s);
            Some(object)
        });
        match read {
            Some(object) => objects.store(Arc::new(object), row.revision),
            None => tracing::warn!(row = row.key, "a stored object cannot be read by this version"),
        }
    }
    objects
}

#[cfg(test)]
mod tests;
