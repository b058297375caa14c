//! Leno `TrafficPolicy`: how the endpoints of what it is attached to are used.

use super::{ISTIO_NETWORKING_GROUP, KindSpec, LENO_GROUP, ObjectKind};
use crate::decode;
use crate::fields::backend_pool::{self, BackendPoolSpec};
use crate::fields::client_tls::{self, TlsOriginationSpec};
use crate::fields::client_traffic::{self, ClientTrafficSpec};
use crate::fields::target_ref::PolicyTarget;
use crate::meta::Meta;
use crate::node::Node;
use crate::syntax;
use crate::validation::ValidationReport;
use model::Code;
use model::traffic;
use serde::Deserialize;

/// `TrafficPolicy` `spec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TrafficPolicySpec {
    /// At least one Service, GlobalService or Backend of the policy's namespace for `backend`, a Gateway for `client`.
    pub target_refs: Vec<PolicyTarget>,
    /// What is said of who calls a Gateway.
    pub client: Option<ClientTrafficSpec>,
    /// What is said of the endpoints.
    pub backend: Option<BackendTraffic>,
    /// It stands for one that was refused and speaks of TLS: nothing may be sent to its targets.
    #[serde(skip)]
    pub is_unreadable: bool,
    /// Line of `spec`.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// `backend`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackendTraffic {
    /// As in Istio's `DestinationRule`; absent: least request.
    pub load_balancer: Option<LoadBalancerSpec>,
    /// To endpoints that are not of the mesh, as in Istio's `DestinationRule`; absent: plaintext.
    pub tls: Option<TlsOriginationSpec>,
    /// Connections to endpoints that are not of the mesh, as in Istio's `DestinationRule`.
    pub connection_pool: Option<BackendPoolSpec>,
}

/// `loadBalancer`: exactly one of its fields.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LoadBalancerSpec {
    /// One of the standard ways.
    pub simple: Option<traffic::SimpleLoadBalancer>,
    /// Requests that are alike go to the same endpoint.
    pub consistent_hash: Option<ConsistentHashSpec>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

impl LoadBalancerSpec {
    /// What is meant. A checked object says one thing.
    pub fn chosen(&self) -> Option<traffic::LoadBalancer> {
        match (&self.simple, &self.consistent_hash) {
            (Some(simple), None) => Some(traffic::LoadBalancer::Simple(*simple)),
            (None, Some(hash)) => {
                let http_header_name = hash.http_header_name.to_ascii_lowercase().into();
                Some(traffic::LoadBalancer::ConsistentHash(traffic::ConsistentHash { http_header_name }))
            }
            _ => None,
        }
    }
}

/// `consistentHash`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsistentHashSpec {
    /// Requests with the same value of this header are alike.
    pub http_header_name: String,
    /// Line in the file.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

/// Group of what `client` is about.
const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";
/// Group and kind of what it can be attached to.
const TARGETS: [(&str, &str); 5] = [
    (GATEWAY_GROUP, GATEWAY),
    ("", "Service"),
    (LENO_GROUP, "GlobalService"),
    (LENO_GROUP, "Backend"),
    (ISTIO_NETWORKING_GROUP, "ServiceEntry"),
];
const GATEWAY: &str = "Gateway";
const TARGETS_MAX: usize = 16;

impl KindSpec for TrafficPolicySpec {
    const KIND: ObjectKind = ObjectKind {
        kind: "TrafficPolicy",
        plural: "trafficpolicies",
        singular: "trafficpolicy",
        short: &["tp"],
        group: LENO_GROUP,
        versions: &["v1alpha1"],
        namespaced: true,
        doc: "How the endpoints of a Service, GlobalService or Backend are used, and how who calls a Gateway is treated",
        columns: &[("TARGETS", "spec.targetRefs[].name")],
    };

    /// Without it what is meant for TLS would go in plaintext.
    fn fail_closed(document: Option<&Node>) -> Option<Self> {
        let spec = document?.get("spec")?;
        spec.get("backend")?.get("tls")?;
        let target_refs = spec.get("targetRefs").and_then(decode::whole).unwrap_or_default();
        Some(Self { target_refs, is_unreadable: true, ..Self::default() })
    }

    fn check(&self, meta: &Meta, report: &mut ValidationReport<'_>) {
        if self.target_refs.is_empty() {
            let fix = "name a Service, GlobalService, Backend or Gateway of the policy's namespace";
            report.refuse(Code::MissingField, "spec.targetRefs", "is empty", fix);
        }
        report.at_most("spec.targetRefs", self.target_refs.len(), TARGETS_MAX);
        for (index, target) in self.target_refs.iter().enumerate() {
            one_target(target, &format!("spec.targetRefs[{index}]"), meta, report);
        }
        let load_balancer = self.backend.as_ref().and_then(|backend| backend.load_balancer.as_ref());
        let tls = self.backend.as_ref().and_then(|backend| backend.tls.as_ref());
        if let Some(load_balancer) = load_balancer {
            one_load_balancer(load_balancer, "spec.backend.loadBalancer", report);
        }
        if let Some(tls) = tls {
            client_tls::check(tls, "spec.backend.tls", report);
        }
        let pool = self.backend.as_ref().and_then(|backend| backend.connection_pool.as_ref());
        if let Some(pool) = pool {
            backend_pool::check(pool, "spec.backend.connectionPool", report);
        }
        if let Some(client) = &self.client {
            client_traffic::check(client, "spec.client", report);
        }
        if load_balancer.is_none() && tls.is_none() && pool.is_none() && self.client.is_none() {
            let fix = "add `backend.loadBalancer`, `backend.tls` or `backend.connectionPool`, or of a Gateway `client`";
            report.no_effect("spec", "says nothing of its targets", fix);
        }
        self.check_sections(report);
    }
}

impl TrafficPolicySpec {
    /// `client` is about Gateways, `backend` about all else.
    fn check_sections(&self, report: &mut ValidationReport<'_>) {
        let is_gateway = |target: &&PolicyTarget| target.kind == GATEWAY;
        let gateways = self.target_refs.iter().filter(is_gateway).count();
        if self.client.is_some() && gateways == 0 {
            report.no_effect("spec.client", "is about Gateways, and none is a target", "name the Gateway");
        }
        if self.backend.is_some() && gateways > 0 && gateways == self.target_refs.len() {
            let fix = "name the Service, GlobalService or Backend";
            report.no_effect("spec.backend", "is about services, and none is a target", fix);
        }
        if self.client.is_none() && gateways > 0 {
            let index = self.target_refs.iter().position(|target| target.kind == GATEWAY).unwrap_or_default();
            let at = format!("spec.targetRefs[{index}]");
            report.no_effect(&at, "is a Gateway, of which `client` alone says something", "add `client`");
        }
    }

    /// The Gateways and listeners that `client` is about.
    pub fn gateways(&self) -> impl Iterator<Item = &PolicyTarget> {
        self.target_refs.iter().filter(|target| target.kind == GATEWAY && self.client.is_some())
    }

    /// What `backend` is about.
    pub fn services(&self) -> impl Iterator<Item = &PolicyTarget> {
        self.target_refs.iter().filter(|target| target.kind != GATEWAY)
    }
}

fn one_load_balancer(load_balancer: &LoadBalancerSpec, at: &str, report: &mut ValidationReport<'_>) {
    if load_balancer.simple.is_some() && load_balancer.consistent_hash.is_some() {
        report.bad(at, "sets both `simple` and `consistentHash`", "keep one of them");
    } else if load_balancer.chosen().is_none() {
        let fix = "name one way to balance, for example `simple: LEAST_REQUEST`";
        report.refuse(Code::MissingField, at, "says nothing", fix);
    }
    let header = load_balancer.consistent_hash.as_ref().map(|hash| &hash.http_header_name);
    if let Some(header) = header.filter(|header| !syntax::is_token(header)) {
        let at = format!("{at}.consistentHash.httpHeaderName");
        report.bad(&at, &format!("cannot be `{header}`"), "write a header name");
    }
}

fn one_target(target: &PolicyTarget, at: &str, meta: &Meta, report: &mut ValidationReport<'_>) {
    match TARGETS.iter().find(|(_, kind)| *kind == target.kind) {
        None => {
            let fix = "name a Service, GlobalService or Backend, or a Gateway for `client`";
            report.unsupported(&format!("{at}.kind"), &format!("target kind {}", target.kind), fix);
        }
        Some((group, _)) if target.group.as_deref().unwrap_or_default() != *group => {
            let fix = if group.is_empty() { "leave it out".to_owned() } else { format!("write `{group}`") };
            report.bad(&format!("{at}.group"), &format!("is not that of {}", target.kind), fix);
        }
        Some(_) => {}
    }
    if target.section_name.is_some() && target.kind != GATEWAY {
        let what = format!("sectionName of a {}", target.kind);
        let fix = "name it alone: the policy is for all of its ports then";
        report.unsupported(&format!("{at}.sectionName"), &what, fix);
    }
    let is_other = |namespace: &str| !namespace.is_empty() && namespace != &*meta.namespace;
    if target.namespace.as_deref().is_some_and(is_other) {
        report.bad(
            &format!("{at}.namespace"),
            "is not the policy's own",
            "put the policy into that namespace",
        );
    }
}

#[cfg(test)]
mod tests;
