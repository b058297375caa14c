//! Asks whoever holds the root at a Unix socket: `unix:PATH`. Each question has a connection of its own, so a holder that was started anew is found again.

use super::exchange::{WantedCertificate, ask_once, in_time, issued, question};
use super::{CertificateRequest, IssueError, Issued, IssuerOptions, OpenError, RootIssuer};
use futures_util::future::BoxFuture;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::UnixStream;

/// See [`super::SCHEMES`].
pub(super) fn open(path: &str, _: &IssuerOptions) -> Result<Arc<dyn RootIssuer>, OpenError> {
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

    async fn ask(&self, asked: WantedCertificate<'_>) -> Result<Issued, IssueError> {
        in_time(async {
            let place = || format!("unix:{}", self.path.display());
            let connecting = UnixStream::connect(&self.path).await;
            let mut stream = connecting.map_err(|cause| IssueError::Connect { place: place(), cause })?;
            issued(ask_once(&mut stream, &question(1, asked)).await?)
        })
        .await
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
