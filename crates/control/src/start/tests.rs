//! A control plane with real sockets on loopback, and proxies that are a client session each.
#![allow(clippy::unwrap_used, clippy::panic)]

mod bench;
mod enrolment;
mod restart;
mod configuration;
mod federation;

use super::*;
use bench::*;
