//! Regular expressions as text, which `decide` compiles.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The text of a regular expression that `translate` has checked. It is compiled by `decide` when a table
/// is built; one that fails there matches nothing in a route.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pattern(pub Arc<str>);
