//! Istio `ProxyConfig`: how proxies themselves run. Here that is said by the options of `leno proxy`, so each field is
//! told with the option that replaces it.

use super::{ISTIO_NETWORKING_GROUP, KindSpec, ObjectKind};
use crate::decode::Ignored;
use crate::ignored::IgnoredField;
use crate::meta::Meta;
use crate::validation::ValidationReport;
use serde::Deserialize;

/// `ProxyConfig` `spec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names are Istio's")]
pub struct ProxyConfigSpec {
    pub selector: Option<Ignored>,
    pub concurrency: Option<Ignored>,
    pub environment_variables: Option<Ignored>,
    pub image: Option<Ignored>,
}

impl KindSpec for ProxyConfigSpec {
    const KIND: ObjectKind = ObjectKind {
        kind: "ProxyConfig",
        plural: "proxyconfigs",
        singular: "proxyconfig",
        short: &[],
        group: ISTIO_NETWORKING_GROUP,
        versions: &["v1", "v1beta1", "v1alpha3"],
        namespaced: true,
        doc: "How proxies themselves run (Istio); told, since options of leno proxy say it",
        columns: &[],
    };
    const IGNORED: &'static [IgnoredField] = &[
        IgnoredField::new("spec.selector", &[], "remove it: options are those of each `leno proxy`"),
        IgnoredField::new("spec.concurrency", &[], "use the option --workers of leno proxy"),
        IgnoredField::new("spec.environmentVariables", &[], "use the options of leno proxy"),
        IgnoredField::new("spec.image", &[], "remove it: there are no images"),
    ];

    fn absent() -> Option<Self> {
        Some(Self::default())
    }

    fn check(&self, _: &Meta, _: &mut ValidationReport<'_>) {}
}
