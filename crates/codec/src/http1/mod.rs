//! HTTP/1.1: a server and a client over hyper, with a strict gate on raw bytes in front of the server.

mod client;
mod gate;
mod server;

pub use client::{Sender, connect};
pub use server::serve;

#[cfg(test)]
mod tests;
