//! Istio's networking kinds: what their objects are compiled to.
//!
//! `name` says which hosts are meant. A `DestinationRule` is compiled in `destination_rule`; `host_rules` says which of
//! them count for a host, and `subset` what a subset selects. Which hosts and subsets a `VirtualService` names is in
//! `claims`, its rules in `virtual_service`. What an Istio `Gateway` asks for is in `gateway`, who opens it in `servers`.

pub(super) mod claims;
pub(super) mod destination_rule;
pub(super) mod gateway;
pub(super) mod host_rules;
mod name;
mod server_tls;
pub(super) mod servers;
pub(super) mod subset;
pub(super) mod virtual_service;

pub(crate) use name::HostPattern;
