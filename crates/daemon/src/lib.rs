//! How every Leno process starts, reports, drains and stops.
//!
//! Knows nothing of the product: no routes, no certificates. `tasks` owns what runs, `drain` tells it to
//! finish, `readiness` says whether the process may be used, `metrics` and `admin` say how it does,
//! `process` talks to the kernel, `clock` is the seam for time.

pub mod admin;
pub mod clock;
pub mod drain;
pub mod logging;
pub mod metrics;
pub mod process;
pub mod readiness;
pub mod tasks;

pub use drain::{Drain, DrainTrigger};
pub use readiness::{Gate, Readiness};
pub use tasks::Tasks;
