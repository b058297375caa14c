//! HTTP/1.1: a server and a client over hyper, with a strict look at raw bytes in front of each.

mod gate; // framing, byte by byte
mod gated; // the gate in the stream
mod server;

mod answers; // the same for what upstreams answer
mod client;

pub use client::{Http1Sender, connect};
pub(crate) use gate::is_host;
pub use server::serve;

#[cfg(test)]
mod tests;
