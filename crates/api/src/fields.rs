//! Fields that several kinds have.

pub mod backend_pool;
pub mod backend_ref;
pub mod connection_pool;
pub mod client_tls;
pub mod client_traffic;
pub mod header_edits;
pub mod l4_rules;
pub mod mirror;
pub mod parent_ref;
pub mod pattern;
pub mod port;
pub(crate) mod request_rules;
pub mod selector;
pub mod server_tls;
pub mod string_match;
pub mod target_ref;
pub mod value_match;
pub(crate) mod visibility;
