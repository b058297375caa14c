//! A directory of configuration files as a source.
//!
//! `scan` reads it, `files` knows what of it is in force, `watch` notices changes.

pub mod files;
pub mod scan;
pub mod watch;
