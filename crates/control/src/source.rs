//! Where objects come from: files of a directory and the API, merged into what is in force.
//!
//! `scan` reads a directory, `directory` knows what of it is in force, `watch` notices changes, `objects` merges
//! that with what was applied over the API (`backend`). Nothing is understood here: `api` parses, `translate` says what it means.

pub mod directory;
pub mod objects;
pub mod scan;
pub mod watch;
