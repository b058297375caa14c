//! HTTP/1.1: a server and a client over hyper, with a strict gate on raw bytes in front of the server.

mod gate; // framing, byte by byte
mod gated; // the gate in the stream
mod server;

mod client;

pub use client::{Sender, connect};
pub(crate) use gate::is_host;
pub use server::serve;

#[cfg(test)]
mod tests;
