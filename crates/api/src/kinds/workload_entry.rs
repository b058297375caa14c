//! Istio `WorkloadEntry`: one place where a workload without a proxy of ours can be reached, by address or by name. The
//! endpoints of a `ServiceEntry` are written the same way.

use super::{ISTIO_NETWORKING_GROUP, KindSpec, ObjectKind};
use crate::meta::Meta;
use crate::syntax;
use crate::validation::ValidationReport;
use model::Code;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

/// `WorkloadEntry` `spec`, and `endpoints[]` of a `ServiceEntry`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadEntrySpec {
    /// An IP address or a host name; absent: the host of the `ServiceEntry`, by DNS.
    pub address: Option<String>,
    /// Its own ports, by name of the service's.
    pub ports: BTreeMap<String, u16>,
    /// What selectors go by.
    pub labels: BTreeMap<String, String>,
    /// Told that it has no effect: addresses are taken to be reached.
    pub network: Option<String>,
    /// `region/zone`; absent: the cluster's.
    pub locality: Option<String>,
    /// Share of traffic; absent: 1.
    pub weight: Option<u32>,
    /// Told that it has no effect: such a workload proves no identity of the mesh.
    pub service_account: Option<String>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

impl WorkloadEntrySpec {
    /// Its address, if that is no name. `localhost` needs no name server (RFC 6761 section 6.3).
    pub fn ip(&self) -> Option<IpAddr> {
        match self.address.as_deref()? {
            "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
            text => text.parse().ok(),
        }
    }
}

const PORTS_MAX: usize = 100;

impl KindSpec for WorkloadEntrySpec {
    const KIND: ObjectKind = ObjectKind {
        kind: "WorkloadEntry",
        plural: "workloadentries",
        singular: "workloadentry",
        short: &["we"],
        group: ISTIO_NETWORKING_GROUP,
        versions: &["v1", "v1beta1", "v1alpha3"],
        namespaced: true,
        doc: "A workload without a proxy, for ServiceEntries to select (Istio)",
        columns: &[("ADDRESS", "spec.address")],
    };

    fn check(&self, _: &Meta, report: &mut ValidationReport<'_>) {
        if self.address.is_none() {
            let fix = "write its IP address or host name";
            report.refuse(Code::MissingField, "spec.address", "is missing", fix);
        }
        check(self, "spec", report);
    }
}

/// Checks an endpoint at the path `at`.
pub(super) fn check(entry: &WorkloadEntrySpec, at: &str, report: &mut ValidationReport<'_>) {
    if let Some(address) = &entry.address
        && entry.ip().is_none()
        && !syntax::is_host(address, false)
    {
        let at = format!("{at}.address");
        match address.starts_with("unix://") {
            true => {
                report.unsupported(&at, "a Unix socket", "let it listen on an IP address, and write that")
            }
            false => report.bad(&at, &format!("cannot be `{address}`"), "write an IP address or a host name"),
        }
    }
    report.labels(&format!("{at}.labels"), &entry.labels);
    report.at_most(&format!("{at}.ports"), entry.ports.len(), PORTS_MAX);
    for port in entry.ports.values() {
        report.port(&format!("{at}.ports"), *port);
    }
    if entry.network.as_deref().is_some_and(|network| !network.is_empty()) {
        let cause = "has no effect: the address is taken to be reached from everywhere";
        report.no_effect(&format!("{at}.network"), cause, "remove it, or let the workload join with a proxy");
    }
    if entry.service_account.is_some() {
        let cause = "has no effect: a workload without a proxy proves no identity";
        report.no_effect(
            &format!("{at}.serviceAccount"),
            cause,
            "remove it, or let the workload join with a proxy",
        );
    }
    if entry.locality.as_deref().is_some_and(|locality| locality.split('/').count() > 2) {
        let cause = "has more than a region and a zone, and the rest has no effect";
        report.no_effect(&format!("{at}.locality"), cause, "write REGION/ZONE");
    }
    if entry.weight == Some(0) {
        let fix = "write 1 or more; to take it out, remove it";
        report.no_effect(&format!("{at}.weight"), "is 0, which has no effect: it counts as 1", fix);
    }
}
