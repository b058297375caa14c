//! Layer 5. Test hosts from namespaces, clusters on them, faults, load, and the demo.
//!
//! Real programs run on hosts that are network namespaces of one private user namespace; the end of the
//! process that started the lab ends all of it. Never asserts anything: tests do, through [`client`].
//! From outside inwards: `demo` (commands), `client`, `protocol`; `enter`, `init`; `inside`.

pub mod client; // drives a running lab: command line and tests
mod demo; // the commands
pub mod protocol; // what both sides say
mod table; // printing
mod wire; // frames and descriptors

mod enter; // launcher and stage one
mod files; // one private tmpfs
mod init; // PID 1
mod inside; // the running lab
mod lifecycle; // start, stop, kill, scale
mod ready; // waiting for states
mod root; // the demo's root of trust
mod serve; // answers to the control socket

mod config; // documents of each cluster
mod host; // namespace, files, processes
mod namespace; // netlink
mod network; // bridges and cables
mod pcap; // packet captures
pub mod plan; // the demo as data
mod process; // spawn and reap
mod raw; // the only unsafe code

pub mod app; // the demo application
mod caller; // an ordinary HTTP client
pub mod load; // constant-rate load

pub use client::{Client, Lab, wait_until};
pub use demo::{DemoArguments, DemoStage};
