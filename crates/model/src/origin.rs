//! Where a fact came from, so that every decision can be traced to a line that a person wrote.

use crate::id::ObjectRef;
use std::sync::Arc;

/// An object and, when it came from a file, the place in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The object.
    pub object: ObjectRef,
    /// Path of the file; empty when the object came over the API.
    pub file: Arc<str>,
    /// 1-based line; 0 when unknown.
    pub line: u32,
}
