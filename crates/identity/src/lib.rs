//! Layer 3. Identity: SVIDs, trust bundles, the TLS verifier and resolver, rotation.
//!
//! Invariants kept here: in the mesh TLS 1.3 only, no tickets, no resumption, no early data; a root vouches for its own
//! trust domain and no other; keys are made in memory and cannot be read out. Nothing here signs
//! certificates (that is `ca`), dials, or decides what an identity may do. Read `verify` next.

mod backend; // servers outside the mesh
mod certificate_names;
mod config;
mod expect;
pub mod freshness;
mod key;
mod leaf;
mod plane; // a plane's API
mod provider;
mod refusal;
pub mod rotate;
mod svid;
mod verify;
mod watch;

pub use backend::{BackendTlsError, BelievedAuthorities, backend_client_config};
pub use certificate_names::{CertificateNames, certificate_names};
pub use config::{Clients, Identity, client_config_for, server_name};
pub use expect::Expect;
pub use key::{Key, KeyError};
pub use leaf::{Flaw, Leaf, URI_BYTES_MAX, cluster, leaf, not_after, public_key};
pub use plane::plane_client_config;
pub use provider::provider;
pub use refusal::{Bound, Outside, Refused, is_refused, outside_validity, refusal};
pub use rustls;
pub use rustls::pki_types::CertificateDer;
pub use svid::{Svid, SvidError};
pub use verify::{CHAIN_CERTIFICATES_MAX, CONTROL_ACCOUNT, MANAGER_ACCOUNT, ROOT_ACCOUNT, SYSTEM_NAMESPACE};
pub use watch::OutsideValidity;

#[cfg(test)]
mod tests;
