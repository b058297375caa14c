#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
//! Certificates for tests, and what becomes of them as they change.

use super::certificate::{CertificatePemError, ServerCertificate};
use super::certificates::{CaRoots, ListenerCertificates};
use crate::watched_files::FileWatch;
use fixtures::pki::TestAuthority;
use model::listener_tls::{CertificateRef, KeyPair, SecretString};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair as Key, SanType};
use std::collections::HashSet;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// An authority outside the mesh.
pub(crate) struct EdgeAuthority(TestAuthority);

/// A certificate with its key, PEM.
#[derive(Clone)]
pub(crate) struct PemPair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl EdgeAuthority {
    pub(crate) fn new(name: &str) -> Self {
        Self(TestAuthority::root(name))
    }

    pub(crate) fn pem(&self) -> String {
        pem(&[self.0.root_der()])
    }

    pub(crate) fn root(&self) -> Vec<u8> {
        self.0.root_der()
    }

    /// For these DNS names.
    pub(crate) fn server(&self, names: &[&str]) -> PemPair {
        let names = names.iter().map(|name| SanType::DnsName((*name).try_into().unwrap()));
        self.leaf(names.collect(), None)
    }

    /// Of somebody with these URI names.
    pub(crate) fn client(&self, uris: &[&str]) -> PemPair {
        self.leaf(uris.iter().map(|uri| fixtures::pki::uri(uri)).collect(), None)
    }

    /// The same for so long from now on.
    pub(crate) fn client_for(&self, life: Duration, uris: &[&str]) -> PemPair {
        self.leaf(uris.iter().map(|uri| fixtures::pki::uri(uri)).collect(), Some(life))
    }

    fn leaf(&self, names: Vec<SanType>, life: Option<Duration>) -> PemPair {
        let key = Key::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "some, body");
        params.subject_alt_names = names;
        if let Some(life) = life {
            params.not_after = (SystemTime::now() + life).into();
        }
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let leaf = params.signed_by(&key, &self.0.issuer).unwrap();
        PemPair { certificate: leaf.pem(), key: key.serialize_pem() }
    }
}

fn pem(ders: &[Vec<u8>]) -> String {
    use base64::Engine;
    let one = |der: &Vec<u8>| {
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    };
    ders.iter().map(one).collect()
}

impl PemPair {
    /// As a Secret of namespace `default`.
    pub(crate) fn secret(&self, name: &str) -> KeyPair {
        KeyPair {
            namespace: "default".into(),
            name: name.into(),
            certificate: self.certificate.as_str().into(),
            key: SecretString::new(self.key.clone()),
        }
    }

    fn read(&self) -> Result<ServerCertificate, CertificatePemError> {
        ServerCertificate::read(self.certificate.as_bytes(), self.key.as_bytes())
    }
}

fn secret(name: &str) -> CertificateRef {
    CertificateRef::Secret { namespace: "default".into(), name: name.into() }
}

#[test]
fn a_name_is_covered_exactly_or_by_one_label_more() {
    let pair = EdgeAuthority::new("ca").server(&["Shop.example", "*.wild.example"]);
    let certificate = pair.read().unwrap();
    for (name, expected) in [
        ("shop.example", true),
        ("a.wild.example", true),
        ("wild.example", false),
        ("a.b.wild.example", false),
        ("other.example", false),
    ] {
        assert_eq!(certificate.covers(name), expected, "{name}");
    }
}

#[test]
fn what_is_no_pair_is_refused_by_name_and_never_shown() {
    let authority = EdgeAuthority::new("ca");
    let (one, two) = (authority.server(&["a.example"]), authority.server(&["b.example"]));
    let broken = |certificate: &str, key: &str| {
        let pair = PemPair { certificate: certificate.to_owned(), key: key.to_owned() };
        pair.read().unwrap_err()
    };
    let encrypted = one.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let cut = one.key.replace("-----END PRIVATE KEY-----", "");
    for (error, expected) in [
        (broken("", &one.key), CertificatePemError::NoCertificate),
        (broken("Hello world", &one.key), CertificatePemError::NoCertificate),
        (broken(&pem(&[b"no certificate".to_vec()]), &one.key), CertificatePemError::Malformed),
        (broken(&one.certificate, ""), CertificatePemError::NoKey),
        (broken(&one.certificate, &encrypted), CertificatePemError::NoKey),
        (broken(&one.certificate, &cut), CertificatePemError::NoKey),
        (broken(&one.certificate, &two.key), CertificatePemError::Mismatch),
    ] {
        assert_eq!(error, expected);
    }
    let body = one.key.lines().nth(1).unwrap();
    let shown = format!("{:?} {:?}", one.secret("a"), one.read().unwrap());
    assert!(!shown.contains(body) && shown.contains("[redacted]"), "{shown}");
}

#[test]
fn a_broken_secret_leaves_the_last_good_one() {
    let authority = EdgeAuthority::new("ca");
    let (old, new) = (authority.server(&["a.example"]), authority.server(&["a.example"]));
    let certificates = ListenerCertificates::new(Arc::default());
    let slot = certificates.pair(&secret("s"));
    assert!(slot.current().is_none(), "nothing yet");
    certificates.put(old.secret("s"));
    let first = slot.current().unwrap().sha256.clone();
    certificates.put(PemPair { key: new.key.clone(), ..old.clone() }.secret("s"));
    assert_eq!(slot.current().unwrap().sha256, first);
    assert!(slot.fault().unwrap().contains("not the certificate's"));
    assert_eq!(certificates.faults()[0].0, "Secret/s.default");
    certificates.put(new.secret("s"));
    assert_ne!(slot.current().unwrap().sha256, first);
    assert_eq!(slot.fault(), None);
    certificates.remove(&"default".into(), &"s".into());
    assert!(slot.current().is_none(), "a Secret that is deleted is not shown any more");
}

#[test]
fn files_are_read_again_when_they_change() {
    let authority = EdgeAuthority::new("ca");
    let (old, new) = (authority.server(&["a.example"]), authority.server(&["a.example"]));
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    // Beside and renamed, as tools do that replace certificates.
    let put = |name: &str, text: &str| {
        fs::write(path("aside"), text).unwrap();
        fs::rename(path("aside"), path(name)).unwrap();
    };
    let files = CertificateRef::Files {
        certificate: path("tls.crt").as_str().into(),
        key: path("tls.key").as_str().into(),
    };
    let watch = Arc::<FileWatch>::default();
    let certificates = ListenerCertificates::new(Arc::clone(&watch));
    let slot = certificates.pair(&files);
    assert!(slot.fault().unwrap().contains("No such file"), "{:?}", slot.fault());
    put("tls.crt", &old.certificate);
    put("tls.key", &old.key);
    watch.look();
    let first = slot.current().unwrap().sha256.clone();
    // Half of the new pair is no pair: the old one stays.
    put("tls.crt", &new.certificate);
    watch.look();
    assert_eq!(slot.current().unwrap().sha256, first);
    assert!(slot.fault().is_some());
    put("tls.key", &new.key);
    watch.look();
    assert_ne!(slot.current().unwrap().sha256, first);
    assert_eq!(slot.fault(), None);
    fs::remove_file(path("tls.key")).unwrap();
    watch.look();
    assert!(slot.current().is_some() && slot.fault().is_some());
    let bundle = certificates.bundle(&path("ca.crt").as_str().into());
    assert!(bundle.current().is_none());
    put("ca.crt", &authority.pem());
    watch.look();
    assert!(bundle.current().is_some());
    certificates.keep_only(&HashSet::new(), &HashSet::new());
    assert_eq!(certificates.pairs().len(), 0);
    assert!(!Arc::ptr_eq(&slot, &certificates.pair(&files)), "forgotten");
}

#[test]
fn a_bundle_of_authorities_must_hold_some() {
    assert_eq!(CaRoots::read(b"").map(drop).unwrap_err(), CertificatePemError::NoCertificate);
    let two = format!("{}{}", EdgeAuthority::new("one").pem(), EdgeAuthority::new("two").pem());
    assert_eq!(CaRoots::read(two.as_bytes()).unwrap().subjects.len(), 2);
}
