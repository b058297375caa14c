#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
//! Whole stories over real sockets on the loopback, each proxy a worker of its own in one thread.

mod addresses;
mod answers;
mod authority;
mod backend_tls;
mod balancing;
mod bed;
mod datagrams;
mod edge;
mod edge_tls;
mod egress;
mod expiry;
mod explained;
mod filters;
mod gone;
mod l4_rules;
mod limits;
mod long;
mod mesh;
mod name_server;
mod named;
mod native;
mod peer_cluster;
mod plaintext;
mod policy;
mod reasons;
mod retries;
mod rules;
mod silence;
mod sizes;
mod streams;
mod threads;
mod tunnel;
mod undeclared;
mod upgrade;
mod upstream;
