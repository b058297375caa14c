//! Layer 5. The control plane of one cluster.
//!
//! `plane` is everything that is known, without sockets; `task` owns it; `source` and `backend` bring
//! configuration in, `push` sends what changed, `status` tells what came of it, `strict` whom it shuts out; `serving` and `enroll` take
//! proxies in, `federation` other clusters.
//! It makes no decisions of its own: what things mean is `translate`. Read `start`, then `plane`.

pub mod authority;
pub mod backend;
pub mod enroll;
pub mod federation;
pub mod local;
pub mod metrics;
pub mod observed;
pub mod options;
pub mod plane;
pub mod presence;
pub mod push;
pub mod serving;
pub mod source;
pub mod start;
pub mod status;
pub mod stream;
mod strict;
pub mod task;
pub mod tokens;

pub use options::{Options, Seams};
