//! Layer 4. The data plane: one proxy beside every workload, and the same proxy as every gateway.
//!
//! Threads: N workers, each with its own sockets, pools and counters (`worker`), and one control thread
//! for the stream from the control plane and DNS (`start`); admin, metrics and the access log have their own.
//! They share a [`snapshot::SnapshotStore`] and
//! nothing that locks while a request is served. It never decides: it asks `decide`. Read `start` next.

pub mod options;
pub mod start;
pub mod snapshot;
pub mod lookup;
pub mod dns;
pub mod admin;
pub mod observe;
#[cfg(test)]
mod testing;
mod renewal; // how renewing the local certificate goes
mod listening; // what all workers together have open
mod shared; // what all threads share
mod worker; // what one thread has
mod probe; // whether the application is ready
mod uptime; // milliseconds
mod limits; // how many connections at once
mod accept; // sockets in and out
mod detect; // first bytes -> protocol
mod mesh_tls; // TLS of the mesh
mod edge_tls; // TLS with callers from outside
mod names; // endpoints by name
mod peer; // who is at the other end
mod proven; // what it has proved since
mod flow; // the stories of requests and connections
mod request; // the canonical request
mod watched_files; // certificates that others replace
mod backend_tls; // TLS with backends outside the mesh
mod body; // bodies with memory
mod grpc; // how long a call may take
mod upstream; // choose, connect, send, once more
mod failure; // reason -> reply
