//! Layer 4. What runs with privileges on a host: traffic capture and its undo, and a host that joins and leaves.
//!
//! Never holds policy. It changes the host's rules once and ends, or stays beside a proxy and takes them away with it.
//! Read `capture` next, then `join`.

pub mod capture;
mod claim;
pub mod guard;
pub mod join;
pub mod nft;
mod notices;
mod scope;
