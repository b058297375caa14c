//! Istio `Sidecar`: what a proxy sees and takes in. A proxy here fetches on demand what it uses, so that a limit on what
//! it sees saves nothing; each field is told. What would change where traffic goes is refused.

use super::{ISTIO_NETWORKING_GROUP, KindSpec, ObjectKind};
use crate::decode::{Ignored, Unsupported, UnsupportedField};
use crate::fields::connection_pool::ConnectionPoolSpec;
use crate::ignored::IgnoredField;
use crate::meta::Meta;
use crate::validation::ValidationReport;
use serde::Deserialize;

/// `Sidecar` `spec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names are Istio's")]
pub struct SidecarSpec {
    pub workload_selector: Option<Ignored>,
    pub ingress: Option<Unsupported>,
    pub egress: Vec<SidecarEgressSpec>,
    pub inbound_connection_pool: Option<ConnectionPoolSpec>,
    pub outbound_traffic_policy: Option<SidecarOutboundSpec>,
}

/// `egress[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names are Istio's")]
pub struct SidecarEgressSpec {
    pub port: Option<Unsupported>,
    pub bind: Option<Unsupported>,
    pub capture_mode: Option<Ignored>,
    pub hosts: Option<Ignored>,
}

/// `outboundTrafficPolicy`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names are Istio's")]
pub struct SidecarOutboundSpec {
    pub mode: Option<Ignored>,
    pub egress_proxy: Option<Unsupported>,
}

impl KindSpec for SidecarSpec {
    const KIND: ObjectKind = ObjectKind {
        kind: "Sidecar",
        plural: "sidecars",
        singular: "sidecar",
        short: &[],
        group: ISTIO_NETWORKING_GROUP,
        versions: &["v1", "v1beta1", "v1alpha3"],
        namespaced: true,
        doc: "What a proxy sees (Istio); told, since proxies fetch on demand what they use",
        columns: &[],
    };
    const IGNORED: &'static [IgnoredField] = &[
        IgnoredField::new("spec.workloadSelector", &[], "remove it: no field of the Sidecar has an effect"),
        IgnoredField::new(
            "spec.egress[].hosts",
            &["*/*", "./*, istio-system/*"],
            "remove it: proxies fetch on demand only what they use; who may call what is said by an \
             AuthorizationPolicy",
        ),
        IgnoredField::new(
            "spec.egress[].captureMode",
            &["DEFAULT", "IPTABLES"],
            "remove it: what is captured is said by annotations of the WorkloadGroup",
        ),
        IgnoredField::new("spec.outboundTrafficPolicy.mode", &[], "use `spec.outbound` of MeshSettings"),
    ];
    const UNSUPPORTED: &'static [UnsupportedField] = &[
        UnsupportedField {
            path: "spec.ingress",
            fix: "remove it, and write the ports of the workload as `targetPort` of a Service",
        },
        UnsupportedField { path: "egress[].port", fix: "remove the egress listener: every port is captured" },
    ];

    fn absent() -> Option<Self> {
        Some(Self::default())
    }

    fn check(&self, _: &Meta, _: &mut ValidationReport<'_>) {}
}
