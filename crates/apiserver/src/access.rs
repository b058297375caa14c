//! Who may do what over the API: three roles, and one table of what each of them may. Pure.
//!
//! What is not in the table is nobody's. Who has which role: `caller`. What a call asks for: `call`.

use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// What a caller may do in all. Each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ApiRole {
    /// Reads; no tokens.
    View,
    /// Changes objects too.
    Edit,
    /// Everything, join tokens too.
    Admin,
}

impl ApiRole {
    /// All of them, the least first.
    pub const ALL: [Self; 3] = [Self::View, Self::Edit, Self::Admin];
}

impl fmt::Display for ApiRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::View => "view",
            Self::Edit => "edit",
            Self::Admin => "admin",
        })
    }
}

impl FromStr for ApiRole {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|role| role.to_string() == text);
        found.ok_or_else(|| format!("there is no role {text:?}; the roles are view, edit and admin"))
    }
}

/// What is done to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiVerb {
    /// Read one or all.
    Get,
    /// Create or replace.
    Apply,
    /// Remove.
    Delete,
    /// Make something that is no object, for example a token.
    Create,
}

impl fmt::Display for ApiVerb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "get",
            Self::Apply => "apply",
            Self::Delete => "delete",
            Self::Create => "create",
        })
    }
}

/// Sorts of what the API has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiResource<'a> {
    /// Whether the server runs.
    Health,
    /// Which kinds there are.
    Discovery,
    /// Status, findings, other clusters.
    Reports,
    /// Objects of every kind; no kind holds a secret.
    Objects,
    /// All that is stored.
    Backup,
    /// What is below an object, by its name in the path.
    Below(&'a str),
}

impl fmt::Display for ApiResource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Health => "health",
            Self::Discovery => "discovery",
            Self::Reports => "reports",
            Self::Objects => "objects",
            Self::Backup => "backup",
            Self::Below(name) => name,
        })
    }
}

/// The least role for each verb on each sort of resource.
const RULES: &[(ApiVerb, ApiResource<'static>, ApiRole)] = &[
    (ApiVerb::Get, ApiResource::Health, ApiRole::View),
    (ApiVerb::Get, ApiResource::Discovery, ApiRole::View),
    (ApiVerb::Get, ApiResource::Reports, ApiRole::View),
    (ApiVerb::Get, ApiResource::Objects, ApiRole::View),
    (ApiVerb::Apply, ApiResource::Objects, ApiRole::Edit),
    (ApiVerb::Delete, ApiResource::Objects, ApiRole::Edit),
    // Hashes of join tokens are in it.
    (ApiVerb::Get, ApiResource::Backup, ApiRole::Admin),
    // A proxy that is gone is taken out.
    (ApiVerb::Create, ApiResource::Below("withdraw"), ApiRole::Edit),
    // Whoever has one is the workload that it was made for.
    (ApiVerb::Create, ApiResource::Below("token"), ApiRole::Admin),
];

/// Why a caller may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AccessDenied<'a> {
    /// It takes another role.
    #[error("role {role} may not {verb} {resource}; that takes role {least}")]
    Role {
        /// The caller's.
        role: ApiRole,
        /// What was to be done.
        verb: ApiVerb,
        /// To what.
        resource: ApiResource<'a>,
        /// The least role that may.
        least: ApiRole,
    },
    /// No rule is about it.
    #[error("no role may {verb} {resource}")]
    Nobody {
        /// What was to be done.
        verb: ApiVerb,
        /// To what.
        resource: ApiResource<'a>,
    },
}

/// Whether a role may do this, or why not.
///
/// # Errors
/// It may not.
pub fn permit<'a>(role: ApiRole, verb: ApiVerb, resource: ApiResource<'a>) -> Result<(), AccessDenied<'a>> {
    let rule = RULES.iter().find(|(of, what, _)| *of == verb && *what == resource);
    match rule {
        Some((_, _, least)) if role >= *least => Ok(()),
        Some((_, _, least)) => Err(AccessDenied::Role { role, verb, resource, least: *least }),
        None => Err(AccessDenied::Nobody { verb, resource }),
    }
}

#[cfg(test)]
mod tests;
