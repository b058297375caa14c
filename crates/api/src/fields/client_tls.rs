//! TLS to endpoints outside the mesh, in the words of Istio's `ClientTLSSettings`.

use crate::syntax;
use crate::validation::ValidationReport;
use model::Code;
use serde::Deserialize;

/// Names that are looked for in a certificate.
const NAMES_MAX: usize = 64;
/// Longest CA bundle that is written out, in bytes. More: name a file of the proxies' hosts.
const BUNDLE_BYTES_MAX: usize = 256 * 1024;
const PEM_BEGIN: &str = "-----BEGIN";

/// `tls`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TlsOriginationSpec {
    /// Absent: `DISABLE`, as in Istio.
    pub mode: Option<TlsOriginationMode>,
    /// Of the proxies' hosts: a file with the certificate that is shown, leaf first.
    pub client_certificate: Option<String>,
    /// Of the proxies' hosts: a file with its key.
    pub private_key: Option<String>,
    /// A file of the proxies' hosts, or the certificates themselves in PEM; absent: whom the host trusts.
    pub ca_certificates: Option<String>,
    /// Istio's certificate from a Secret; refused.
    pub credential_name: Option<String>,
    /// One must stand in the server's certificate; absent: the name that was asked for.
    pub subject_alt_names: Vec<String>,
    /// What is asked for by SNI; absent: the host of the service.
    pub sni: Option<String>,
    /// Neither signer nor name is checked.
    pub insecure_skip_verify: Option<bool>,
    /// Istio's list of revoked certificates; refused.
    pub ca_crl: Option<String>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// `tls.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TlsOriginationMode {
    /// Plaintext.
    Disable,
    /// TLS.
    Simple,
    /// TLS that shows a certificate of the user's.
    Mutual,
    /// Mutual TLS of the mesh, which is there by itself.
    IstioMutual,
}

impl TlsOriginationSpec {
    /// What `caCertificates` holds, where that is PEM and no path.
    pub fn ca_bundle(&self) -> Option<&str> {
        self.ca_certificates.as_deref().filter(|text| text.trim_start().starts_with(PEM_BEGIN))
    }
}

/// Checks what stands at the path `at`.
pub(crate) fn check(tls: &TlsOriginationSpec, at: &str, report: &mut ValidationReport<'_>) {
    let field = |name: &str| format!("{at}.{name}");
    let mode = tls.mode.unwrap_or(TlsOriginationMode::Disable);
    let names_files =
        tls.client_certificate.is_some() || tls.private_key.is_some() || tls.ca_certificates.is_some();
    let names_server = tls.sni.is_some() || !tls.subject_alt_names.is_empty();
    let says_too_much = match mode {
        TlsOriginationMode::Disable => names_files || names_server,
        // As in Istio, whose documents name the server for its own mutual TLS.
        TlsOriginationMode::IstioMutual => names_files,
        TlsOriginationMode::Simple | TlsOriginationMode::Mutual => false,
    };
    if mode == TlsOriginationMode::IstioMutual && names_server {
        let cause = "names a server, which has no effect in mode ISTIO_MUTUAL: a workload of the mesh proves to be itself";
        report.no_effect(at, cause, "remove `sni` and `subjectAltNames`");
    }
    if says_too_much {
        report.bad(
            at,
            "says how TLS is done and has a mode that does none of it",
            "write `mode: SIMPLE` or `MUTUAL`",
        );
    }
    if tls.credential_name.is_some() {
        let fix = "name files of the proxies' hosts by `clientCertificate`, `privateKey` and `caCertificates`, or write \
                   the authorities into `caCertificates`";
        report.unsupported(&field("credentialName"), "a certificate from a Secret", fix);
    }
    if tls.ca_crl.is_some() {
        let fix =
            "leave it out, and take the certificates of servers that are no longer to be believed out of use";
        report.unsupported(&field("caCrl"), "a list of revoked certificates", fix);
    }
    certificate(tls, mode, &field, report);
    if let Some(sni) = &tls.sni
        && !syntax::is_host(sni, false)
    {
        report.bad(&field("sni"), &format!("cannot be `{sni}`"), "write a host name");
    }
    report.at_most(&field("subjectAltNames"), tls.subject_alt_names.len(), NAMES_MAX);
    for (index, name) in tls.subject_alt_names.iter().enumerate() {
        if name.is_empty() || name.chars().any(char::is_whitespace) {
            let at = format!("{}[{index}]", field("subjectAltNames"));
            report.bad(&at, &format!("cannot be `{name}`"), "write a host name, an IP address or a URI");
        }
    }
    if tls.insecure_skip_verify == Some(true)
        && (tls.ca_certificates.is_some() || !tls.subject_alt_names.is_empty())
    {
        let fix = "remove one of the two";
        report.bad(
            &field("insecureSkipVerify"),
            "checks nothing, and something to check is said beside it",
            fix,
        );
    }
}

fn certificate(
    tls: &TlsOriginationSpec,
    mode: TlsOriginationMode,
    field: &dyn Fn(&str) -> String,
    report: &mut ValidationReport<'_>,
) {
    let files = [("clientCertificate", &tls.client_certificate), ("privateKey", &tls.private_key)];
    for (name, file) in files {
        match file {
            None if mode == TlsOriginationMode::Mutual && tls.credential_name.is_none() => {
                let fix = "name a file of the proxies' hosts";
                report.refuse(Code::MissingField, &field(name), "is missing in mode MUTUAL", fix);
            }
            Some(_) if mode == TlsOriginationMode::Simple => {
                report.bad(
                    &field(name),
                    "is not shown in mode SIMPLE",
                    "remove it; it is shown in mode MUTUAL",
                );
            }
            Some(path) => absolute(path, &field(name), report),
            None => {}
        }
    }
    match (&tls.ca_certificates, tls.ca_bundle()) {
        (_, Some(bundle)) => bundle_bytes(bundle, &field("caCertificates"), report),
        (Some(path), None) => absolute(path, &field("caCertificates"), report),
        (None, None) => {}
    }
}

fn absolute(path: &str, at: &str, report: &mut ValidationReport<'_>) {
    if !path.starts_with('/') {
        report.bad(
            at,
            &format!("cannot be `{path}`"),
            "write the absolute path of a file of the proxies' hosts",
        );
    }
}

/// A CA bundle that is written out.
pub(crate) fn bundle_bytes(bundle: &str, at: &str, report: &mut ValidationReport<'_>) {
    if bundle.len() > BUNDLE_BYTES_MAX {
        let cause = format!("has {} bytes, more than {BUNDLE_BYTES_MAX}", bundle.len());
        report.bad(at, &cause, "name a file of the proxies' hosts");
    }
}
