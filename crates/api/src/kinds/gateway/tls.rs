//! TLS of a `Gateway`: of each listener, and what callers of the whole gateway must show.

use super::Listener;
use crate::decode::Unsupported;
use crate::validation::ValidationReport;
use model::Code;
use model::listener_tls::{TlsVersion, cipher_suite};
use serde::Deserialize;
use std::collections::{BTreeMap, HashSet};

/// Certificates that a listener names at most, as in the Gateway API.
const CERTIFICATES_MAX: usize = 64;
/// References to authorities at most, as in the Gateway API.
const AUTHORITIES_MAX: usize = 16;

/// Options of a listener: keys of `tls.options`.
pub mod option {
    /// Path of a certificate chain in PEM, on the gateway's own host.
    pub const CERTIFICATE_FILE: &str = "leno.dev/certificate-file";
    /// Path of its key in PEM.
    pub const KEY_FILE: &str = "leno.dev/private-key-file";
    /// `1.2` (default) or `1.3`.
    pub const MIN_VERSION: &str = "leno.dev/min-tls-version";
    /// `1.2` or `1.3` (default).
    pub const MAX_VERSION: &str = "leno.dev/max-tls-version";
    /// Names with commas between them, IANA's or OpenSSL's.
    pub const CIPHER_SUITES: &str = "leno.dev/cipher-suites";
    /// All of them.
    pub const ALL: &[&str] = &[CERTIFICATE_FILE, KEY_FILE, MIN_VERSION, MAX_VERSION, CIPHER_SUITES];
}

/// `listeners[].tls`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListenerTlsSpec {
    /// Absent: `Terminate`.
    pub mode: Option<ListenerTlsMode>,
    /// Secrets, or one pair of files in `options`.
    pub certificate_refs: Vec<CertificateReference>,
    /// See [`option`].
    pub options: BTreeMap<String, String>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// `tls.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum ListenerTlsMode {
    /// TLS ends here.
    Terminate,
    /// TLS ends at the backend.
    Passthrough,
}

/// A reference to a Secret or a ConfigMap.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateReference {
    /// Empty: core.
    #[serde(default)]
    pub group: Option<String>,
    /// Absent: `Secret`.
    #[serde(default)]
    pub kind: Option<String>,
    /// Its name.
    pub name: String,
    /// Absent: the gateway's own.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Line in the file.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

impl CertificateReference {
    /// Its kind, if it is of the core group.
    pub fn core_kind(&self) -> Option<&str> {
        let is_core = self.group.as_deref().is_none_or(str::is_empty);
        is_core.then(|| self.kind.as_deref().unwrap_or("Secret"))
    }
}

/// `spec.tls`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayTlsSpec {
    /// Not supported yet.
    pub backend: Option<Unsupported>,
    /// With callers.
    pub frontend: Option<FrontendTls>,
}

/// `tls.frontend`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FrontendTls {
    /// Where no port says otherwise.
    pub default: Option<FrontendTlsConfig>,
    /// Ports that say otherwise.
    pub per_port: Vec<PortTls>,
}

/// `frontend.perPort[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortTls {
    /// Of listeners.
    pub port: u16,
    /// What is said there.
    pub tls: FrontendTlsConfig,
}

/// `frontend.default`, `frontend.perPort[].tls`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FrontendTlsConfig {
    /// Absent: callers are not asked.
    pub validation: Option<FrontendValidation>,
}

/// `validation`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FrontendValidation {
    /// 1 to 16, ConfigMaps or Secrets with a key `ca.crt`.
    pub ca_certificate_refs: Vec<CertificateReference>,
    /// Absent: `AllowValidOnly`.
    #[serde(default)]
    pub mode: Option<FrontendValidationMode>,
    /// Line in the file.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

/// `validation.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum FrontendValidationMode {
    /// Who shows a valid certificate.
    AllowValidOnly,
    /// Everyone.
    AllowInsecureFallback,
}

impl GatewayTlsSpec {
    /// What callers must show at a port.
    pub fn validation(&self, port: u16) -> Option<&FrontendValidation> {
        let frontend = self.frontend.as_ref()?;
        let own = frontend.per_port.iter().find(|known| known.port == port).map(|known| &known.tls);
        own.or(frontend.default.as_ref())?.validation.as_ref()
    }

    pub(super) fn check(&self, report: &mut ValidationReport<'_>) {
        let Some(frontend) = &self.frontend else { return };
        let mut ports = HashSet::new();
        for (index, own) in frontend.per_port.iter().enumerate() {
            let at = format!("spec.tls.frontend.perPort[{index}]");
            report.port(&format!("{at}.port"), own.port);
            if !ports.insert(own.port) {
                report.bad(&format!("{at}.port"), &format!("{} occurs twice", own.port), "keep one of them");
            }
            validation(&own.tls, &format!("{at}.tls"), report);
        }
        if let Some(all) = &frontend.default {
            validation(all, "spec.tls.frontend.default", report);
        }
    }
}

fn validation(config: &FrontendTlsConfig, at: &str, report: &mut ValidationReport<'_>) {
    let Some(validation) = &config.validation else { return };
    let path = format!("{at}.validation.caCertificateRefs");
    if validation.ca_certificate_refs.is_empty() {
        let fix = "name a ConfigMap with a key `ca.crt`";
        report.refuse(Code::MissingField, &path, "is empty", fix);
    }
    report.at_most(&path, validation.ca_certificate_refs.len(), AUTHORITIES_MAX);
    for (index, reference) in validation.ca_certificate_refs.iter().enumerate() {
        name(reference, &format!("{path}[{index}]"), report);
    }
}

fn name(reference: &CertificateReference, at: &str, report: &mut ValidationReport<'_>) {
    report.subdomain(&format!("{at}.name"), &reference.name);
    if let Some(namespace) = &reference.namespace {
        report.label(&format!("{at}.namespace"), namespace);
    }
}

impl ListenerTlsSpec {
    /// Whether TLS ends here.
    pub fn ends_here(&self) -> bool {
        self.mode != Some(ListenerTlsMode::Passthrough)
    }

    /// A pair of files.
    pub fn files(&self) -> Option<(&str, &str)> {
        Some((self.options.get(option::CERTIFICATE_FILE)?, self.options.get(option::KEY_FILE)?))
    }

    /// What `option` says, if it is a version that can be spoken.
    pub fn version(&self, option: &str) -> Option<TlsVersion> {
        self.options.get(option).and_then(|text| version(text))
    }

    /// The cipher suites that it names, those that can be spoken.
    pub fn cipher_suites(&self) -> Vec<&'static str> {
        let named = self.options.get(option::CIPHER_SUITES).into_iter().flat_map(|text| text.split(','));
        named.filter_map(|name| cipher_suite(name.trim())).collect()
    }
}

fn version(text: &str) -> Option<TlsVersion> {
    match text {
        "1.2" => Some(TlsVersion::V1_2),
        "1.3" => Some(TlsVersion::V1_3),
        _ => None,
    }
}

/// A listener of protocol HTTPS or TLS.
pub(super) fn check(listener: &Listener, at: &str, report: &mut ValidationReport<'_>) {
    let path = format!("{at}.tls");
    let Some(tls) = &listener.tls else {
        let cause = format!("is missing; protocol {} needs it", listener.protocol);
        return report.refuse(Code::MissingField, &path, &cause, "add `tls` with `certificateRefs`");
    };
    if !tls.ends_here() {
        if listener.protocol == "HTTPS" {
            let fix = "write protocol TLS, and a TLSRoute; or end TLS here";
            report.bad(&format!("{path}.mode"), "cannot be Passthrough with protocol HTTPS", fix);
        }
        if !tls.certificate_refs.is_empty() || !tls.options.is_empty() {
            let cause = "has certificates or options, which have no effect with mode Passthrough";
            report.no_effect(&path, cause, "remove them: the backend has its own");
        }
        return;
    }
    if tls.certificate_refs.is_empty() && tls.files().is_none() {
        let fix = format!(
            "name a Secret in `certificateRefs`, or files in the options `{}` and `{}`",
            option::CERTIFICATE_FILE,
            option::KEY_FILE
        );
        report.refuse(Code::MissingField, &path, "names no certificate", fix);
    }
    report.at_most(&format!("{path}.certificateRefs"), tls.certificate_refs.len(), CERTIFICATES_MAX);
    for (index, reference) in tls.certificate_refs.iter().enumerate() {
        name(reference, &format!("{path}.certificateRefs[{index}]"), report);
    }
    options(tls, &format!("{path}.options"), report);
}

fn options(tls: &ListenerTlsSpec, path: &str, report: &mut ValidationReport<'_>) {
    for (key, value) in &tls.options {
        match key.as_str() {
            option::CERTIFICATE_FILE | option::KEY_FILE => {
                let other = if key == option::KEY_FILE { option::CERTIFICATE_FILE } else { option::KEY_FILE };
                if !value.starts_with('/') {
                    report.bad_entry(path, key, "is no absolute path", "write one that begins with `/`");
                }
                if !tls.options.contains_key(other) {
                    report.bad_entry(path, key, &format!("needs `{other}` beside it"), "set both");
                }
            }
            option::MIN_VERSION | option::MAX_VERSION => {
                if version(value).is_none() {
                    report.bad_entry(path, key, &format!("cannot be `{value}`"), "write 1.2 or 1.3");
                }
            }
            option::CIPHER_SUITES => suites(value, path, report),
            other if other.starts_with("leno.dev/") => {
                let fix = format!("options are {}", option::ALL.join(", "));
                report.bad_entry(path, key, "is no option of Leno's", fix);
            }
            _ => report.entry_without_effect(path, key, "is not Leno's and has no effect", "remove it"),
        }
    }
    if tls.version(option::MIN_VERSION) == Some(TlsVersion::V1_3)
        && tls.version(option::MAX_VERSION) == Some(TlsVersion::V1_2)
    {
        report.bad_entry(path, option::MIN_VERSION, "is above the newest version", "leave one of them out");
    }
}

fn suites(value: &str, path: &str, report: &mut ValidationReport<'_>) {
    for name in value.split(',').map(str::trim) {
        if cipher_suite(name).is_none() {
            let known: Vec<_> = model::listener_tls::CIPHER_SUITES.iter().map(|(iana, _)| *iana).collect();
            let fix = format!("write some of {}", known.join(", "));
            report.bad_entry(
                path,
                option::CIPHER_SUITES,
                &format!("has `{name}`, which cannot be spoken"),
                fix,
            );
        }
    }
}
