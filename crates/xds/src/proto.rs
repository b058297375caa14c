//! Generated messages, in the modules that the generator expects. Written by `cargo xtask generate`.
#![allow(missing_docs, clippy::all, clippy::unwrap_used, clippy::panic, reason = "generated")]
#![allow(clippy::allow_attributes_without_reason, reason = "the generator gives none")]

pub mod google {
    pub mod rpc {
        include!("gen/google.rpc.rs");
    }
}

pub mod envoy {
    pub mod config {
        pub mod core {
            pub mod v3 {
                include!("gen/envoy.config.core.v3.rs");
            }
        }
    }
    pub mod service {
        pub mod discovery {
            pub mod v3 {
                include!("gen/envoy.service.discovery.v3.rs");
            }
        }
    }
}

pub mod leno {
    pub mod mesh {
        pub mod v1 {
            include!("gen/leno.mesh.v1.rs");
        }
    }
}

pub use envoy::config::core::v3::Node;
pub use envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource};
pub use leno::mesh::v1::{ApplicationHealth, HealthState, Implied, ObservedInbound, ProxyNode};
