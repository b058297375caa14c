//! Layer 3. The contract between planes: messages, the delta protocol as sans-IO machines, gRPC shells
//! around them.
//!
//! [`wire`] turns nouns of `model` into bytes and back, [`server::ServerSession`] and [`client::ClientSession`] speak
//! the protocol without knowing how it travels, [`link`] joins them in one process, [`grpc`] over the
//! network. Nothing here translates, decides or knows who may see what (that is the [`server::Catalog`]).

pub mod proto;
pub mod wire;
pub mod server;
pub mod client;
pub mod link;
pub mod grpc;
mod status;

pub use proto::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, ProxyNode};
pub use status::{Code, Status};

/// The one type URL of requests and responses; each resource's `Any` has its own.
pub const TYPE_URL: &str = "type.googleapis.com/leno.mesh.v1.Resource";
