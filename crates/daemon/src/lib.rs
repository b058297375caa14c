//! Layer 3. How every process starts, reports, drains and stops. It knows nothing of what the process is for.
//!
//! Read in the order of the modules: a process hardens itself, starts logging, owns its tasks, opens readiness
//! gates as its parts come up, and on SIGTERM starts the drain.

pub mod admin; // operators' HTTP port
pub mod clock; // time as a seam
mod drain; // begin to end
pub mod files; // for their owner alone
pub mod host; // which Host names a local listener answers
pub mod lines; // written by a thread of its own
pub mod local; // Unix sockets
pub mod logging; // JSON to stderr
pub mod metrics; // counters and their exposition
pub mod notify; // a service manager hears of us
pub mod process; // signals, hardening
mod readiness; // what is still missing
pub mod repeated; // one line a second
mod tasks; // who owns a task
pub mod users; // of this machine

pub use drain::{Drain, DrainTrigger};
pub use readiness::{Gate, Readiness};
pub use tasks::{Drained, Tasks};
