//! Gateway API `BackendTLSPolicy`: TLS to the endpoints of what it targets, and whom they must prove to be.

use super::{GATEWAY_GROUP, ISTIO_NETWORKING_GROUP, KindSpec, LENO_GROUP, ObjectKind};
use crate::decode;
use crate::meta::Meta;
use crate::node::Node;
use crate::syntax;
use crate::validation::ValidationReport;
use model::Code;
use serde::Deserialize;
use std::collections::BTreeMap;

/// `BackendTLSPolicy` `spec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendTlsPolicySpec {
    /// At least one Service, Backend or ServiceEntry of the policy's namespace.
    #[serde(default)]
    pub target_refs: Vec<BackendTlsTarget>,
    /// What is expected of the server.
    pub validation: BackendTlsValidation,
    /// For implementations; ours has none.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// It stands for one that was refused: nothing may be sent to its targets.
    #[serde(skip)]
    pub is_unreadable: bool,
    /// Line of `spec`.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

/// `targetRefs[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendTlsTarget {
    /// Empty for a Service.
    pub group: String,
    /// For example `Service`.
    pub kind: String,
    /// Name in the policy's namespace.
    pub name: String,
    /// Name of one port; absent: all of them.
    #[serde(default)]
    pub section_name: Option<String>,
    /// Line in the file.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

/// `validation`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendTlsValidation {
    /// Who must have signed the certificate: ConfigMaps with `ca.crt`.
    #[serde(default)]
    pub ca_certificate_refs: Vec<CaCertificateRef>,
    /// Instead of them: whom the proxy's host trusts.
    #[serde(default, rename = "wellKnownCACertificates")]
    pub well_known_ca_certificates: Option<String>,
    /// What is asked for by SNI, and expected in the certificate unless `subject_alt_names` says something else.
    pub hostname: String,
    /// One must stand in the certificate.
    #[serde(default)]
    pub subject_alt_names: Vec<SubjectAltNameSpec>,
    /// Line in the file.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

/// `caCertificateRefs[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CaCertificateRef {
    /// Empty for a ConfigMap.
    pub group: String,
    /// `ConfigMap`.
    pub kind: String,
    /// Name in the policy's namespace.
    pub name: String,
    /// Line in the file.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

/// `subjectAltNames[]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubjectAltNameSpec {
    /// Which of the two.
    #[serde(rename = "type")]
    pub name_type: SubjectAltNameType,
    /// Of type `Hostname`.
    #[serde(default)]
    pub hostname: Option<String>,
    /// Of type `URI`.
    #[serde(default)]
    pub uri: Option<String>,
}

/// `subjectAltNames[].type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum SubjectAltNameType {
    /// A DNS name.
    Hostname,
    /// A URI, as a SPIFFE ID.
    #[serde(rename = "URI")]
    Uri,
}

/// Group and kind of what it can be attached to.
const TARGETS: [(&str, &str); 3] =
    [("", "Service"), (LENO_GROUP, "Backend"), (ISTIO_NETWORKING_GROUP, "ServiceEntry")];
const TARGETS_MAX: usize = 16;
const CA_REFS_MAX: usize = 8;
const NAMES_MAX: usize = 5;

impl KindSpec for BackendTlsPolicySpec {
    const KIND: ObjectKind = ObjectKind {
        kind: "BackendTLSPolicy",
        plural: "backendtlspolicies",
        singular: "backendtlspolicy",
        short: &["btlspolicy"],
        group: GATEWAY_GROUP,
        versions: &["v1", "v1alpha3"],
        namespaced: true,
        doc: "TLS to the endpoints of a Service, Backend or ServiceEntry that are not of the mesh",
        columns: &[("TARGETS", "spec.targetRefs[].name"), ("HOSTNAME", "spec.validation.hostname")],
    };

    /// Without it what is meant for TLS would go in plaintext.
    fn fail_closed(document: Option<&Node>) -> Option<Self> {
        let target_refs = decode::whole(document?.get("spec")?.get("targetRefs")?)?;
        Some(Self { target_refs, is_unreadable: true, ..Self::default() })
    }

    fn check(&self, _: &Meta, report: &mut ValidationReport<'_>) {
        if self.target_refs.is_empty() {
            let fix = "name a Service, Backend or ServiceEntry of the policy's namespace";
            report.refuse(Code::MissingField, "spec.targetRefs", "is empty", fix);
        }
        report.at_most("spec.targetRefs", self.target_refs.len(), TARGETS_MAX);
        for (index, target) in self.target_refs.iter().enumerate() {
            one_target(target, &format!("spec.targetRefs[{index}]"), report);
        }
        if !self.options.is_empty() {
            report.no_effect("spec.options", "is for other implementations and has no effect", "remove it");
        }
        validation(&self.validation, report);
    }
}

fn one_target(target: &BackendTlsTarget, at: &str, report: &mut ValidationReport<'_>) {
    if !TARGETS.contains(&(&target.group, &target.kind)) {
        let what = format!("a target {} of group `{}`", target.kind, target.group);
        let fix = "name a Service, a Backend of leno.dev, or a ServiceEntry of networking.istio.io";
        report.unsupported(&format!("{at}.kind"), &what, fix);
    }
}

fn validation(validation: &BackendTlsValidation, report: &mut ValidationReport<'_>) {
    const AT: &str = "spec.validation";
    if !syntax::is_host(&validation.hostname, false) {
        let cause = format!("cannot be `{}`", validation.hostname);
        report.bad(&format!("{AT}.hostname"), &cause, "write the server's host name, without a wildcard");
    }
    match (&validation.well_known_ca_certificates, validation.ca_certificate_refs.as_slice()) {
        (None, []) => {
            let fix = "name ConfigMaps in `caCertificateRefs`, or write `wellKnownCACertificates: System`";
            report.refuse(Code::MissingField, AT, "does not say whom to believe", fix);
        }
        (Some(_), [_, ..]) => {
            report.bad(AT, "has both caCertificateRefs and wellKnownCACertificates", "keep one of them");
        }
        (Some(name), []) if name != "System" => {
            let what = format!("`{name}`");
            report.unsupported(&format!("{AT}.wellKnownCACertificates"), &what, "write `System`");
        }
        _ => {}
    }
    report.at_most(&format!("{AT}.caCertificateRefs"), validation.ca_certificate_refs.len(), CA_REFS_MAX);
    report.at_most(&format!("{AT}.subjectAltNames"), validation.subject_alt_names.len(), NAMES_MAX);
    for (index, name) in validation.subject_alt_names.iter().enumerate() {
        let at = format!("{AT}.subjectAltNames[{index}]");
        let is_good = match (name.name_type, &name.hostname, &name.uri) {
            (SubjectAltNameType::Hostname, Some(host), None) => syntax::is_host(host, true),
            (SubjectAltNameType::Uri, None, Some(uri)) => uri.contains("://"),
            _ => false,
        };
        if !is_good {
            let fix =
                "write `type: Hostname` with a host name in `hostname`, or `type: URI` with a URI in `uri`";
            report.bad(&at, "does not say one name of its type", fix);
        }
    }
}

#[cfg(test)]
mod tests;
