//! TLS with callers from outside, at a gateway's listeners, one file for each step: `client_hello` reads which
//! server name is wanted, `listener` is what a listener speaks, `certificates` what it shows and keeps up to date,
//! `client_verifier` whom it lets in, `handshake` ties them together, `standing` says who may go on.
//!
//! Keys are in memory alone, and nothing here shows one: they come from files, or over the control stream
//! (`docs/decisions/0007`). The TLS of the mesh is another matter: `mesh_tls`.

pub(crate) mod certificate;
pub(crate) mod certificates;
pub(crate) mod client_certificate;
pub(crate) mod client_hello;
pub(crate) mod client_verifier;
pub(crate) mod facts;
pub(crate) mod handshake;
pub(crate) mod listener;
pub(crate) mod standing;

#[cfg(test)]
pub(crate) mod tests;
