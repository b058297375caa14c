//! Where objects come from: files of a directory and the API, merged into what is in force.
//!
//! `directory` reads files and watches them, `objects` merges that with what was applied over the API (`backend`).
//! Nothing is understood here: `api` parses, `translate` says what it means.

pub mod directory;
pub mod objects;
