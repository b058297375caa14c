//! Kubernetes core `Namespace`: only its labels and annotations matter.

use super::{KindSpec, ObjectKind};
use crate::decode::Ignored;
use crate::meta::Meta;
use crate::validation::ValidationReport;
use serde::Deserialize;

/// `Namespace` `spec`, of which nothing is read.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct NamespaceSpec(Option<Ignored>);

impl KindSpec for NamespaceSpec {
    const KIND: ObjectKind = ObjectKind {
        kind: "Namespace",
        plural: "namespaces",
        singular: "namespace",
        short: &["ns"],
        group: "",
        versions: &["v1"],
        namespaced: false,
        doc: "What objects of other kinds live in",
        columns: &[],
    };

    fn absent() -> Option<Self> {
        Some(Self(None))
    }

    fn check(&self, _: &Meta, _: &mut ValidationReport<'_>) {}
}
