//! Layer 5. Who holds the root of a mesh: `leno root`, a small process that signs clusters' intermediates and the
//! management plane's leaf, and does nothing else.
//!
//! The key is in its memory and nowhere else: made there, or read once. It serves no proxies and knows no
//! workloads. What goes over its streams is `ca::issuer` and `docs/issuers.md`. Read `start`, then `unix` and `tls`.

pub mod command;
pub mod options;
pub mod start;

mod askers; // what is signed for whom
mod grants; // single-use tokens
mod limits; // how often, how many
mod local; // who asks on this host
mod remote; // who asks from another one
mod tls; // the listener for other hosts
mod unix; // the socket

pub use options::Options;
