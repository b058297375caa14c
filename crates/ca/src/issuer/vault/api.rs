//! Calls to Vault's HTTP API, over TLS alone.

use super::VaultOptions;
use crate::issuer::exchange::{ANSWER_TIMEOUT, in_time};
use crate::issuer::{IssueError, RefusalCode};
use crate::pem;
use codec::client::{ClientError, Limits, send_over};
use codec::dial;
use http::header::{CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request, StatusCode};
use identity::CertificateDer;
use identity::rustls::pki_types::ServerName;
use identity::rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

/// Where the CA certificates of Debian and of most others are.
const SYSTEM_CA_FILE: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Longest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// What carries a token.
const TOKEN_HEADER: &str = "x-vault-token";

/// A Vault at one address.
pub(super) struct VaultApi {
    /// HOST:PORT.
    place: String,
    name: ServerName<'static>,
    tls: Arc<ClientConfig>,
}

/// One call.
#[derive(Clone, Copy)]
pub(super) struct VaultCall<'a> {
    /// Behind `/v1/`.
    pub(super) path: &'a str,
    pub(super) token: Option<&'a str>,
    /// Posted; `None`: a GET.
    pub(super) body: Option<&'a Value>,
}

impl VaultApi {
    /// Reads what its certificate is verified with; speaks to nobody yet.
    pub(super) fn new(place: &str, options: &VaultOptions) -> Result<Self, String> {
        let (host, port) = place.rsplit_once(':').ok_or("names no port; Vault's is 8200")?;
        if !port.parse::<u16>().is_ok_and(|port| port > 0) {
            return Err(format!("`{port}` is no port"));
        }
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| format!("`{host}` is no host"))?;
        let file = options.vault_ca_file.as_deref().unwrap_or(Path::new(SYSTEM_CA_FILE));
        let told = |cause: &dyn std::fmt::Display| {
            format!("read the CA certificates of Vault from {} (--vault-ca-file): {cause}", file.display())
        };
        let text = std::fs::read_to_string(file).map_err(|error| told(&error))?;
        let mut roots = RootCertStore::empty();
        for der in pem::certificates(&text).map_err(|error| told(&error))? {
            roots.add(CertificateDer::from(der)).map_err(|error| told(&error))?;
        }
        if roots.is_empty() {
            return Err(told(&"no certificate in it"));
        }
        Ok(Self { place: place.to_owned(), name, tls: identity::client_config_for(roots) })
    }

    pub(super) async fn call(&self, call: VaultCall<'_>) -> Result<Value, IssueError> {
        // A call is rare, and its buffers are large.
        Box::pin(in_time(Box::pin(self.exchange(call)))).await
    }

    async fn exchange(&self, call: VaultCall<'_>) -> Result<Value, IssueError> {
        let place = || format!("vault:https://{}", self.place);
        let connecting = async {
            let stream = dial::connect(&self.place).await?;
            TlsConnector::from(self.tls.clone()).connect(self.name.clone(), stream).await
        };
        let stream = connecting.await.map_err(|cause| IssueError::Connect { place: place(), cause })?;
        let request = self.request(call).map_err(|error| IssueError::Stream(io::Error::other(error)))?;
        let limits = Limits { deadline: ANSWER_TIMEOUT, body_bytes_max: ANSWER_BYTES_MAX };
        let answer = Box::pin(send_over(stream, request, limits)).await.map_err(|error| match error {
            ClientError::TooLarge { .. } => IssueError::Malformed("answer of Vault is too large"),
            error => IssueError::Stream(io::Error::other(error)),
        })?;
        let value: Result<Value, _> = serde_json::from_slice(answer.body());
        match answer.status() {
            StatusCode::NO_CONTENT => Ok(Value::Null),
            status if status.is_success() => {
                value.map_err(|_| IssueError::Malformed("answer of Vault is no JSON"))
            }
            status => Err(refusal(status, call.path, &value.unwrap_or_default())),
        }
    }

    fn request(&self, call: VaultCall<'_>) -> Result<Request<bytes::Bytes>, http::Error> {
        let method = if call.body.is_some() { Method::POST } else { Method::GET };
        let mut request =
            Request::builder().method(method).uri(format!("/v1/{}", call.path)).header(HOST, &self.place);
        if let Some(token) = call.token {
            let mut token = HeaderValue::from_str(token)?;
            token.set_sensitive(true);
            request = request.header(TOKEN_HEADER, token);
        }
        let body = call.body.map(|body| Zeroizing::new(body.to_string()));
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        request.body(bytes::Bytes::from(body.map(|body| body.to_string()).unwrap_or_default()))
    }
}

/// What Vault says of a call that it does not do.
fn refusal(status: StatusCode, path: &str, answer: &Value) -> IssueError {
    let texts = answer["errors"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let said = texts.map(str::trim).collect::<Vec<_>>().join("; ");
    let hint = match status.as_u16() {
        403 => " (the token is unknown or expired, or its policy does not allow this)",
        307 | 308 | 429 | 472 | 473 => " (a standby node: give the address of the active one)",
        503 => " (sealed, or not yet initialized)",
        404 => " (no such mount or role)",
        _ => "",
    };
    let code = match status {
        StatusCode::FORBIDDEN => RefusalCode::NotGranted,
        StatusCode::BAD_REQUEST => RefusalCode::Request,
        _ => RefusalCode::Other,
    };
    IssueError::Refused {
        code,
        reason: format!("Vault answered {} to {path}{hint}: {said}", status.as_u16()),
    }
}
