//! Layer 4. Issuing certificates: roots, short-lived intermediates, leaves for exactly the identity that
//! was granted.
//!
//! Names in a CSR are never looked at; whoever calls [`sign::Signer::sign`] says who asks. Keys live in
//! memory only. Nothing here knows tokens' bookkeeping or workloads (that is `control`).

pub mod sign;
pub mod root;
pub mod issuer;
pub mod token;

pub use issuer::{IssueError, IssuerOptions, LeafIssuer, RootIssuer};
pub use root::Root;
pub use sign::{SignError, Signer};
pub use token::JoinToken;
