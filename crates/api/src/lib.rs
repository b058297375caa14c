//! Layer 1. What users write: the kinds that Leno reads, their parsing with line numbers, and findings.
//!
//! `parse::documents` turns text into checked [`Object`]s and [`model::Finding`]s. Nothing here knows what
//! an object means for traffic: that is `translate`. Read `object`, then `parse`.

pub mod kinds;
pub mod object;
pub mod core;
pub mod gateway;
pub mod httproute;
pub mod istio;
pub mod leno;
pub mod parse;
pub mod duration;
pub mod suggest;
mod node;
pub mod decode;
mod scan;
mod check;

pub use object::{Meta, Object, Spec};
