//! A control plane with real sockets on loopback, and proxies that are a client session each.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod api;
mod bench;
mod configuration;
mod enrolment;
mod federation;
mod restart;

use super::*;
use bench::*;
