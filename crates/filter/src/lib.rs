//! Layer 3. Filters that may wait for somebody (a key server, an authorization service, a plugin): their contract, the
//! order of all stages of a request, and the chain that runs them.
//!
//! Filters of rules that only compute are pure and live in `decide::filter`; the canonical request is the same for
//! both. A filter that waits is an implementation of [`HttpFilter`] in its own file, with a [`Stage`] of `order`; until
//! kinds configure such filters, they come in by `proxy::start::Seams::filters` alone. This crate never opens a connection: a filter that must ask somebody does it by [`Outcall`]. Read `order`
//! first, then `contract`, `chain`.

pub mod chain;
pub mod contract;
pub mod order;

pub use chain::{Chain, Chains, Misplaced};
pub use contract::{BodyNeed, Context, HttpFilter, Outcall, OutcallTarget, Pending};
pub use decide::filter::{Filter, HeaderEdits, LocalReply, RequestHead, Verdict};
pub use order::{FailMode, ORDER, Side, Stage};
