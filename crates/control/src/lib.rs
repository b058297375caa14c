//! Layer 5. The control plane of one cluster.
//!
//! `plane` is everything that is known, without sockets; `task` owns it; `directory`, `watch`, `objects`
//! and `backend` bring configuration in, `serving` and `enroll` proxies, `federation` other clusters.
//! It makes no decisions of its own: what things mean is `translate`. Read `start`, then `plane`.

pub mod authority;
pub mod backend;
pub mod directory;
pub mod enroll;
pub mod federation;
pub mod local;
pub mod metrics;
pub mod objects;
pub mod options;
pub mod plane;
pub mod presence;
pub mod published;
pub mod rate;
pub mod serving;
pub mod start;
pub mod status;
pub mod stream;
pub mod task;
pub mod tokens;
pub mod watch;

pub use options::{Options, Seams};
