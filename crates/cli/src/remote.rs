//! The control plane's API, as this crate uses it.

use crate::exit::{DATA, FAILED, Failure, UNREACHABLE, USAGE};
use api::report::FindingReport;
use bytes::Bytes;
use codec::client::{self, Limits};
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// Used when neither the option nor the environment says otherwise.
const SERVER_DEFAULT: &str = "http://127.0.0.1:15080";
/// Environment variable of the server's address.
const SERVER_VARIABLE: &str = "LENO_SERVER";
/// How long a change of many objects may take.
const CHANGE_DEADLINE: Duration = Duration::from_secs(120);

/// Where the control plane is.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Server {
    /// Address of the control plane's API [env: LENO_SERVER] [default: http://127.0.0.1:15080]
    #[arg(long, value_name = "URL")]
    server: Option<String>,
}

/// The API at one address.
pub(crate) struct Remote {
    url: String,
    address: SocketAddr,
}

impl Server {
    /// Resolves the address; speaks to nobody yet.
    pub(crate) fn remote(&self) -> Result<Remote, Failure> {
        let from_environment = || std::env::var(SERVER_VARIABLE).ok().filter(|url| !url.is_empty());
        let url = self.server.clone().or_else(from_environment).unwrap_or_else(|| SERVER_DEFAULT.into());
        let authority = url.strip_prefix("http://").unwrap_or(&url).trim_end_matches('/');
        let usage = || Failure::new(USAGE, format!("{url}: write http://HOST:PORT"));
        if authority.contains("://") || authority.contains('/') {
            return Err(usage());
        }
        let mut addresses = authority.to_socket_addrs().map_err(|cause| match cause.kind() {
            std::io::ErrorKind::InvalidInput => usage(),
            _ => Failure {
                code: UNREACHABLE,
                cause: anyhow::Error::new(cause).context(format!("resolve {authority}")),
            },
        })?;
        let address = addresses.next().ok_or_else(usage)?;
        Ok(Remote { url, address })
    }
}

impl Remote {
    /// Where it is, for messages.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Makes several changes as one: `apply` are texts of objects, `delete` are references. Only not getting
    /// any answer is a failure.
    pub(crate) async fn change(&self, apply: &[&str], delete: &[Value]) -> Result<Response<Bytes>, Failure> {
        let body = json!({ "apply": apply, "delete": delete }).to_string();
        let limits = Limits { deadline: CHANGE_DEADLINE, ..Limits::default() };
        self.send("POST", "/leno/v1/batch", Some(("application/json", body)), limits).await
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
        let request = request.body(body).map_err(|cause| Failure { code: USAGE, cause: cause.into() })?;
        client::send(self.address, request, limits).await.map_err(|cause| {
            let hint =
                format!("the control plane at {} does not answer; name another with --server", self.url);
            Failure { code: UNREACHABLE, cause: anyhow::Error::new(cause).context(hint) }
        })
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
