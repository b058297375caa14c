//! Asks whoever holds the root at a Unix socket: `unix:PATH`. Each question has a connection of its own, so a holder that was started anew is found again.

use super::exchange::{WantedCertificate, accepted, ask_once, in_time, issued, question};
use super::frame::{QuestionKind, SignAnswer, SignQuestion, VERSION};
use super::{CertificateRequest, IssueError, Issued, IssuerOptions, OpenError, RootIssuer};
use crate::grant::{GrantSubject, GrantToken};
use futures_util::future::BoxFuture;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;

/// See [`super::SCHEMES`].
pub(super) fn open(path: &str, options: &IssuerOptions) -> Result<Arc<dyn RootIssuer>, OpenError> {
    if options.issuer_token_file.is_some() {
        return Err(OpenError::TokenUnused(format!("unix:{path}")));
    }
    if !Path::new(path).is_absolute() {
        return Err(OpenError::Address {
            address: format!("unix:{path}"),
            fault: "the path of a Unix socket begins with `/`, as in unix:/run/leno/root.sock".into(),
        });
    }
    Ok(Arc::new(UnixIssuer { path: path.into() }))
}

/// Asks at a Unix socket.
#[derive(Debug)]
pub struct UnixIssuer {
    path: PathBuf,
}

impl UnixIssuer {
    /// The socket at `path`; nothing is opened yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Has a grant made for a plane on another host, good for `ttl`.
    ///
    /// # Errors
    /// When the holder is not there, or refuses.
    pub async fn request_grant(
        &self,
        subject: &GrantSubject,
        ttl: Duration,
    ) -> Result<GrantToken, IssueError> {
        let question = SignQuestion {
            version: VERSION,
            number: 1,
            kind: QuestionKind::Grant,
            csr: String::new(),
            cluster: match subject {
                GrantSubject::Cluster(name) => Some(name.to_string()),
                GrantSubject::Manager => None,
            },
            token: None,
            ttl_s: Some(ttl.as_secs()),
        };
        let answer = accepted(self.exchange(&question).await?)?;
        let token = answer.token.ok_or(IssueError::Malformed("no grant"))?;
        GrantToken::parse(&token.0).map_err(|_| IssueError::Malformed("grant"))
    }

    async fn exchange(&self, question: &SignQuestion) -> Result<SignAnswer, IssueError> {
        in_time(async {
            let place = || format!("unix:{}", self.path.display());
            let connecting = UnixStream::connect(&self.path).await;
            let mut stream = connecting.map_err(|cause| IssueError::Connect { place: place(), cause })?;
            ask_once(&mut stream, question).await
        })
        .await
    }

    async fn ask(&self, asked: WantedCertificate<'_>) -> Result<Issued, IssueError> {
        issued(self.exchange(&question(1, asked)).await?)
    }
}

impl RootIssuer for UnixIssuer {
    fn sign_intermediate<'a>(
        &'a self,
        cluster: &'a str,
        request: CertificateRequest<'a>,
    ) -> BoxFuture<'a, Result<Issued, IssueError>> {
        Box::pin(self.ask(WantedCertificate { cluster: Some(cluster), csr: request.csr }))
    }

    fn sign_leaf<'a>(&'a self, request: CertificateRequest<'a>) -> BoxFuture<'a, Result<Issued, IssueError>> {
        Box::pin(self.ask(WantedCertificate { cluster: None, csr: request.csr }))
    }
}
