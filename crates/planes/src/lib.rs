//! Layer 4. What the control plane and the management plane have in common: the listener that others call by mutual
//! TLS, what their certificates mean for `/ready` and the metrics, and how reports are written.
//!
//! Nothing here knows what a plane serves. Read `listener`, then `health`.

pub mod health;
pub mod listener;
pub mod rate;
pub mod report;

use identity::freshness::CertificateValidity;
use std::sync::Arc;

/// Gives the certificates that a plane itself lives on.
pub type OwnCertificates = Arc<dyn Fn() -> Vec<CertificateValidity> + Send + Sync>;
