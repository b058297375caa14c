//! What the command line shows of itself to a plane's API, and what it believes of the server. kubectl's names.
//!
//! Secrets come from files, never from arguments or the environment, which others can read.

use crate::exit::{Failure, USAGE};
use anyhow::Context;
use identity::CertificateDer;
use identity::rustls::ClientConfig;
use identity::rustls::pki_types::PrivateKeyDer;
use identity::rustls::pki_types::pem::PemObject;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where credentials are.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Credentials {
    /// File with a token to send, over https or a Unix socket [env: LENO_TOKEN_FILE]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Authorities (PEM) of the server's certificate, for https; of a plane with its own certificate the root of the mesh [env: LENO_CERTIFICATE_AUTHORITY]
    #[arg(long, value_name = "FILE")]
    certificate_authority: Option<PathBuf>,
    /// Client certificate (PEM) to show, with what it chains by [env: LENO_CLIENT_CERTIFICATE]
    #[arg(long, value_name = "FILE")]
    client_certificate: Option<PathBuf>,
    /// Its private key (PEM) [env: LENO_CLIENT_KEY]
    #[arg(long, value_name = "FILE")]
    client_key: Option<PathBuf>,
}

impl Credentials {
    /// As the options say, else the environment.
    pub(crate) fn with_environment(&self, variable: impl Fn(&str) -> Option<String>) -> Self {
        let of = |option: &Option<PathBuf>, name| option.clone().or_else(|| Some(variable(name)?.into()));
        Self {
            token_file: of(&self.token_file, "LENO_TOKEN_FILE"),
            certificate_authority: of(&self.certificate_authority, "LENO_CERTIFICATE_AUTHORITY"),
            client_certificate: of(&self.client_certificate, "LENO_CLIENT_CERTIFICATE"),
            client_key: of(&self.client_key, "LENO_CLIENT_KEY"),
        }
    }

    /// The value of the Authorization header, if a token is to be sent.
    pub(crate) fn authorization(&self) -> Result<Option<String>, Failure> {
        let Some(path) = &self.token_file else { return Ok(None) };
        let text = read(path)?;
        let token = std::str::from_utf8(&text).unwrap_or_default().trim();
        match !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(Some(format!("Bearer {token}"))),
            false => Err(usage(format!("{}: it holds no token, or more than one", path.display()))),
        }
    }

    /// How the server is called by https.
    pub(crate) fn tls(&self) -> Result<Arc<ClientConfig>, Failure> {
        let Some(path) = &self.certificate_authority else {
            let told =
                "https needs --certificate-authority: the authorities that the server's certificate is of";
            return Err(usage(told.into()));
        };
        let own = match (&self.client_certificate, &self.client_key) {
            (Some(chain), Some(key)) => Some((certificates(chain)?, private_key(key)?)),
            (None, None) => None,
            (Some(_), None) => return Err(usage("--client-certificate needs --client-key".into())),
            (None, Some(_)) => return Err(usage("--client-key needs --client-certificate".into())),
        };
        identity::plane_client_config(certificates(path)?, own).map_err(|cause| Failure {
            code: USAGE,
            cause: anyhow::Error::new(cause).context("use --certificate-authority and --client-certificate"),
        })
    }

    /// Refuses what would not be used, or would be told to everybody on the way.
    pub(crate) fn check_without_tls(&self, url: &str, is_local: bool) -> Result<(), Failure> {
        if self.token_file.is_some() && !is_local {
            return Err(usage(format!(
                "{url}: a token is not sent over plain HTTP; use https or a Unix socket"
            )));
        }
        for (option, file) in [
            ("--certificate-authority", &self.certificate_authority),
            ("--client-certificate", &self.client_certificate),
            ("--client-key", &self.client_key),
        ] {
            if file.is_some() {
                return Err(usage(format!(
                    "{url}: {option} is for https; leave it out, or write https://HOST:PORT"
                )));
            }
        }
        Ok(())
    }
}

fn usage(told: String) -> Failure {
    Failure::new(USAGE, told)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let read = std::fs::read(path).with_context(|| format!("read {}", path.display()));
    read.map_err(|cause| Failure { code: USAGE, cause })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let text = read(path)?;
    match CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>() {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(usage(format!("{}: no certificates in PEM", path.display()))),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Failure> {
    let text = read(path)?;
    PrivateKeyDer::from_pem_slice(&text)
        .map_err(|_| usage(format!("{}: no private key in PEM (PKCS#8, PKCS#1 or SEC1)", path.display())))
}
