//! Kubernetes core `ConfigMap`: texts that others refer to, as the CA bundle of a `BackendTLSPolicy`.

use super::{KindFields, KindSpec, ObjectKind};
use crate::decode::{self, Ignored};
use crate::meta::{Meta, RawMeta};
use crate::node::Node;
use crate::validation::ValidationReport;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

/// What a `ConfigMap` holds.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct ConfigMapSpec {
    /// Texts by key.
    pub data: BTreeMap<String, String>,
}

/// It has no `spec`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfigMapDocument {
    api_version: String,
    #[serde(rename = "kind")]
    _kind: Ignored,
    metadata: RawMeta,
    #[serde(default)]
    data: BTreeMap<String, String>,
    #[serde(default)]
    binary_data: Option<IgnoredAny>,
    #[serde(rename = "immutable", default)]
    _immutable: Option<IgnoredAny>,
}

impl KindSpec for ConfigMapSpec {
    const KIND: ObjectKind = ObjectKind {
        kind: "ConfigMap",
        plural: "configmaps",
        singular: "configmap",
        short: &["cm"],
        group: "",
        versions: &["v1"],
        namespaced: true,
        doc: "Texts that others refer to, as a CA bundle",
        columns: &[],
    };

    fn read(document: &Node, report: &mut ValidationReport<'_>) -> Option<KindFields<Self>> {
        let found = decode::decode::<ConfigMapDocument>(document, &[]);
        report.refuse_all(found.problems);
        let ConfigMapDocument { api_version, metadata, data, binary_data, .. } = found.value?;
        if binary_data.is_some() {
            report.no_effect("binaryData", "is not read and has no effect", "write texts under `data`");
        }
        Some(KindFields { api_version, metadata, spec: Self { data } })
    }

    fn check(&self, _: &Meta, _: &mut ValidationReport<'_>) {}
}
