//! Certificates for the peers' pairs, as Leno's are: one root, an intermediate, and a leaf of P-256 for each side.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};

/// The files, in PEM.
pub(crate) struct Certificates {
    pub root: PathBuf,
    /// Certificates and key of each side in one file.
    pub caller: PathBuf,
    pub callee: PathBuf,
}

/// What a side's certificate says who it is.
pub(crate) fn identity(side: &str) -> String {
    format!("spiffe://leno.bench/ns/default/sa/{side}")
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

impl Certificates {
    /// Makes new ones in `folder`.
    pub(crate) fn make(folder: &Path) -> Result<Certificates> {
        let key = KeyPair::generate()?;
        let params = authority("bench root");
        let certificate = params.self_signed(&key)?;
        let root = folder.join("root.pem");
        fs::write(&root, certificate.pem())?;
        let (issuer, key) = (Issuer::new(params, key), KeyPair::generate()?);
        let params = authority("bench intermediate");
        let intermediate = params.signed_by(&key, &issuer)?;
        let issuer = Issuer::new(params, key);
        let leaf = |side: &str| -> Result<PathBuf> {
            let key = KeyPair::generate()?;
            let mut params = CertificateParams::default();
            // HAProxy's rules ask for the common name, the others' for the URI.
            params.distinguished_name.push(DnType::CommonName, side);
            params.subject_alt_names = vec![SanType::URI(Ia5String::try_from(identity(side))?)];
            params.extended_key_usages =
                vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
            let certificate = params.signed_by(&key, &issuer)?;
            let path = folder.join(format!("{side}.pem"));
            let text = [certificate.pem(), intermediate.pem(), key.serialize_pem()].concat();
            fs::write(&path, text)?;
            Ok(path)
        };
        Ok(Certificates { root, caller: leaf("caller")?, callee: leaf("callee")? })
    }
}
