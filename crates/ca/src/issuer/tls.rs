//! Asks whoever holds the root on another host: `tls://HOST:PORT`, over mutual TLS.
//!
//! The first certificate is had with a single-use grant, which names the root that must be met. From then on the
//! plane's own certificate proves who asks; the grant is not kept.

use super::exchange::{WantedCertificate, ask_once, in_time, issued, question};
use super::frame::SecretText;
use super::{CertificateRequest, IssueError, Issued, IssuerOptions, OpenError, RootIssuer};
use crate::grant::{GrantSubject, GrantToken};
use futures_util::future::BoxFuture;
use identity::{Expect, Identity, ROOT_ACCOUNT, SYSTEM_NAMESPACE, server_name};
use model::SpiffeId;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What both ends say in the handshake (ALPN); the number is that of the protocol inside.
pub const PROTOCOL: &[u8] = b"leno-issuer/1";
/// Longest file with a grant; longer ones are none.
const TOKEN_BYTES_MAX: u64 = 1024;

/// See [`super::SCHEMES`].
pub(super) fn open(place: &str, options: &IssuerOptions) -> Result<Arc<dyn RootIssuer>, OpenError> {
    let port =
        place.rsplit_once(':').and_then(|(host, port)| (!host.is_empty()).then(|| port.parse::<u16>()));
    if !matches!(port, Some(Ok(1..))) {
        let fault = "write tls://HOST:PORT, as in tls://root.example:15013".into();
        return Err(OpenError::Address { address: format!("tls://{place}"), fault });
    }
    let path = options.issuer_token_file.as_ref().ok_or(OpenError::TokenMissing)?;
    let text = read_token(path).map_err(|cause| OpenError::TokenFile { path: path.clone(), cause })?;
    let token = GrantToken::parse(&text).map_err(|fault| OpenError::Token { path: path.clone(), fault })?;
    Ok(Arc::new(TlsIssuer::new(place.to_owned(), token)))
}

fn read_token(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let source: Box<dyn Read> =
        if path.as_os_str() == "-" { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
    source.take(TOKEN_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// Asks over mutual TLS. Each question has a connection of its own.
#[derive(Debug)]
pub struct TlsIssuer {
    place: String,
    /// Until the plane has been certified once.
    token: Mutex<Option<GrantToken>>,
}

impl TlsIssuer {
    /// The holder at `place`, HOST:PORT; nothing is opened yet.
    pub fn new(place: String, token: GrantToken) -> Self {
        Self { place, token: Mutex::new(Some(token)) }
    }

    async fn ask(
        &self,
        asked: WantedCertificate<'_>,
        caller: Option<&Identity>,
    ) -> Result<Issued, IssueError> {
        if let Some((identity, id)) = caller.and_then(|identity| Some((identity, identity.id()?))) {
            self.forget_token();
            let holder = SpiffeId {
                trust_domain: id.trust_domain,
                namespace: SYSTEM_NAMESPACE.into(),
                service_account: ROOT_ACCOUNT.into(),
            };
            return self.exchange(identity, Expect::OneOf(vec![holder]), asked, None).await;
        }
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let spent = || IssueError::Proof("the grant is spent; make another with `leno root grant`".into());
        let token = token.ok_or_else(spent)?;
        let wanted = match asked.cluster {
            Some(name) => GrantSubject::Cluster(name.into()),
            None => GrantSubject::Manager,
        };
        if token.subject != wanted {
            let given = &token.subject;
            return Err(IssueError::Proof(format!("the grant is for {given}, this is {wanted}")));
        }
        let nobody = Identity::new(Vec::new());
        let expect = Expect::PinnedHolder(token.root_pin());
        self.exchange(&nobody, expect, asked, Some(&token)).await
    }

    fn forget_token(&self) {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    async fn exchange(
        &self,
        identity: &Identity,
        expect: Expect,
        asked: WantedCertificate<'_>,
        token: Option<&GrantToken>,
    ) -> Result<Issued, IssueError> {
        in_time(async {
            let connecting = self.connect(identity, expect).await;
            let mut stream = connecting
                .map_err(|cause| IssueError::Connect { place: format!("tls://{}", self.place), cause })?;
            let token = token.map(|token| SecretText(token.text()));
            issued(ask_once(&mut stream, &super::frame::SignQuestion { token, ..question(1, asked) }).await?)
        })
        .await
    }

    async fn connect(&self, identity: &Identity, expect: Expect) -> io::Result<TlsStream<TcpStream>> {
        let stream = codec::dial::connect(&self.place).await?;
        let connector = TlsConnector::from(identity.client_config(expect, &[PROTOCOL]));
        connector.connect(server_name(), stream).await
    }
}

impl RootIssuer for TlsIssuer {
    fn sign_intermediate<'a>(
        &'a self,
        cluster: &'a str,
        request: CertificateRequest<'a>,
    ) -> BoxFuture<'a, Result<Issued, IssueError>> {
        let asked = WantedCertificate { cluster: Some(cluster), csr: request.csr };
        Box::pin(self.ask(asked, request.caller))
    }

    fn sign_leaf<'a>(&'a self, request: CertificateRequest<'a>) -> BoxFuture<'a, Result<Issued, IssueError>> {
        Box::pin(self.ask(WantedCertificate { cluster: None, csr: request.csr }, request.caller))
    }
}
