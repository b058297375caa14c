//! Where objects come from: files of a directory and the API, merged into what is in force.
//!
//! `directory` reads files, `watch` notices their changes, `objects` merges them with what was applied over
//! the API (`backend`). Nothing is understood here: `api` parses, `translate` says what it means.

pub mod directory;
pub mod objects;
pub mod watch;
