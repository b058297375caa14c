//! What is said of an object to whoever wrote it, in the words of Kubernetes: conditions.
//!
//! Reasons are those of the Gateway API where it has one. Pure; `write_back` brings it to the source.

use api::Object;
use futures_util::future::BoxFuture;
use model::{Code, Finding, Severity};
use std::sync::Arc;

/// What is said of one object.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectStatus {
    /// The very object that was judged: its `generation` is what the conditions speak of.
    pub object: Arc<Object>,
    /// One of each kind.
    pub conditions: Vec<StatusCondition>,
}

/// One statement about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusCondition {
    /// About what.
    pub kind: ConditionKind,
    /// Whether it is so.
    pub holds: bool,
    /// Why, in one word.
    pub reason: &'static str,
    /// Why, for people; empty when all is well.
    pub message: String,
}

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConditionKind {
    /// The object is valid and in force.
    Accepted,
    /// All that it refers to is there.
    ResolvedRefs,
}

impl ConditionKind {
    /// The `type` of the condition.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::ResolvedRefs => "ResolvedRefs",
        }
    }
}

/// A source that keeps what is said of its objects where they are.
pub trait StatusWriter: Send + Sync + 'static {
    /// Writes the status of one object. One that fails is written again later.
    fn write_status<'a>(&'a self, status: &'a ObjectStatus) -> BoxFuture<'a, Result<(), StatusError>>;
}

/// Why a status was not written.
#[derive(Debug, thiserror::Error)]
#[error("write the status of {object}")]
pub struct StatusError {
    /// Of what.
    pub object: String,
    /// Why.
    #[source]
    pub cause: Box<dyn std::error::Error + Send + Sync>,
}

/// What `findings` about an object come to. `overridden`: an object of another source is in force in its place.
pub fn conditions(findings: &[&Finding], overridden: bool) -> Vec<StatusCondition> {
    let mut accepted = None;
    let mut resolved = None;
    if overridden {
        let message = "an object of another source has its name and is in force instead".to_owned();
        accepted = Some(("Overridden", message));
    }
    for finding in findings {
        let (worst, reason) = match finding.code {
            Code::ReferenceNotFound | Code::PortNotFound | Code::BackendNotFound => {
                (&mut resolved, "BackendNotFound")
            }
            Code::ParentNotFound => (&mut accepted, "NoMatchingParent"),
            Code::Unsupported => (&mut accepted, "UnsupportedValue"),
            code if code.level() == Severity::Error => (&mut accepted, "Invalid"),
            _ => continue,
        };
        worst.get_or_insert_with(|| (reason, format!("{}: {}", finding.code.as_str(), finding.cause)));
    }
    let condition = |kind: ConditionKind, failed: Option<(&'static str, String)>| match failed {
        None => StatusCondition { kind, holds: true, reason: kind.as_str(), message: String::new() },
        Some((reason, message)) => StatusCondition { kind, holds: false, reason, message },
    };
    vec![condition(ConditionKind::Accepted, accepted), condition(ConditionKind::ResolvedRefs, resolved)]
}

#[cfg(test)]
mod tests;
