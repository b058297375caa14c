//! Parts of the status report that both planes have: certificates, processes. Their form is `api::report`.

use api::report::{CertificateReport, CertificateState};
use identity::freshness::{CertificateValidity, Freshness};
use model::time::rfc3339;
use serde::Serialize;
use serde_json::Value;
use std::time::SystemTime;

/// A report as it is sent: its fields in the order of the alphabet.
pub fn value(report: impl Serialize) -> Value {
    serde_json::to_value(report).unwrap_or_else(|error| {
        tracing::error!(%error, "a report cannot be written");
        Value::Null
    })
}

/// A certificate of the plane itself.
pub fn certificate(held: &CertificateValidity, now: SystemTime) -> CertificateReport {
    CertificateReport {
        name: Some(held.name.into()),
        expires: Some(rfc3339(held.not_after)),
        state: Some(certificate_state(held.freshness(now))),
    }
}

/// How a certificate stands.
pub fn certificate_state(freshness: Freshness) -> CertificateState {
    match freshness {
        Freshness::Good => CertificateState::Valid,
        Freshness::ExpiresSoon(_) => CertificateState::ExpiresSoon,
        Freshness::Expired(_) => CertificateState::Expired,
    }
}
