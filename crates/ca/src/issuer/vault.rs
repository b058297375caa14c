//! Has certificates signed by Vault or OpenBao: `vault:https://HOST:PORT/MOUNT`, the `pki` engine at that mount.
//!
//! The key of the intermediate is made here and stays here; Vault sees a request for its certificate. Who asks proves
//! so by a login (`login`); which cluster it may name is for Vault's policies to say (`docs/issuers.md`).

mod api;
mod login;

use super::{CertificateRequest, IssueError, Issued, IssuerOptions, OpenError, RefusalCode, RootIssuer};
use crate::pem;
use api::{VaultApi, VaultCall};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::future::BoxFuture;
use identity::{MANAGER_ACCOUNT, SYSTEM_NAMESPACE};
use login::{Credential, Logins};
use model::trust::TrustBundle;
use model::{SpiffeId, TrustDomain};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Life of what is asked for; Vault may give less.
const TTL: &str = "24h";

/// Options of this issuer.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct VaultOptions {
    /// CA certificates (PEM) that Vault's own certificate is verified with [default: those of the system]
    #[arg(long, value_name = "PATH", requires = "issuer")]
    pub vault_ca_file: Option<PathBuf>,
    /// File with a token of Vault; `-` reads standard input, /dev/fd/3 an inherited descriptor
    #[arg(long, value_name = "PATH", requires = "issuer", conflicts_with = "vault_role_id")]
    pub vault_token_file: Option<PathBuf>,
    /// Instead of a token, log in by AppRole: its role_id
    #[arg(long, value_name = "ID", requires = "vault_secret_id_file")]
    pub vault_role_id: Option<String>,
    /// File with the secret_id of that AppRole; `-` reads standard input, /dev/fd/3 an inherited descriptor
    #[arg(long, value_name = "PATH", requires = "vault_role_id")]
    pub vault_secret_id_file: Option<PathBuf>,
}

impl VaultOptions {
    /// Whether any of them is set.
    pub(super) fn is_given(&self) -> bool {
        self.vault_ca_file.is_some() || self.vault_token_file.is_some() || self.vault_role_id.is_some()
    }
}

/// See [`super::SCHEMES`].
pub(super) fn open(url: &str, options: &IssuerOptions) -> Result<Arc<dyn RootIssuer>, OpenError> {
    let fault = |fault: &str| OpenError::Address { address: format!("vault:{url}"), fault: fault.to_owned() };
    if options.issuer_token_file.is_some() {
        return Err(OpenError::TokenUnused(format!("vault:{url}")));
    }
    let trust_domain = options.trust_domain.clone();
    let trust_domain = trust_domain.ok_or_else(|| fault("needs --trust-domain: Vault does not know it"))?;
    let form = "write vault:https://HOST:PORT/MOUNT, and ?role=NAME behind it for leno manager";
    let (place, path) =
        url.strip_prefix("https://").and_then(|rest| rest.split_once('/')).ok_or_else(|| fault(form))?;
    let (mount, query) = path.split_once('?').unwrap_or((path, ""));
    let role = match query.strip_prefix("role=") {
        Some(role) if is_plain(role) => Some(role.to_owned()),
        None if query.is_empty() => None,
        _ => return Err(fault(form)),
    };
    let mount = mount.trim_end_matches('/');
    if !mount.split('/').all(is_plain) {
        return Err(fault(form));
    }
    let api = VaultApi::new(place, &options.vault).map_err(|error| fault(&error))?;
    let credential = Credential::read(&options.vault).map_err(|error| fault(&error))?;
    Ok(Arc::new(VaultIssuer {
        logins: Logins::new(credential),
        api,
        mount: mount.to_owned(),
        role,
        trust_domain,
    }))
}

/// Part of a path that means the same in a URL.
fn is_plain(part: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !part.is_empty() && part.bytes().all(is_plain) && part.bytes().any(|byte| byte != b'.')
}

/// Asks Vault.
struct VaultIssuer {
    api: VaultApi,
    logins: Logins,
    mount: String,
    /// By which leaves are signed.
    role: Option<String>,
    trust_domain: TrustDomain,
}

impl VaultIssuer {
    /// Has something signed. A login that Vault has forgotten is made anew, once.
    async fn sign(&self, path: &str, body: &Value) -> Result<Issued, IssueError> {
        let mut is_second = false;
        loop {
            let token = self.logins.token(&self.api).await?;
            let call = VaultCall { path, token: Some(&token), body: Some(body) };
            match self.api.call(call).await {
                Ok(answer) => return self.issued(&answer["data"]),
                Err(IssueError::Refused { code: RefusalCode::NotGranted, .. })
                    if !is_second && self.logins.another(&self.api).await =>
                {
                    is_second = true;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// What was signed, with the chain up to the root.
    fn issued(&self, data: &Value) -> Result<Issued, IssueError> {
        let mut chain: Vec<Vec<u8>> = Vec::new();
        let above = data["ca_chain"].as_array().into_iter().flatten();
        for text in [&data["certificate"]].into_iter().chain(above).chain([&data["issuing_ca"]]) {
            let text = text.as_str().unwrap_or_default();
            for der in pem::certificates(text).map_err(|_| IssueError::Malformed("certificate of Vault"))? {
                if !chain.contains(&der) {
                    chain.push(der);
                }
            }
        }
        let is_root = |der: &Vec<u8>| {
            let parsed = X509Certificate::from_der(der);
            parsed.is_ok_and(|(_, root)| root.subject().as_raw() == root.issuer().as_raw())
        };
        // What is behind a root belongs to another chain.
        let root = chain.iter().position(is_root);
        let root = root.ok_or(IssueError::Malformed("Vault's mount has no chain up to its root"))?;
        chain.truncate(root + 1);
        let roots = chain.last().cloned().into_iter().collect();
        let trust_domain = self.trust_domain.clone();
        let bundles = vec![TrustBundle { trust_domain: trust_domain.clone(), roots }];
        Ok(Issued { chain, bundles, id: None, trust_domain })
    }
}

/// PKCS #10 as PEM.
fn request_pem(csr: &[u8]) -> String {
    format!(
        "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
        BASE64.encode(csr)
    )
}

impl RootIssuer for VaultIssuer {
    fn sign_intermediate<'a>(
        &'a self,
        cluster: &'a str,
        request: CertificateRequest<'a>,
    ) -> BoxFuture<'a, Result<Issued, IssueError>> {
        Box::pin(async move {
            let body = json!({
                "csr": request_pem(request.csr),
                "common_name": format!("{} cluster {cluster}", self.trust_domain),
                "exclude_cn_from_sans": true,
                "ou": cluster,
                "max_path_length": "0",
                "ttl": TTL,
                "format": "pem",
            });
            self.sign(&format!("{}/root/sign-intermediate", self.mount), &body).await
        })
    }

    fn sign_leaf<'a>(&'a self, request: CertificateRequest<'a>) -> BoxFuture<'a, Result<Issued, IssueError>> {
        Box::pin(async move {
            let missing =
                "Vault signs leaves by a role: write --issuer vault:https://HOST:PORT/MOUNT?role=NAME";
            let role = self.role.as_ref().ok_or_else(|| IssueError::Proof(missing.into()))?;
            let id = SpiffeId {
                trust_domain: self.trust_domain.clone(),
                namespace: SYSTEM_NAMESPACE.into(),
                service_account: MANAGER_ACCOUNT.into(),
            };
            let body = json!({
                "csr": request_pem(request.csr),
                "uri_sans": id.to_string(),
                "ttl": TTL,
                "format": "pem",
            });
            let issued = self.sign(&format!("{}/sign/{role}", self.mount), &body).await?;
            Ok(Issued { id: Some(id), ..issued })
        })
    }

    fn keep(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.logins.renew(&self.api))
    }
}

#[cfg(test)]
mod tests;
