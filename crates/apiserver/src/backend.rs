//! The seam between the API's shape and what its objects mean.

use crate::backup::StatePlane;
use crate::store::Store;
use model::id::written_kind;
use model::{Finding, ObjectRef};
use serde_json::Value;
use std::future::Future;
use std::sync::Arc;
use thiserror::Error;

/// A kind of objects as the API names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServedKind {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// For example `v1`.
    pub version: &'static str,
    /// For example `HTTPRoute`, as in [`ObjectRef`].
    pub kind: &'static str,
    /// As in paths, for example `httproutes`.
    pub plural: &'static str,
    /// Whether its objects live in namespaces.
    pub scope: KindScope,
}

/// Where objects of a kind live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KindScope {
    /// In a namespace.
    Namespaced,
    /// In the cluster itself.
    Cluster,
}

impl ServedKind {
    /// As in `kind` of a document.
    pub fn written(&self) -> &'static str {
        written_kind(self.kind)
    }

    /// `group/version`, or the version alone for the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `plural.group`, or the plural alone for the core group: what messages of Kubernetes call it.
    pub fn resource(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }
}

/// One object as a path names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectTarget {
    /// Its kind.
    pub kind: ServedKind,
    /// Empty for cluster-scoped kinds.
    pub namespace: String,
    /// Empty when the path names none (`POST` to a list).
    pub name: String,
}

impl ObjectTarget {
    /// How messages call it.
    pub fn named(&self) -> ObjectRef {
        ObjectRef::new(self.kind.kind, &self.namespace, &self.name)
    }
}

/// One object as the API shows it.
#[derive(Clone, Debug)]
pub struct Item {
    /// The whole object; `metadata.resourceVersion` is filled in from `revision`.
    pub value: Value,
    /// Revision of its last change; 0 for objects that come from a file.
    pub revision: u64,
}

impl Item {
    /// Its name; empty when it has none.
    pub fn name(&self) -> &str {
        self.value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
    }
}

/// What came of an apply.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The object as it is now.
    pub item: Item,
    /// Whether it is new.
    pub change: Applies,
    /// Warnings; an error would have refused the object.
    pub findings: Vec<Finding>,
}

/// What an apply did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applies {
    /// There was no such object.
    Created,
    /// There was one.
    Updated,
}

/// Changes that are one: all of them are made, at one moment, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Objects to be created or replaced, each as one document.
    pub apply: Vec<String>,
    /// Objects to be deleted.
    pub delete: Vec<ObjectTarget>,
    /// How it is meant.
    pub intent: ChangeIntent,
}

/// How a change is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChangeIntent {
    /// To be made, unless something stands against it.
    #[default]
    Make,
    /// To be made though it breaks callers that are served now.
    Force,
    /// Only to be looked at: nothing is made.
    Try,
}

/// What came of a batch.
#[derive(Clone, Debug, Default)]
pub struct Changed {
    /// The revision of all changes; that of the last change before, if there was nothing to do.
    pub revision: u64,
    /// What was applied, in the order of the batch.
    pub applied: Vec<(ObjectRef, Applies)>,
    /// What was deleted.
    pub deleted: Vec<ObjectRef>,
    /// What was to be deleted and is not there.
    pub missing: Vec<ObjectRef>,
    /// Warnings about what was applied, and what is newly wrong with other objects.
    pub findings: Vec<Finding>,
}

/// Why a call was refused.
#[derive(Debug, Error)]
pub enum ApiError {
    /// No such kind, object or call.
    #[error("{0} not found")]
    NotFound(String),
    /// The body is not an object that can be used (422).
    #[error("the object was refused")]
    Invalid(Vec<Finding>),
    /// The object cannot be changed here (409).
    #[error("the object comes from the directory")]
    ReadOnly(Box<Finding>),
    /// The object is not what it was when the caller took the copy that it sends (409).
    #[error(
        "Operation cannot be fulfilled on {} \"{}\": the object has been modified; please apply your changes \
         to the latest version and try again", target.kind.resource(), target.name
    )]
    Conflict {
        /// The object.
        target: Box<ObjectTarget>,
        /// Which version was sent, and which is stored.
        finding: Box<Finding>,
    },
    /// The request itself makes no sense (400).
    #[error("{0}")]
    BadRequest(String),
    /// More than the plane takes on (429).
    #[error("{0}")]
    TooMany(String),
    /// The plane cannot do it now (503); nothing was changed.
    #[error("{what}")]
    Unavailable {
        /// What failed.
        what: String,
        /// Why.
        #[source]
        cause: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

/// What stands behind the API.
pub trait Backend: Send + Sync + 'static {
    /// The kinds served.
    fn kinds(&self) -> &[ServedKind];
    /// All objects of a kind, in one namespace or in all.
    fn list(
        &self,
        kind: ServedKind,
        namespace: Option<String>,
    ) -> impl Future<Output = Result<Vec<Item>, ApiError>> + Send;
    /// Checks and takes over one object; refused ones leave everything as it was. Durable when it returns.
    fn apply(
        &self,
        target: ObjectTarget,
        body: String,
    ) -> impl Future<Output = Result<Applied, ApiError>> + Send;
    /// Checks and makes several changes as one; if one of them is refused, none is made. What is to be deleted and
    /// not there is no refusal. Durable when it returns.
    fn change(&self, batch: Batch) -> impl Future<Output = Result<Changed, ApiError>> + Send;
    /// Removes an object. Durable when it returns.
    fn delete(&self, target: ObjectTarget) -> impl Future<Output = Result<(), ApiError>> + Send;
    /// `POST` to a subresource of an object, for example a WorkloadGroup's `token`.
    fn call(
        &self,
        target: ObjectTarget,
        subresource: String,
        body: String,
    ) -> impl Future<Output = Result<Value, ApiError>> + Send;
    /// What `GET /leno/v1/backup` gives.
    fn state(&self) -> (StatePlane, Arc<dyn Store>);
    /// `GET /leno/v1/NAME`; `None`: there is no such report.
    fn report(&self, name: String) -> impl Future<Output = Option<Value>> + Send;
}
