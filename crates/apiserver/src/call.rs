//! What a request asks for: one of the calls that there are. Its rights and its work both come from that.

use crate::access::{ApiResource, ApiVerb};
use crate::backend::{ObjectTarget, ServedKind};
use crate::path::ApiPath;
use http::Method;
use std::fmt;

/// A call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ApiCall {
    /// Whether the server runs.
    Health,
    /// Versions of the core group.
    Versions,
    /// The other groups.
    Groups,
    /// Kinds of one group and version.
    Resources { group: String, version: String },
    /// All objects of a kind, in one namespace or in all.
    List(ServedKind, Option<String>),
    /// One object.
    Read(ObjectTarget),
    /// Creates or replaces one.
    Apply(ObjectTarget),
    /// Removes one.
    Delete(ObjectTarget),
    /// Makes something below one.
    Create(ObjectTarget, String),
    /// Applies and deletes several as one change.
    Batch,
    /// All that is stored.
    Backup,
    /// A report.
    Report(String),
}

/// Why there is no such call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoCall {
    /// Nothing has this path.
    Path,
    /// The path has other methods.
    Method,
}

impl ApiCall {
    /// What a method and a path mean together.
    pub(crate) fn of(method: &Method, path: ApiPath) -> Result<Self, NoCall> {
        let read = matches!(*method, Method::GET | Method::HEAD);
        let write = matches!(*method, Method::PUT | Method::POST);
        match path {
            ApiPath::Health if read => Ok(Self::Health),
            ApiPath::Versions if read => Ok(Self::Versions),
            ApiPath::Groups if read => Ok(Self::Groups),
            ApiPath::Resources { group, version } if read => Ok(Self::Resources { group, version }),
            ApiPath::List(kind, namespace) if read => Ok(Self::List(kind, namespace)),
            ApiPath::List(kind, namespace) if *method == Method::POST => {
                let namespace = namespace.unwrap_or_default();
                Ok(Self::Apply(ObjectTarget { kind, namespace, name: String::new() }))
            }
            ApiPath::Object(target) if read => Ok(Self::Read(target)),
            ApiPath::Object(target) if write => Ok(Self::Apply(target)),
            ApiPath::Object(target) if *method == Method::DELETE => Ok(Self::Delete(target)),
            ApiPath::Below(target, below) if *method == Method::POST => Ok(Self::Create(target, below)),
            ApiPath::Batch if *method == Method::POST => Ok(Self::Batch),
            ApiPath::Backup if *method == Method::GET => Ok(Self::Backup),
            ApiPath::Report(name) if read => Ok(Self::Report(name)),
            ApiPath::Unknown => Err(NoCall::Path),
            _ => Err(NoCall::Method),
        }
    }

    /// What a caller must be permitted for it.
    pub(crate) fn asks(&self) -> (&'static [ApiVerb], ApiResource<'_>) {
        match self {
            Self::Health => (&[ApiVerb::Get], ApiResource::Health),
            Self::Versions | Self::Groups | Self::Resources { .. } => {
                (&[ApiVerb::Get], ApiResource::Discovery)
            }
            Self::List(..) | Self::Read(_) => (&[ApiVerb::Get], ApiResource::Objects),
            Self::Apply(_) => (&[ApiVerb::Apply], ApiResource::Objects),
            Self::Delete(_) => (&[ApiVerb::Delete], ApiResource::Objects),
            Self::Create(_, below) => (&[ApiVerb::Create], ApiResource::Below(below)),
            Self::Batch => (&[ApiVerb::Apply, ApiVerb::Delete], ApiResource::Objects),
            Self::Backup => (&[ApiVerb::Get], ApiResource::Backup),
            Self::Report(_) => (&[ApiVerb::Get], ApiResource::Reports),
        }
    }
}

/// What it is about, for the log.
impl fmt::Display for ApiCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(target) | Self::Apply(target) | Self::Delete(target) => target.named().fmt(f),
            Self::Create(target, below) => write!(f, "{}/{below}", target.named()),
            Self::List(kind, _) => f.write_str(kind.plural),
            Self::Batch => f.write_str("batch"),
            Self::Backup => f.write_str("backup"),
            Self::Report(name) => f.write_str(name),
            Self::Health | Self::Versions | Self::Groups | Self::Resources { .. } => {
                write!(f, "{}", self.asks().1)
            }
        }
    }
}

#[cfg(test)]
mod tests;
