//! `backendRefs`, which routes of all kinds have: where to, and how much of it.

use crate::validation::ValidationReport;
use model::Code;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

const BACKENDS_MAX: usize = 16;
const WEIGHT_MAX: u32 = 1_000_000;

/// One destination of a route, with filters of type `F`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "F: Deserialize<'de>"))]
pub struct BackendRef<F = NoFilter> {
    /// Absent or empty: core; `leno.dev` for GlobalService and Backend.
    #[serde(default)]
    pub group: Option<Box<str>>,
    /// Absent: `Service`.
    #[serde(default)]
    pub kind: Option<Box<str>>,
    /// Absent: the route's; another one needs a ReferenceGrant there.
    #[serde(default)]
    pub namespace: Option<Box<str>>,
    /// Name.
    pub name: Box<str>,
    /// Required for `Service`.
    #[serde(default)]
    pub port: Option<u16>,
    /// Share; absent: 1.
    #[serde(default)]
    pub weight: Option<u32>,
    /// For requests that go here.
    #[serde(default = "Box::default")]
    pub filters: Box<[F]>,
    /// Line in the file.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

/// There is none: what goes here is no request, or a copy of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoFilter {}

impl<'de> Deserialize<'de> for NoFilter {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom("takes no filters; remove them"))
    }
}

/// What a backend reference of any route names.
#[derive(Clone, Copy, Debug)]
pub struct BackendTarget<'a> {
    /// As [`BackendRef::group`].
    pub group: &'a str,
    /// As [`BackendRef::kind`].
    pub kind: &'a str,
    /// As [`BackendRef::namespace`].
    pub namespace: Option<&'a str>,
    /// As [`BackendRef::name`].
    pub name: &'a str,
    /// As [`BackendRef::port`].
    pub port: Option<u16>,
    /// As [`BackendRef::weight`].
    pub weight: u32,
    /// As [`BackendRef::line`].
    pub line: u32,
}

impl<F> Default for BackendRef<F> {
    fn default() -> Self {
        Self {
            group: None,
            kind: None,
            namespace: None,
            name: Box::default(),
            port: None,
            weight: None,
            filters: Box::default(),
            line: 0,
        }
    }
}

impl<F> BackendRef<F> {
    /// What it names.
    pub fn target(&self) -> BackendTarget<'_> {
        BackendTarget {
            group: self.group.as_deref().unwrap_or_default(),
            kind: self.kind.as_deref().unwrap_or("Service"),
            namespace: self.namespace.as_deref(),
            name: &self.name,
            port: self.port,
            weight: self.weight.unwrap_or(1),
            line: self.line,
        }
    }
}

/// Checks the `backendRefs` of the rule at `at`.
pub(crate) fn check<'a>(
    backends: impl ExactSizeIterator<Item = BackendTarget<'a>>,
    at: &str,
    report: &mut ValidationReport<'_>,
) {
    report.at_most(&format!("{at}.backendRefs"), backends.len(), BACKENDS_MAX);
    for (index, backend) in backends.enumerate() {
        one(&backend, &format!("{at}.backendRefs[{index}]"), report);
    }
}

/// Checks one of them.
pub(crate) fn one(backend: &BackendTarget<'_>, at: &str, report: &mut ValidationReport<'_>) {
    report.subdomain(&format!("{at}.name"), backend.name);
    if let Some(namespace) = backend.namespace {
        report.label(&format!("{at}.namespace"), namespace);
    }
    if let Some(port) = backend.port {
        report.port(&format!("{at}.port"), port);
    }
    if backend.weight > WEIGHT_MAX {
        report.bad(&format!("{at}.weight"), &format!("is more than {WEIGHT_MAX}"), "use smaller weights");
    }
    // An unknown kind leads nowhere by the specification: `translate` says so.
    if (backend.group, backend.kind) == ("", "Service") && backend.port.is_none() {
        let (path, fix) = (format!("{at}.port"), "add the port of the service");
        report.refuse(Code::MissingField, &path, "is missing", fix);
    }
}
