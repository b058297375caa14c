//! Layer 1. What users write: the kinds that Leno reads, their parsing with line numbers, and findings.
//!
//! `parse::documents` turns text into checked [`Object`]s and [`model::Finding`]s. Nothing here knows what
//! an object means for traffic: that is `translate`. Read `object`, then `parse`.

mod check;
pub mod core;
pub mod decode;
pub mod duration;
pub mod gateway;
pub mod httproute;
pub mod istio;
pub mod kinds;
pub mod leno;
mod node;
pub mod object;
pub mod parse;
mod scan;
pub mod suggest;

pub use object::{Meta, Object, Spec};
