//! HTTP/2: a server and a client of our own. The connection knows no socket, its streams share one thread with it.
//!
//! Read next: `server`, `client`, `connection`.

mod client;
mod server;

pub(crate) mod recv; // a stream as a body
pub(crate) mod tunnel; // and as bytes
mod handle; // who holds a stream
mod pump; // a body onto its stream
mod stall; // whose reader is slow

mod connection; // frames in, frames out
mod transport; // its socket
mod keepalive; // whether the peer is there

mod flood; // too many frames
mod flow; // windows
mod frame; // heads and codes
mod head; // fields and their rules
pub mod hpack; // blocks of bytes <-> fields
mod outbox; // what waits to be written
mod settings;
mod stream;
mod streams;

pub use client::{Http2Sender, connect};
pub(crate) use handle::InterimStream;
pub use server::{serve, serve_with_interims};

#[cfg(test)]
mod tests;
