//! HTTP/2: a server and a client on the `h2` crate, each with a meter that counts the peer's frames.

mod blocks; // fields, as far as the library hides them
mod client;
mod findings;
pub mod hpack; // blocks of bytes <-> fields
pub(crate) mod keepalive;
mod meter;
mod metered; // the meter in the stream
mod open; // counts streams
mod outbox;
mod pump;
pub(crate) mod recv;
mod server;
pub(crate) mod tunnel;

pub use client::{Http2Sender, connect};
pub use server::serve;

#[cfg(test)]
mod tests;
