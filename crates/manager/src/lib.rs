//! Layer 5. The management plane of many clusters: learns what each exports, tells the others.
//!
//! It holds no credential of any cluster and no signing key, and nothing waits for it: what it told stays
//! in force while it is away. `clusters` is what it knows, `history` what it knew before, `serving` how it
//! hears and tells, `start` the rest.

pub mod clusters;
pub mod history;
pub mod options;
pub mod serving;
pub mod start;
pub mod view;

pub use options::{Options, Seams};
