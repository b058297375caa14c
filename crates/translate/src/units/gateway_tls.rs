//! TLS of a gateway's listeners: where its certificates are, and who vouches for callers.
//!
//! A reference that leads nowhere leaves its listener without that certificate, or without that authority: then nobody
//! is served, or let in, until it is mended. It never opens what was to be closed.

use super::WorldReader;
use super::missing::about_missing;
use super::reference_grant::{is_granted, not_granted};
use api::kinds::gateway::GatewaySpec;
use api::kinds::gateway::tls::{
    CertificateReference, FrontendValidation, FrontendValidationMode, ListenerTlsSpec, option,
};
use api::kinds::secret::{AUTHORITIES, CERTIFICATE, PRIVATE_KEY, SecretSpec, TLS_TYPE};
use api::{Object, Spec};
use model::listener_tls::{
    CaBundle, CertificateRef, ClientMode, ClientValidation, KeyPair, ListenerTls, TlsMode, TlsVersions,
};
use model::{Code, Finding, ObjectRef};
use std::sync::Arc;

/// Begins every certificate in PEM (RFC 7468).
pub(super) const CERTIFICATE_BEGIN: &str = "-----BEGIN CERTIFICATE-----";
/// Ends the first line of every private key in PEM that is not encrypted.
pub(super) const KEY_BEGIN: &str = "PRIVATE KEY-----";

/// What a gateway's references lead to.
#[derive(Default)]
pub(super) struct GatewayTls {
    /// For each listener, in their order.
    pub(super) listeners: Vec<Option<Arc<ListenerTls>>>,
    /// Of the Secrets that they name, each once.
    pub(super) key_pairs: Vec<KeyPair>,
    /// What is wrong with the references.
    pub(super) findings: Vec<Finding>,
}

/// Resolves what the listeners of a gateway name.
pub(super) fn resolve(gateway: &Object, spec: &GatewaySpec, read: &WorldReader<'_>) -> GatewayTls {
    let mut found = GatewayTls::default();
    for listener in &spec.listeners {
        let tls = listener.tls.as_ref().map(|tls| {
            let validation = spec.tls.as_ref().and_then(|all| all.validation(listener.port));
            let resolver = Resolver { gateway, read, found: &mut found };
            Arc::new(resolver.listener(tls, validation.filter(|_| listener.protocol == "HTTPS")))
        });
        found.listeners.push(tls);
    }
    // A bundle that several listeners name is told once.
    found.findings.sort_by_key(|finding| (finding.origin.line, finding.cause.clone()));
    found.findings.dedup();
    found
}

struct Resolver<'r, 'w> {
    gateway: &'r Object,
    read: &'r WorldReader<'w>,
    found: &'r mut GatewayTls,
}

impl<'w> Resolver<'_, 'w> {
    fn listener(mut self, tls: &ListenerTlsSpec, validation: Option<&FrontendValidation>) -> ListenerTls {
        if !tls.ends_here() {
            return ListenerTls { mode: TlsMode::Passthrough, ..ListenerTls::default() };
        }
        let secrets = tls.certificate_refs.iter().filter_map(|reference| self.certificate(reference));
        let mut certificates: Vec<CertificateRef> = secrets.collect();
        if let Some((certificate, key)) = tls.files() {
            certificates.push(CertificateRef::Files { certificate: certificate.into(), key: key.into() });
        }
        let all = TlsVersions::default();
        ListenerTls {
            mode: TlsMode::Terminate,
            certificates,
            client: validation.map(|validation| self.client(validation)),
            versions: TlsVersions {
                min: tls.version(option::MIN_VERSION).unwrap_or(all.min),
                max: tls.version(option::MAX_VERSION).unwrap_or(all.max),
            },
            cipher_suites: tls.cipher_suites().into_iter().map(Arc::from).collect(),
        }
    }

    /// Whatever is wrong with it, a reference to a Secret stays one: it may come.
    fn certificate(&mut self, reference: &CertificateReference) -> Option<CertificateRef> {
        if reference.core_kind() != Some("Secret") {
            self.tell(
                Code::Unsupported,
                reference,
                "is of a kind that holds no certificates",
                "name a Secret",
            );
            return None;
        }
        let object = self.object("Secret", reference)?;
        let (namespace, name) = (object.namespace.clone(), object.name.clone());
        let secret = self.secret(&object, reference);
        if let Some(secret) = secret {
            match key_pair(&object, secret) {
                Ok(pair) if !self.found.key_pairs.contains(&pair) => self.found.key_pairs.push(pair),
                Ok(_) => {}
                Err((cause, fix)) => self.tell(Code::BadValue, reference, &cause, fix),
            }
        }
        Some(CertificateRef::Secret { namespace, name })
    }

    fn client(&mut self, validation: &FrontendValidation) -> ClientValidation {
        let bundles =
            validation.ca_certificate_refs.iter().filter_map(|reference| self.authorities(reference));
        ClientValidation {
            authorities: bundles.map(|pem| CaBundle::Inline(pem.into())).collect(),
            mode: match validation.mode {
                None | Some(FrontendValidationMode::AllowValidOnly) => ClientMode::Required,
                Some(FrontendValidationMode::AllowInsecureFallback) => ClientMode::InsecureFallback,
            },
            ..ClientValidation::default()
        }
    }

    fn authorities(&mut self, reference: &CertificateReference) -> Option<String> {
        let text = match reference.core_kind() {
            Some("Secret") => {
                let object = self.object("Secret", reference)?;
                self.secret(&object, reference)?.data.get(AUTHORITIES).map(|text| text.expose().to_owned())
            }
            Some("ConfigMap") => {
                let object = self.object("ConfigMap", reference)?;
                match self.read.object(&object).map(|found| &found.spec) {
                    Some(Spec::ConfigMap(map)) => map.data.get(AUTHORITIES).cloned(),
                    _ => {
                        self.missing(&object, reference);
                        return None;
                    }
                }
            }
            _ => {
                let fix = "name a ConfigMap or a Secret with a key `ca.crt`";
                self.tell(Code::Unsupported, reference, "is of a kind that holds no authorities", fix);
                return None;
            }
        };
        let text = text.filter(|text| text.contains(CERTIFICATE_BEGIN));
        if text.is_none() {
            let cause = format!("leads to an object without certificates in PEM under `{AUTHORITIES}`");
            self.tell(Code::BadValue, reference, &cause, "put the authorities' certificates there");
        }
        text
    }

    /// What is meant, if the gateway may refer to it.
    fn object(&mut self, kind: &str, reference: &CertificateReference) -> Option<ObjectRef> {
        let own = &self.gateway.meta.namespace;
        let namespace = reference.namespace.as_deref().unwrap_or(own);
        let object = ObjectRef::new(kind, namespace, &reference.name);
        if !is_granted(self.gateway, "", &object, self.read) {
            self.found.findings.push(not_granted(self.gateway, reference.line, "", &object));
            return None;
        }
        Some(object)
    }

    fn secret(&mut self, object: &ObjectRef, reference: &CertificateReference) -> Option<&'w SecretSpec> {
        match self.read.object(object).map(|found| &found.spec) {
            Some(Spec::Secret(secret)) => Some(secret),
            _ => {
                self.missing(object, reference);
                None
            }
        }
    }

    fn missing(&mut self, object: &ObjectRef, reference: &CertificateReference) {
        let (cause, fix) = about_missing(object, format!("{object} does not exist"), self.read);
        self.tell(Code::ReferenceNotFound, reference, &format!("leads nowhere: {cause}"), &fix);
    }

    fn tell(&mut self, code: Code, reference: &CertificateReference, cause: &str, fix: &str) {
        let cause = format!("reference `{}` {cause}", reference.name);
        self.found.findings.push(Finding::new(code, &self.gateway.at(reference.line), cause, fix));
    }
}

/// The pair in a Secret, as far as its form tells; whether it fits together, the gateway finds out.
fn key_pair(object: &ObjectRef, secret: &SecretSpec) -> Result<KeyPair, (String, &'static str)> {
    if secret.secret_type != TLS_TYPE {
        let cause = format!("leads to a Secret of type `{}`", secret.secret_type);
        return Err((cause, "use one of type kubernetes.io/tls"));
    }
    let part = |key: &str, mark: &str| {
        let text = secret.data.get(key).filter(|text| text.expose().contains(mark));
        text.ok_or_else(|| {
            let cause = format!("leads to a Secret whose `{key}` is not PEM of that sort");
            (cause, "put the PEM text there, in base64; a key must not be encrypted")
        })
    };
    Ok(KeyPair {
        namespace: object.namespace.clone(),
        name: object.name.clone(),
        certificate: part(CERTIFICATE, CERTIFICATE_BEGIN)?.expose().into(),
        key: part(PRIVATE_KEY, KEY_BEGIN)?.clone(),
    })
}
