//! HTTP/1.1, sans-IO: what bytes mean (`parse`, `framing`) and how they are written (`write`) is pure; `server` and
//! `client` carry it to streams.
//!
//! It is stricter than the RFC where leniency would give a message two readings: nothing passes that somebody behind
//! us could read in another way. Read next: `parse`, `server`, `client`.

mod rules; // within a line
mod spare; // memory used again

mod parse; // heads
mod framing; // where bodies end

mod output; // what is to be written
mod date; // of a response
mod write; // heads and bodies out

mod buffered; // a stream and its buffers
pub(crate) mod recv; // a body that is still to come

mod server;
mod client;
mod one_shot; // one exchange, for a client whose futures are `Send`

pub use client::{Http1Sender, connect};
pub(crate) use one_shot::{OneShotError, exchange};
pub(crate) use rules::{is_alias_of_framing, is_host, is_host_and_port};
pub(crate) use server::InterimLine;
pub use server::{serve, serve_with_interims};

#[cfg(test)]
mod tests;
