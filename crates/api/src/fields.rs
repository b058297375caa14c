//! Fields that several kinds have.

pub mod pattern;
pub mod port;
pub mod selector;
pub mod target_ref;
