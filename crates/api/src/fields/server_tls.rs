//! Istio's `ServerTLSSettings`: how a server of a `Gateway` ends TLS, or does not.

use crate::decode::Unsupported;
use crate::validation::ValidationReport;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::Code;
use model::listener_tls::cipher_suite;
use serde::Deserialize;

/// Certificates of a server, names and hashes of callers at most.
const ENTRIES_MAX: usize = 64;

/// `tls`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServerTlsSpec {
    /// Whether plain HTTP is answered with a redirect to HTTPS.
    pub https_redirect: Option<bool>,
    /// Absent: `PASSTHROUGH`, as in Istio.
    pub mode: Option<ServerTlsMode>,
    /// File of the certificate chain.
    pub server_certificate: Option<String>,
    /// File of its key.
    pub private_key: Option<String>,
    /// File of the roots of client certificates.
    pub ca_certificates: Option<String>,
    /// Not supported.
    pub ca_crl: Option<Unsupported>,
    /// The same in several key types.
    pub tls_certificates: Vec<TlsCertificateSpec>,
    /// Secret of certificate and key, and of the roots as well, which may be in one whose name ends in `-cacert`.
    pub credential_name: Option<String>,
    /// The same in several key types.
    pub credential_names: Vec<String>,
    /// Secret or ConfigMap of the roots of client certificates.
    pub ca_cert_credential_name: Option<String>,
    /// Names of which a client certificate must have one; empty: any.
    pub subject_alt_names: Vec<String>,
    /// SHA-256 of public keys, base64: a client certificate's must be one of them, or a hash must fit; empty: any.
    pub verify_certificate_spki: Vec<String>,
    /// SHA-256 of client certificates, 64 hex digits, with or without colons.
    pub verify_certificate_hash: Vec<String>,
    /// Absent: 1.2.
    pub min_protocol_version: Option<TlsVersionSpec>,
    /// Absent: 1.3.
    pub max_protocol_version: Option<TlsVersionSpec>,
    /// Suites of TLS 1.2, in OpenSSL's names or IANA's; those of 1.3 are always spoken. Empty: the defaults.
    pub cipher_suites: Vec<String>,
    /// With `OPTIONAL_MUTUAL`: a client certificate that is not valid is let in, and proves nothing.
    pub insecure_skip_verify: Option<bool>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// `tlsCertificates[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names are Istio's")]
pub struct TlsCertificateSpec {
    pub server_certificate: Option<String>,
    pub private_key: Option<String>,
    pub ca_certificates: Option<String>,
}

/// `tls.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ServerTlsMode {
    /// Forwarded as it is, by server name.
    Passthrough,
    /// Ended here.
    Simple,
    /// Ended here, with a certificate of the client.
    Mutual,
    /// Forwarded as it is, to the service that the server name spells out.
    AutoPassthrough,
    /// Ended here, with the mesh's own certificates.
    IstioMutual,
    /// Ended here; a client may show a certificate.
    OptionalMutual,
}

/// `minProtocolVersion`, `maxProtocolVersion`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum TlsVersionSpec {
    /// What is best.
    #[serde(rename = "TLS_AUTO")]
    Auto,
    /// TLS 1.0.
    #[serde(rename = "TLSV1_0")]
    V1_0,
    /// TLS 1.1.
    #[serde(rename = "TLSV1_1")]
    V1_1,
    /// TLS 1.2.
    #[serde(rename = "TLSV1_2")]
    V1_2,
    /// TLS 1.3.
    #[serde(rename = "TLSV1_3")]
    V1_3,
}

impl ServerTlsSpec {
    /// Where TLS ends; Istio's default where nothing is said.
    pub fn effective_mode(&self) -> ServerTlsMode {
        self.mode.unwrap_or(ServerTlsMode::Passthrough)
    }

    /// Whether it is more than a redirect.
    pub fn is_about_tls(&self) -> bool {
        self.https_redirect != Some(true) || self.mode.is_some()
    }

    /// Names of Secrets with a certificate and its key.
    pub fn credentials(&self) -> impl Iterator<Item = &str> {
        let one = self.credential_name.as_deref().filter(|name| !name.is_empty());
        one.into_iter().chain(self.credential_names.iter().map(String::as_str))
    }

    /// Files with a certificate, and with its key.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        let one = self.server_certificate.as_deref().zip(self.private_key.as_deref());
        let more = self.tls_certificates.iter();
        let more =
            more.filter_map(|pair| pair.server_certificate.as_deref().zip(pair.private_key.as_deref()));
        one.into_iter().chain(more)
    }

    /// What is wrong with it, beside a protocol that TLS is spoken in.
    pub(crate) fn check(&self, at: &str, report: &mut ValidationReport<'_>) {
        use ServerTlsMode::{AutoPassthrough, IstioMutual, Mutual, OptionalMutual, Passthrough, Simple};
        let mode = self.effective_mode();
        match mode {
            AutoPassthrough => {
                let fix = "use a Gateway of class leno-east-west";
                report.unsupported(&format!("{at}.mode"), "mode AUTO_PASSTHROUGH", fix);
            }
            IstioMutual => {
                let fix =
                    "let workloads call each other; a gateway's listeners are for callers outside the mesh";
                report.unsupported(&format!("{at}.mode"), "mode ISTIO_MUTUAL", fix);
            }
            Passthrough if self.is_about_tls() => self.passed_on(at, report),
            Passthrough => {}
            Simple | Mutual | OptionalMutual => self.ended_here(at, report),
        }
        if !matches!(mode, Mutual | OptionalMutual) {
            self.asks_nobody(at, report);
        }
    }

    fn passed_on(&self, at: &str, report: &mut ValidationReport<'_>) {
        if self.credentials().next().is_some() || self.files().next().is_some() {
            let cause = "names certificates, which have no effect where TLS is passed on (mode PASSTHROUGH, Istio's \
                         default)";
            report.no_effect(at, cause, "remove them: the backend has its own; or write mode SIMPLE");
        }
    }

    /// Fields about client certificates, where nobody is asked for one.
    fn asks_nobody(&self, at: &str, report: &mut ValidationReport<'_>) {
        let said = [
            ("caCertificates", self.ca_certificates.is_some()),
            ("caCertCredentialName", self.ca_cert_credential_name.is_some()),
            ("subjectAltNames", !self.subject_alt_names.is_empty()),
            ("verifyCertificateSpki", !self.verify_certificate_spki.is_empty()),
            ("verifyCertificateHash", !self.verify_certificate_hash.is_empty()),
            ("insecureSkipVerify", self.insecure_skip_verify == Some(true)),
        ];
        for (field, _) in said.into_iter().filter(|(_, is_said)| *is_said) {
            let cause = "is about client certificates, for which this mode asks nobody";
            report.no_effect(&format!("{at}.{field}"), cause, "write mode MUTUAL, or remove it");
        }
    }

    fn ended_here(&self, at: &str, report: &mut ValidationReport<'_>) {
        let has_secret = self.credential_name.as_deref().is_some_and(|name| !name.is_empty());
        let ways = [has_secret, !self.credential_names.is_empty(), !self.tls_certificates.is_empty()];
        if ways.iter().filter(|way| **way).count() > 1 {
            let cause = "sets more than one of `credentialName`, `credentialNames` and `tlsCertificates`";
            report.bad(at, cause, "keep one of them");
        }
        if self.credentials().next().is_none() && self.files().next().is_none() {
            let fix = "add `credentialName`, or `serverCertificate` and `privateKey`";
            report.refuse(Code::MissingField, at, "names no certificate", fix);
        }
        if self.tls_certificates.iter().any(|pair| pair.ca_certificates.is_some()) {
            let fix = "write `caCertificates` of `tls`";
            report.no_effect(
                &format!("{at}.tlsCertificates"),
                "has `caCertificates`, which nobody reads",
                fix,
            );
        }
        self.names(at, report);
        self.versions(at, report);
        self.suites(at, report);
        self.hashes(at, report);
        if self.insecure_skip_verify == Some(true) && self.mode == Some(ServerTlsMode::Mutual) {
            let fix = "write mode OPTIONAL_MUTUAL with it, or remove it";
            report.no_effect(&format!("{at}.insecureSkipVerify"), "has no effect with mode MUTUAL", fix);
        }
    }

    fn names(&self, at: &str, report: &mut ValidationReport<'_>) {
        let all = self.credentials().chain(self.ca_cert_credential_name.as_deref());
        for name in all {
            report.subdomain(&format!("{at}.credentialName"), name);
        }
        for (field, count) in [
            ("credentialNames", self.credential_names.len()),
            ("tlsCertificates", self.tls_certificates.len()),
            ("subjectAltNames", self.subject_alt_names.len()),
            ("verifyCertificateSpki", self.verify_certificate_spki.len()),
            ("verifyCertificateHash", self.verify_certificate_hash.len()),
            ("cipherSuites", self.cipher_suites.len()),
        ] {
            report.at_most(&format!("{at}.{field}"), count, ENTRIES_MAX);
        }
        let files = self.files().flat_map(|(certificate, key)| [certificate, key]);
        for path in files.chain(self.ca_certificates.as_deref()) {
            if !path.starts_with('/') {
                report.bad(
                    at,
                    &format!("has `{path}`, which is no absolute path"),
                    "write one that begins with `/`",
                );
            }
        }
    }

    fn versions(&self, at: &str, report: &mut ValidationReport<'_>) {
        use TlsVersionSpec::{V1_0, V1_1};
        if matches!(self.max_protocol_version, Some(V1_0 | V1_1)) {
            let fix = "write TLSV1_2 or TLSV1_3, or remove it";
            report.bad(
                &format!("{at}.maxProtocolVersion"),
                "leaves nothing to speak: TLS begins with 1.2 here",
                fix,
            );
        }
        if matches!(self.min_protocol_version, Some(V1_0 | V1_1)) {
            let fix = "write TLSV1_2, or remove it";
            report.no_effect(
                &format!("{at}.minProtocolVersion"),
                "is below 1.2, which is the oldest spoken",
                fix,
            );
        }
        let (min, max) = (self.min_protocol_version, self.max_protocol_version);
        if min == Some(TlsVersionSpec::V1_3) && max == Some(TlsVersionSpec::V1_2) {
            let fix = "leave one of them out";
            report.bad(&format!("{at}.minProtocolVersion"), "is above the newest version", fix);
        }
    }

    fn suites(&self, at: &str, report: &mut ValidationReport<'_>) {
        let path = format!("{at}.cipherSuites");
        for name in self.cipher_suites.iter().filter(|name| cipher_suite(name).is_none()) {
            let fix = "remove it; suites are those with ECDHE and AES-GCM or ChaCha20";
            report.no_effect(&path, &format!("has `{name}`, which is not spoken"), fix);
        }
        if !self.cipher_suites.is_empty()
            && self.cipher_suites.iter().all(|name| cipher_suite(name).is_none())
        {
            report.bad(&path, "names none that can be spoken", "name some with ECDHE, or remove it");
        }
    }

    fn hashes(&self, at: &str, report: &mut ValidationReport<'_>) {
        for hash in &self.verify_certificate_hash {
            let digits = hash.replace(':', "");
            if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                let fix = "write the SHA-256 of the certificate in DER, 64 hex digits";
                report.bad(&format!("{at}.verifyCertificateHash"), &format!("cannot be `{hash}`"), fix);
            }
        }
        for hash in &self.verify_certificate_spki {
            if STANDARD.decode(hash).ok().is_none_or(|bytes| bytes.len() != 32) {
                let fix = "write the SHA-256 of the public key (SPKI in DER) in base64";
                report.bad(&format!("{at}.verifyCertificateSpki"), &format!("cannot be `{hash}`"), fix);
            }
        }
    }
}
