//! TLS of a server of an Istio `Gateway`, as its proxies have it: Secrets are those of the proxies' own namespace, as in
//! Istio. What leads nowhere leaves the listener without it, and is told.

use crate::units::WorldReader;
use crate::units::gateway_tls::{CERTIFICATE_BEGIN, KEY_BEGIN};
use crate::units::missing::about_missing;
use api::Spec;
use api::fields::server_tls::{ServerTlsMode, ServerTlsSpec, TlsVersionSpec};
use api::kinds::secret::{AUTHORITIES, CERTIFICATE, PRIVATE_KEY, SecretSpec};
use model::listener_tls::{
    CIPHER_SUITES, CaBundle, CertificateRef, ClientMode, ClientValidation, KeyPair, ListenerTls,
    SecretString, TlsMode, TlsVersion, TlsVersions, cipher_suite,
};
use model::{Code, ObjectRef};
use std::sync::Arc;

/// Istio's own names in a Secret: they count before those of Kubernetes.
const GENERIC: [&str; 3] = ["cert", "key", "cacert"];
/// Ends the name of a Secret that holds authorities alone.
const CA_SUFFIX: &str = "-cacert";

/// What a server's references lead to.
#[derive(Default)]
pub(super) struct ServerTls {
    pub(super) tls: ListenerTls,
    pub(super) key_pairs: Vec<KeyPair>,
    /// What is wrong with them.
    pub(super) told: Vec<Told>,
}

/// Code, cause and fix.
pub(super) type Told = (Code, String, String);

/// Resolves what a server of proxies of this namespace says.
pub(super) fn resolve(spec: &ServerTlsSpec, namespace: &Arc<str>, read: &WorldReader<'_>) -> ServerTls {
    let mut found = ServerTls::default();
    let client_mode = match spec.effective_mode() {
        ServerTlsMode::Passthrough | ServerTlsMode::AutoPassthrough => {
            found.tls.mode = TlsMode::Passthrough;
            return found;
        }
        // A checked one does not say the latter; without certificates it serves nobody.
        ServerTlsMode::Simple | ServerTlsMode::IstioMutual => None,
        ServerTlsMode::Mutual => Some(ClientMode::Required),
        ServerTlsMode::OptionalMutual if spec.insecure_skip_verify == Some(true) => {
            Some(ClientMode::InsecureFallback)
        }
        ServerTlsMode::OptionalMutual => Some(ClientMode::Optional),
    };
    let mut secrets = Secrets { namespace, read, found: &mut found };
    let named: Vec<CertificateRef> = spec.credentials().map(|name| secrets.certificate(name)).collect();
    let client = client_mode.map(|mode| secrets.client(spec, mode));
    let files = spec
        .files()
        .map(|(certificate, key)| CertificateRef::Files { certificate: certificate.into(), key: key.into() });
    found.tls = ListenerTls {
        mode: TlsMode::Terminate,
        certificates: named.into_iter().chain(files).collect(),
        client,
        versions: versions(spec),
        cipher_suites: suites(spec),
    };
    found
}

fn versions(spec: &ServerTlsSpec) -> TlsVersions {
    let all = TlsVersions::default();
    TlsVersions {
        min: if spec.min_protocol_version == Some(TlsVersionSpec::V1_3) { TlsVersion::V1_3 } else { all.min },
        max: if spec.max_protocol_version == Some(TlsVersionSpec::V1_2) { TlsVersion::V1_2 } else { all.max },
    }
}

/// Istio's list is of TLS 1.2: those of 1.3 are always offered.
fn suites(spec: &ServerTlsSpec) -> Vec<Arc<str>> {
    if spec.cipher_suites.is_empty() {
        return Vec::new();
    }
    let is_new = |name: &str| !name.contains("_WITH_");
    let new = CIPHER_SUITES.iter().map(|(iana, _)| *iana).filter(|name| is_new(name));
    let named = spec.cipher_suites.iter().filter_map(|name| cipher_suite(name)).filter(|name| !is_new(name));
    new.chain(named).map(Arc::from).collect()
}

struct Secrets<'r, 'w> {
    namespace: &'r Arc<str>,
    read: &'r WorldReader<'w>,
    found: &'r mut ServerTls,
}

impl<'w> Secrets<'_, 'w> {
    /// Whatever is wrong with it, it stays a reference: it may come.
    fn certificate(&mut self, name: &str) -> CertificateRef {
        let object = ObjectRef::new("Secret", self.namespace, name);
        match self.secret(&object) {
            None => self.missing(&object, name),
            Some(secret) => match key_pair(&object, secret) {
                Some(pair) => self.found.key_pairs.push(pair),
                None => {
                    let cause = format!(
                        "credential `{name}` leads to {object}, which has no certificate and key in PEM"
                    );
                    let fix = "give it `tls.crt` and `tls.key` (or `cert` and `key`)";
                    self.found.told.push((Code::BadValue, cause, fix.into()));
                }
            },
        }
        CertificateRef::Secret { namespace: object.namespace.clone(), name: object.name.clone() }
    }

    fn client(&mut self, spec: &ServerTlsSpec, mode: ClientMode) -> ClientValidation {
        let file = spec.ca_certificates.as_deref().map(|path| CaBundle::File(path.into()));
        let named = match &spec.ca_cert_credential_name {
            Some(name) => self.named_authorities(name),
            None if file.is_some() => None,
            None => self.own_authorities(spec),
        };
        let texts = |all: &[String]| all.iter().map(|text| text.as_str().into()).collect();
        ClientValidation {
            mode,
            authorities: named.map(|pem| CaBundle::Inline(pem.into())).into_iter().chain(file).collect(),
            subject_alt_names: texts(&spec.subject_alt_names),
            certificate_hashes: texts(&spec.verify_certificate_hash),
            public_key_hashes: texts(&spec.verify_certificate_spki),
        }
    }

    /// Those of a Secret, or of a ConfigMap of that name.
    fn named_authorities(&mut self, name: &str) -> Option<String> {
        let secret = ObjectRef::new("Secret", self.namespace, name);
        if let Some(found) = self.secret(&secret) {
            return self.must_have(authorities(found), &secret);
        }
        let map = ObjectRef::new("ConfigMap", self.namespace, name);
        match self.read.object(&map).map(|found| &found.spec) {
            Some(Spec::ConfigMap(found)) => {
                let keys = [GENERIC[2], AUTHORITIES].into_iter();
                let text =
                    keys.filter_map(|key| found.data.get(key)).find(|text| text.contains(CERTIFICATE_BEGIN));
                self.must_have(text.cloned(), &map)
            }
            _ => {
                self.missing(&secret, name);
                None
            }
        }
    }

    /// Those beside a certificate: of a Secret with the suffix, else of its own.
    fn own_authorities(&mut self, spec: &ServerTlsSpec) -> Option<String> {
        let Some(name) = spec.credentials().next() else {
            let cause = "no authorities of client certificates are named, so no certificate is valid";
            let fix = "add `caCertificates` or `caCertCredentialName`";
            self.found.told.push((Code::MissingField, cause.into(), fix.into()));
            return None;
        };
        let apart = ObjectRef::new("Secret", self.namespace, &format!("{name}{CA_SUFFIX}"));
        let own = ObjectRef::new("Secret", self.namespace, name);
        match self.secret(&apart) {
            Some(found) => self.must_have(authorities(found), &apart),
            // Without it nobody can be served, which is told already.
            None => {
                let found = authorities(self.secret(&own)?);
                self.must_have(found, &own)
            }
        }
    }

    fn must_have(&mut self, text: Option<String>, object: &ObjectRef) -> Option<String> {
        if text.is_none() {
            let cause = format!("{object} has no authorities of client certificates in PEM");
            let fix = format!(
                "give it `{AUTHORITIES}` (or `{}`), or write a Secret whose name ends in `{CA_SUFFIX}`",
                GENERIC[2]
            );
            self.found.told.push((Code::BadValue, cause, fix));
        }
        text
    }

    fn secret(&self, object: &ObjectRef) -> Option<&'w SecretSpec> {
        match self.read.object(object).map(|found| &found.spec) {
            Some(Spec::Secret(secret)) => Some(secret),
            _ => None,
        }
    }

    fn missing(&mut self, object: &ObjectRef, name: &str) {
        let (cause, fix) = about_missing(object, format!("{object} does not exist"), self.read);
        let fix = if fix.is_empty() {
            "write it into the namespace of the gateway's proxies".to_owned()
        } else {
            fix
        };
        self.found.told.push((
            Code::ReferenceNotFound,
            format!("credential `{name}` leads nowhere: {cause}"),
            fix,
        ));
    }
}

fn part<'s>(secret: &'s SecretSpec, keys: [&str; 2], mark: &str) -> Option<&'s SecretString> {
    keys.into_iter().filter_map(|key| secret.data.get(key)).find(|text| text.expose().contains(mark))
}

fn authorities(secret: &SecretSpec) -> Option<String> {
    part(secret, [GENERIC[2], AUTHORITIES], CERTIFICATE_BEGIN).map(|text| text.expose().to_owned())
}

fn key_pair(object: &ObjectRef, secret: &SecretSpec) -> Option<KeyPair> {
    Some(KeyPair {
        namespace: object.namespace.clone(),
        name: object.name.clone(),
        certificate: part(secret, [GENERIC[0], CERTIFICATE], CERTIFICATE_BEGIN)?.expose().into(),
        key: part(secret, [GENERIC[1], PRIVATE_KEY], KEY_BEGIN)?.clone(),
    })
}
