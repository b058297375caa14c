//! Leno `GlobalService`: a name that is the same in every cluster.

use super::{KindSpec, LENO_GROUP, ObjectKind};
use crate::fields::port::{self, ServicePortSpec};
use crate::ignored::IgnoredField;
use crate::meta::Meta;
use crate::syntax;
use crate::validation::ValidationReport;
use model::Code;
use serde::Deserialize;
use std::collections::HashSet;

/// Below these lie the names of services, backends and workloads, of each cluster for itself.
const OWN_SUFFIXES: [&str; 3] = [".svc.cluster.local", ".backend.leno", ".workload.leno"];

/// `GlobalService` `spec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GlobalServiceSpec {
    /// At least one; for example `purchase.mesh.internal`.
    pub hosts: Vec<String>,
    /// Absent: those of the services behind it.
    #[serde(default)]
    pub ports: Vec<ServicePortSpec>,
    /// What stands behind it in each cluster that has it.
    #[serde(default)]
    pub backends: Vec<GlobalBackend>,
    /// Where to when the local endpoints are gone.
    #[serde(default)]
    pub failover: Failover,
    /// Line of `spec`.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

impl KindSpec for GlobalServiceSpec {
    const KIND: ObjectKind = ObjectKind {
        kind: "GlobalService",
        plural: "globalservices",
        singular: "globalservice",
        short: &["gs"],
        group: LENO_GROUP,
        versions: &["v1alpha1"],
        namespaced: true,
        doc: "A name that is the same in every cluster",
        columns: &[("HOSTS", "spec.hosts[]")],
    };
    const IGNORED: &'static [IgnoredField] = &[port::NODE_PORT];

    fn check(&self, _: &Meta, report: &mut ValidationReport<'_>) {
        const HOSTS_MAX: usize = 16;
        if self.hosts.is_empty() {
            report.refuse(
                Code::MissingField,
                "spec.hosts",
                "is empty",
                "add a name such as shop.mesh.internal",
            );
        }
        report.at_most("spec.hosts", self.hosts.len(), HOSTS_MAX);
        let mut seen = HashSet::new();
        for (index, host) in self.hosts.iter().enumerate() {
            let path = format!("spec.hosts[{index}]");
            if !syntax::is_host(host, false) {
                report.bad(&path, &format!("cannot be `{host}`"), "write a lower-case DNS name");
            } else if OWN_SUFFIXES.iter().any(|suffix| host.ends_with(suffix)) {
                report.bad(
                    &path,
                    "lies below a suffix of Leno's own",
                    "use another name, for example below mesh.internal",
                );
            }
            if !seen.insert(host) {
                report.bad(&path, "occurs twice", "remove one of the two");
            }
        }
        port::check("spec.ports", &self.ports, report);
        for (index, backend) in self.backends.iter().enumerate() {
            let path = format!("spec.backends[{index}].service");
            report.label(&format!("{path}.name"), &backend.service.name);
            if let Some(namespace) = &backend.service.namespace {
                report.label(&format!("{path}.namespace"), namespace);
            }
        }
        for (index, cluster) in self.failover.order.iter().enumerate() {
            report.subdomain(&format!("spec.failover.order[{index}]"), cluster);
        }
    }
}

/// `backends[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GlobalBackend {
    /// A `Service` of the cluster.
    pub service: ServiceRef,
    /// Line in the file.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

/// A `Service`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceRef {
    /// Name.
    pub name: String,
    /// Absent: the GlobalService's own.
    #[serde(default)]
    pub namespace: Option<String>,
}

/// `failover`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Failover {
    /// Clusters, best first; empty: by locality.
    pub order: Vec<String>,
}

#[cfg(test)]
mod tests;
