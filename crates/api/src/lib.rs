//! Layer 1. What users write: the kinds that Leno reads, their parsing with line numbers, and findings.
//!
//! `parse::documents` turns text into checked [`Object`]s and [`model::Finding`]s. Nothing here knows what
//! an object means for traffic: that is `translate`. Read `object`, then `parse`; the kinds are in `kinds`.

pub mod decode;
mod document;
pub mod duration;
pub mod fields;
mod ignored;
pub mod kinds;
mod meta;
mod node;
pub mod object;
pub mod parse;
pub mod report;
mod scan;
pub mod suggest;
mod syntax;
mod validation;

pub use kinds::Spec;
pub use meta::{Meta, ROOT_NAMESPACE, ResourceVersion};
pub use object::Object;
