//! The control plane's API, as this crate uses it.

use crate::credentials::Credentials;
use crate::exit::{DATA, FAILED, Failure, UNREACHABLE, USAGE};
use api::report::FindingReport;
use bytes::Bytes;
use codec::client::{self, Limits};
use codec::dial;
use http::header::{HeaderValue, InvalidHeaderValue};
use http::{Request, Response, StatusCode};
use identity::rustls::pki_types::ServerName;
use model::BindAddress;
use serde_json::{Value, json};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::error::Elapsed;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Used when neither the option nor the environment says otherwise.
const SERVER_DEFAULT: &str = "unix:/run/leno/control.sock";
/// Environment variable of the server's address.
const SERVER_VARIABLE: &str = "LENO_SERVER";
/// How long a change of many objects may take.
const CHANGE_DEADLINE: Duration = Duration::from_secs(120);

/// Where the control plane is, and who calls.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Server {
    /// The control plane's API, unix:PATH, https://HOST:PORT or http://HOST:PORT [env: LENO_SERVER] [default: unix:/run/leno/control.sock]
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    #[command(flatten)]
    credentials: Credentials,
}

/// How a change is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meant {
    /// To be made.
    Make,
    /// To be made though it breaks callers that are served now.
    Force,
    /// Only to be looked at by the server.
    Try,
}

impl Meant {
    /// Of a change with or without `--force`.
    pub(crate) fn by(force: bool) -> Self {
        if force { Self::Force } else { Self::Make }
    }
}

/// The API at one address.
pub(crate) struct Remote {
    url: String,
    way: Way,
    authorization: Option<HeaderValue>,
}

/// How it is reached.
enum Way {
    Local(PathBuf),
    Plain(Vec<SocketAddr>),
    Tls { addresses: Vec<SocketAddr>, host: String, connector: TlsConnector },
}

impl Server {
    /// Resolves the address and reads the credentials; speaks to nobody yet.
    pub(crate) fn remote(&self) -> Result<Remote, Failure> {
        let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let credentials = self.credentials.with_environment(variable);
        let url = self.server.clone().or_else(|| variable(SERVER_VARIABLE));
        let url = url.unwrap_or_else(|| SERVER_DEFAULT.into());
        let way = if url.starts_with(model::bind::UNIX_SCHEME) {
            credentials.check_without_tls(&url, true)?;
            match url.parse() {
                Ok(BindAddress::Unix(path)) => Way::Local(path),
                Ok(BindAddress::Tcp(address)) => Way::Plain(vec![address]),
                Err(told) => return Err(Failure::new(USAGE, told)),
            }
        } else if let Some(authority) = url.strip_prefix("https://") {
            let (addresses, host) = resolve(&url, authority)?;
            Way::Tls { addresses, host, connector: TlsConnector::from(credentials.tls()?) }
        } else {
            credentials.check_without_tls(&url, false)?;
            Way::Plain(resolve(&url, url.strip_prefix("http://").unwrap_or(&url))?.0)
        };
        let authorization = credentials.authorization()?.map(|text| {
            let mut value = HeaderValue::from_str(&text)?;
            value.set_sensitive(true);
            Ok(value)
        });
        let authorization = authorization
            .transpose()
            .map_err(|cause: InvalidHeaderValue| Failure::from(anyhow::Error::new(cause)))?;
        Ok(Remote { url, way, authorization })
    }
}

/// The addresses of `HOST:PORT` in the order to try them, and the host alone.
fn resolve(url: &str, authority: &str) -> Result<(Vec<SocketAddr>, String), Failure> {
    let authority = authority.trim_end_matches('/');
    let usage =
        || Failure::new(USAGE, format!("{url}: write unix:PATH, https://HOST:PORT or http://HOST:PORT"));
    if authority.contains("://") || authority.contains('/') {
        return Err(usage());
    }
    let addresses = authority.to_socket_addrs().map_err(|cause| match cause.kind() {
        io::ErrorKind::InvalidInput => usage(),
        _ => Failure {
            code: UNREACHABLE,
            cause: anyhow::Error::new(cause).context(format!("resolve {authority}")),
        },
    })?;
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let addresses = dial::order(addresses);
    if addresses.is_empty() { Err(usage()) } else { Ok((addresses, host)) }
}

impl Remote {
    /// Where it is, for messages.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Makes several changes as one: `apply` are texts of objects, `delete` are references. Only not getting
    /// any answer is a failure.
    pub(crate) async fn change(
        &self,
        apply: &[&str],
        delete: &[Value],
        meant: Meant,
    ) -> Result<Response<Bytes>, Failure> {
        let mut body = json!({ "apply": apply, "delete": delete });
        // Only then: an older server knows neither.
        match meant {
            Meant::Make => {}
            Meant::Force => body["force"] = true.into(),
            Meant::Try => body["dryRun"] = true.into(),
        }
        let body = body.to_string();
        let limits = Limits { deadline: CHANGE_DEADLINE, ..Limits::default() };
        self.send("POST", "/leno/v1/batch", Some(("application/json", body)), limits).await
    }

    /// GET of something large; only not getting any answer is a failure.
    pub(crate) async fn fetch(&self, path: &str, limits: Limits) -> Result<Response<Bytes>, Failure> {
        self.send("GET", path, None, limits).await
    }

    /// One call; only not getting any answer is a failure.
    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, String)>,
    ) -> Result<Response<Bytes>, Failure> {
        self.send(method, path, body, Limits::default()).await
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, String)>,
        limits: Limits,
    ) -> Result<Response<Bytes>, Failure> {
        let mut request = Request::builder().method(method).uri(path);
        request = request.header(http::header::ACCEPT, "application/json");
        if let Some((kind, _)) = &body {
            request = request.header(http::header::CONTENT_TYPE, *kind);
        }
        let body = body.map_or_else(Bytes::new, |(_, text)| text.into());
        let mut request = request.body(body).map_err(|cause| Failure { code: USAGE, cause: cause.into() })?;
        if let Some(value) = &self.authorization {
            request.headers_mut().insert(http::header::AUTHORIZATION, value.clone());
        }
        let sent = match &self.way {
            Way::Plain(addresses) => {
                let connected =
                    tokio::time::timeout(limits.deadline, dial::connect_first(addresses, TcpStream::connect));
                client::send_over(self.connected(connected.await)?, request, limits).await
            }
            Way::Local(path) => {
                let stream = UnixStream::connect(path).await.map_err(|cause| self.unreachable(cause))?;
                client::send_over(stream, request, limits).await
            }
            Way::Tls { addresses, host, connector } => {
                let connected = tokio::time::timeout(limits.deadline, connect(addresses, host, connector));
                client::send_over(self.connected(connected.await)?, request, limits).await
            }
        };
        sent.map_err(|cause| {
            let hint = match &self.way {
                // Only here a client hears that its certificate was not taken (RFC 8446, section 4.4.2.4).
                Way::Tls { .. } => "does not answer, or did not take what --client-certificate shows",
                _ => "does not answer; name another with --server",
            };
            let told = format!("the control plane at {} {hint}", self.url);
            Failure { code: UNREACHABLE, cause: anyhow::Error::new(cause).context(told) }
        })
    }

    fn connected<T>(&self, outcome: Result<io::Result<T>, Elapsed>) -> Result<T, Failure> {
        outcome
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|cause| self.unreachable(cause))
    }

    /// Why there is no connection, and what to do.
    fn unreachable(&self, cause: io::Error) -> Failure {
        let hint = match cause.kind() {
            // What TLS has to say.
            io::ErrorKind::InvalidData => {
                "was not believed, or did not believe; see --certificate-authority and --client-certificate"
            }
            io::ErrorKind::PermissionDenied => {
                "is not open to this user; call as root, or start it with --api-group"
            }
            io::ErrorKind::NotFound => "is not there; start it on this host, or name another with --server",
            _ => "does not answer; name another with --server",
        };
        let told = format!("the control plane at {} {hint}", self.url);
        Failure { code: UNREACHABLE, cause: anyhow::Error::new(cause).context(told) }
    }

    /// GET of JSON; a refusal is a failure with the API's own words.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, Failure> {
        let response = self.call("GET", path, None).await?;
        if !response.status().is_success() {
            return Err(refusal(&response));
        }
        answer(&response)
    }
}

async fn connect(
    addresses: &[SocketAddr],
    host: &str,
    connector: &TlsConnector,
) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let stream = dial::connect_first(addresses, TcpStream::connect).await?;
    connector.connect(name, stream).await
}

/// The body as JSON.
pub(crate) fn answer(response: &Response<Bytes>) -> Result<Value, Failure> {
    serde_json::from_slice(response.body()).map_err(|cause| Failure {
        code: FAILED,
        cause: anyhow::Error::new(cause).context("the answer is not JSON; is this a control plane?"),
    })
}

/// A refused call as a failure: the message of the `Status` in it.
pub(crate) fn refusal(response: &Response<Bytes>) -> Failure {
    let status = response.status();
    let body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
    let message = body["message"].as_str().map_or_else(|| format!("answered {status}"), str::to_owned);
    let code = match status {
        StatusCode::UNPROCESSABLE_ENTITY | StatusCode::BAD_REQUEST | StatusCode::CONFLICT => DATA,
        _ => FAILED,
    };
    Failure::new(code, message)
}

/// Findings of a refused apply (`Status.details.findings`) or of a report (`findings`).
pub(crate) fn findings(body: &Value) -> Vec<model::Finding> {
    let list = body.pointer("/details/findings").or_else(|| body.get("findings")).and_then(Value::as_array);
    // One that cannot be read is of another version, as one whose code is not known here.
    let read = |value: &Value| serde_json::from_value::<FindingReport>(value.clone()).ok()?.finding();
    list.map(|list| list.iter().filter_map(read).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
