//! Layer 1. Every decision on a request, with its reason: route, authorization, backend, endpoint, retry.
//!
//! Pure: time and dice are arguments, nothing here waits, locks, opens or spawns. So the proxy and the
//! command line ask the same functions and cannot disagree. The order in which a request asks them: at the
//! caller `forwarded` (at an edge), `listener`, `path`, `plan` (which asks `authz`, `route` and `filter`), `split`,
//! `balance`, then `retry` on failure; a connection asks `l4_route` instead of `plan`; at the callee `listener`, `path`, `plan::admit`. What goes on for longer than
//! certificates live asks `reauthentication`.

pub mod attach;
pub mod authz;
pub mod balance;
pub mod client_cert;
pub mod client_traffic;
pub mod consumer;
pub mod dice;
pub mod egress;
pub mod explain;
mod expression;
pub mod filter;
pub mod forwarded;
pub mod grpc;
pub mod hash;
pub mod host;
pub mod l4_route;
pub mod listener;
pub mod mtls;
pub mod outlier;
pub mod path;
pub mod plan;
pub mod probe;
pub mod reauthentication;
pub mod request;
pub mod resolution;
pub mod retry;
pub mod retry_budget;
pub mod route;
pub mod split;

pub use dice::Dice;
pub use request::{Headers, RequestView, is_grpc};
