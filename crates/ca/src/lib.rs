//! Layer 4. Issuing certificates: roots, short-lived intermediates, leaves for exactly the identity that
//! was granted.
//!
//! Names in a CSR are never looked at; whoever calls [`sign::Signer::sign`] says who asks. Keys live in
//! memory only. Nothing here knows tokens' bookkeeping or workloads (that is `control`).

mod inherited; // descriptors in
pub mod pem; // certificates and a key, read once
pub mod key; // what signs
pub mod sign;
pub mod issuer;
pub mod root;
pub mod token;
pub mod grant;

pub use grant::{GrantSubject, GrantToken};
pub use issuer::{CertificateRequest, IssueError, IssuerOptions, LeafIssuer, RefusalCode, RootIssuer};
pub use root::Root;
pub use sign::{SignError, Signer};
pub use token::JoinToken;
