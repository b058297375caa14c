//! From options to a running proxy, and back to nothing: join, configure, serve, drain, stop.
//!
//! Order: harden, metrics, admin, identity, control stream, workers. Ready means: joined, first
//! configuration, listeners bound. On SIGTERM: withdraw at the control plane, drain, exit 0.

mod admin;
mod alone;
mod capture_notice;
mod control;
mod control_stream;
mod error;
mod inbound_report;
mod join;
mod last_good;
mod listeners;
mod name_server;
mod reserved;
mod rotate;
mod run;
mod seams;
mod unjoined;
pub(crate) mod workers;
#[cfg(test)]
mod tests;

pub use error::StartError;
pub use run::{Opened, run, run_with_link};
pub use seams::Seams;
