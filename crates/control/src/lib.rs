//! Layer 5. The control plane of one cluster.
//!
//! `plane` is everything that is known, without sockets; `task` owns it; `directory`, `watch`, `objects`
//! and `backend` bring configuration in, `serving` and `enroll` proxies, `federation` other clusters.
//! It makes no decisions of its own: what things mean is `translate`. Read `start`, then `plane`.

pub mod options;
pub mod start;
pub mod directory;
pub mod watch;
pub mod objects;
pub mod presence;
pub mod tokens;
pub mod rate;
pub mod published;
pub mod stream;
pub mod plane;
pub mod task;
pub mod serving;
pub mod enroll;
pub mod authority;
pub mod federation;
pub mod backend;
pub mod status;
pub mod metrics;
pub mod local;

pub use options::{Options, Seams};
