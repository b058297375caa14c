//! Layer 4. What runs with privileges on a host: traffic capture and its undo.
//!
//! Never holds policy, never keeps a process: it changes the host's rules once and ends. Whoever starts a
//! proxy runs it before. Read `capture` next.

pub mod capture;
pub mod nft;
