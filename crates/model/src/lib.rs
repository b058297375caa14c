//! Layer 0. The nouns of Leno: what users mean, independent of how they wrote it or how it travels.
//!
//! Plain data: no I/O, no clock, no serde of foreign formats. `translate` makes these from users'
//! objects, `xds` carries them, `decide` reads them, `proxy` acts on them. Read `resource` next.

pub mod address;
pub mod authz;
pub mod backend_tls;
pub mod backoff;
pub mod bind;
pub mod capture_scope;
pub mod client_traffic;
pub mod external;
pub mod federation;
pub mod filter;
pub mod finding;
pub mod hex;
pub mod header;
pub mod id;
pub mod interner;
pub mod l4_route;
pub mod listener;
pub mod listener_tls;
pub mod mtls;
pub mod names;
pub mod observed;
pub mod origin;
pub mod port_list;
pub mod pattern;
pub mod probe;
pub mod reason;
pub mod resource;
pub mod route;
pub mod service;
pub mod settings;
pub mod time;
pub mod traffic;
pub mod trust;
pub mod workload_host;

pub use authz::{Action, Policy};
pub use backoff::Backoff;
pub use bind::BindAddress;
pub use finding::{Code, Finding, Severity};
pub use id::{Hostname, Locality, ObjectRef, SpiffeId, TrustDomain};
pub use origin::Origin;
pub use reason::Reason;
pub use resource::{Resource, ResourceKey, Subscription};
pub use settings::MeshSettings;

#[cfg(test)]
mod tests;
