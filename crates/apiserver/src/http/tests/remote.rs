//! The API over TCP: TLS, tokens and client certificates.

use super::*;
use codec::client::{Limits, send_over};
use fixtures::pki::TestAuthority;
use http::Request;
use identity::CertificateDer;
use identity::rustls::pki_types::{PrivateKeyDer, ServerName};
use rcgen::{DnType, ExtendedKeyUsagePurpose, KeyPair};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;

const SERVICE_PATH: &str = "/api/v1/namespaces/n/services/a";
const BODY: &str = r#"{"metadata": {"name": "a", "namespace": "n"}}"#;
const VIEW: &str = "view-0123456789abcdef";
const EDIT: &str = "edit-0123456789abcdef";
const ADMIN: &str = "admin-0123456789abcdef";

/// A certificate with its key, and the root first that it chains to.
struct Shown {
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
}

impl Shown {
    /// Of a client: common name and organizations.
    fn client(authority: &TestAuthority, name: &str, organizations: &[&str]) -> Self {
        let key = KeyPair::generate().unwrap();
        let chain = authority.leaf_for(&key, "urn:none", |params| {
            params.subject_alt_names.clear();
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            if !name.is_empty() {
                params.distinguished_name.push(DnType::CommonName, name);
            }
            for organization in organizations {
                params.distinguished_name.push(DnType::OrganizationName, *organization);
            }
        });
        Self { chain: chain.into_iter().map(CertificateDer::from).collect(), key }
    }

    fn server(authority: &TestAuthority) -> Self {
        let key = KeyPair::generate().unwrap();
        let chain = authority.leaf_for(&key, "urn:none", |params| {
            params.subject_alt_names = vec![rcgen::SanType::DnsName("api.test".try_into().unwrap())];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        });
        Self { chain: chain.into_iter().map(CertificateDer::from).collect(), key }
    }

    fn own(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (self.chain.clone(), PrivateKeyDer::try_from(self.key.serialize_der()).unwrap())
    }
}

fn pem(certificates: &[CertificateDer<'_>]) -> String {
    use base64::Engine;
    let block = |der: &CertificateDer<'_>| {
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    };
    certificates.iter().map(block).collect()
}

/// Files that options name, and who signed.
struct Bed {
    directory: tempfile::TempDir,
    servers: TestAuthority,
    clients: TestAuthority,
}

impl Bed {
    fn new() -> Self {
        let bed = Self {
            directory: tempfile::tempdir().unwrap(),
            servers: TestAuthority::root("servers"),
            clients: TestAuthority::root("clients"),
        };
        let server = Shown::server(&bed.servers);
        bed.write("server.pem", &pem(&server.chain));
        bed.write("server.key", &server.key.serialize_pem());
        bed.write("clients.pem", &pem(&[bed.clients.root_der().into()]));
        bed.write("tokens", &format!("{VIEW},vera,view\n{EDIT},ed,edit\n{ADMIN},ada,admin\n"));
        bed
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn options(&self, tokens: bool, certificates: bool) -> ApiOptions {
        ApiOptions {
            api_token_file: tokens.then(|| self.path("tokens")),
            api_client_ca_file: certificates.then(|| self.path("clients.pem")),
            api_tls_cert_file: Some(self.path("server.pem")),
            api_tls_key_file: Some(self.path("server.key")),
            ..ApiOptions::default()
        }
    }

    async fn start(&self, options: ApiOptions) -> Running {
        let listeners = ApiListeners::open(&["127.0.0.1:0".parse().unwrap()], &options).await.unwrap();
        let [BindAddress::Tcp(address)] = listeners.addresses()[..] else { panic!("no address") };
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(serve(listeners, Fake::default(), async move {
            let _ = stopped.await;
        }));
        Running { address, _stop: stop, root: self.servers.root_der().into() }
    }
}

struct Running {
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
    root: CertificateDer<'static>,
}

impl Running {
    /// The status and the body, or why there is no answer.
    async fn call(
        &self,
        shown: Option<&Shown>,
        authorization: Option<&str>,
        method: &str,
        path: &str,
    ) -> Result<(u16, String), String> {
        let config = identity::plane_client_config(vec![self.root.clone()], shown.map(Shown::own)).unwrap();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("api.test").unwrap();
        let stream =
            TlsConnector::from(config).connect(name, stream).await.map_err(|error| error.to_string())?;
        let mut request = Request::builder().method(method).uri(path);
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        let answer = send_over(stream, request.body(BODY.into()).unwrap(), Limits::default()).await;
        let answer = answer.map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            format!("{error}: {}", cause.unwrap_or_default())
        })?;
        let challenge = answer.headers().get("www-authenticate").is_some_and(|value| value == "Bearer");
        assert_eq!(challenge, answer.status() == 401);
        Ok((answer.status().as_u16(), String::from_utf8_lossy(answer.body()).into_owned()))
    }

    async fn status(&self, shown: Option<&Shown>, token: Option<&str>, method: &str, path: &str) -> u16 {
        let authorization = token.map(|token| format!("Bearer {token}"));
        self.call(shown, authorization.as_deref(), method, path).await.unwrap().0
    }
}

#[tokio::test]
async fn a_token_gives_its_role() {
    let bed = Bed::new();
    let api = bed.start(bed.options(true, false)).await;
    let token_path = format!("{SERVICE_PATH}/token");
    for (token, expected) in [(VIEW, [200, 403, 403]), (EDIT, [200, 201, 403]), (ADMIN, [200, 201, 201])] {
        let calls = [("GET", "/leno/v1/status"), ("PUT", SERVICE_PATH), ("POST", token_path.as_str())];
        for ((method, path), expected) in calls.into_iter().zip(expected) {
            assert_eq!(
                api.status(None, Some(token), method, path).await,
                expected,
                "{token} {method} {path}"
            );
        }
    }
    for (authorization, told) in [
        (None, "who calls is not known; send a token"),
        (Some("Basic YWRhOmFkYQ=="), "the Authorization header is malformed"),
        (Some("Bearer"), "the Authorization header is malformed"),
        (Some("Bearer foreign-0123456789abcdef"), "this token is not known here"),
    ] {
        for path in ["/healthz", "/leno/v1/status", "/nothing"] {
            let (status, body) = api.call(None, authorization, "GET", path).await.unwrap();
            assert!(status == 401 && body.contains(told) && body.contains("Unauthorized"), "{status} {body}");
        }
    }
    // One that is taken out of the file is good for nothing from then on.
    bed.write("tokens", &format!("{EDIT},ed,edit\n"));
    assert_eq!(api.status(None, Some(ADMIN), "GET", "/healthz").await, 401);
    assert_eq!(api.status(None, Some(EDIT), "GET", "/healthz").await, 200);
    // What cannot be read leaves what was; a file that is empty or gone takes all of them back.
    bed.write("tokens", "nonsense\n");
    assert_eq!(api.status(None, Some(EDIT), "GET", "/healthz").await, 200);
    bed.write("tokens", "# none\n");
    assert_eq!(api.status(None, Some(EDIT), "GET", "/healthz").await, 401);
    bed.write("tokens", &format!("{EDIT},ed,edit\n"));
    assert_eq!(api.status(None, Some(EDIT), "GET", "/healthz").await, 200);
    std::fs::remove_file(bed.path("tokens")).unwrap();
    assert_eq!(api.status(None, Some(EDIT), "GET", "/healthz").await, 401);
}

#[tokio::test]
async fn a_client_certificate_names_its_user_and_role() {
    let bed = Bed::new();
    let api = bed.start(bed.options(false, true)).await;
    let token_path = format!("{SERVICE_PATH}/token");
    for (organizations, expected) in [
        (&["view"][..], [200, 403, 403]),
        (&["edit"], [200, 201, 403]),
        (&["admin"], [200, 201, 201]),
        (&["view", "staff", "edit"], [200, 201, 403]),
        (&["staff"], [403, 403, 403]),
        (&[], [403, 403, 403]),
    ] {
        let carol = Shown::client(&bed.clients, "carol", organizations);
        let calls = [("GET", "/leno/v1/status"), ("PUT", SERVICE_PATH), ("POST", token_path.as_str())];
        for ((method, path), expected) in calls.into_iter().zip(expected) {
            assert_eq!(
                api.status(Some(&carol), None, method, path).await,
                expected,
                "{organizations:?} {method}"
            );
        }
    }
    let carol = Shown::client(&bed.clients, "carol", &["staff"]);
    let (_, body) = api.call(Some(&carol), None, "GET", "/healthz").await.unwrap();
    assert!(
        body.contains("carol has no role here; the O of the client certificate must be view, edit"),
        "{body}"
    );
    let nameless = Shown::client(&bed.clients, "", &["admin"]);
    let (status, body) = api.call(Some(&nameless), None, "GET", "/healthz").await.unwrap();
    assert!(status == 403 && body.contains("its CN must be the user"), "{status} {body}");
    // Of another authority, or none at all: the handshake ends it.
    let foreign = Shown::client(&TestAuthority::root("clients"), "carol", &["admin"]);
    let told = api.call(Some(&foreign), None, "GET", "/healthz").await.unwrap_err();
    assert!(told.contains("alert"), "{told}");
    let told = api.call(None, None, "GET", "/healthz").await.unwrap_err();
    assert!(told.contains("alert"), "{told}");
}

#[tokio::test]
async fn whoever_has_a_token_needs_no_certificate() {
    let bed = Bed::new();
    let api = bed.start(bed.options(true, true)).await;
    let carol = Shown::client(&bed.clients, "carol", &["admin"]);
    assert_eq!(api.status(None, Some(VIEW), "GET", "/healthz").await, 200);
    assert_eq!(api.status(None, None, "GET", "/healthz").await, 401);
    assert_eq!(api.status(Some(&carol), None, "PUT", SERVICE_PATH).await, 201);
    assert_eq!(
        api.status(Some(&carol), Some(VIEW), "PUT", SERVICE_PATH).await,
        403,
        "a token is sent on purpose"
    );
}

#[tokio::test]
async fn clients_believe_their_authorities_alone() {
    let bed = Bed::new();
    let mut api = bed.start(bed.options(true, false)).await;
    api.root = bed.clients.root_der().into();
    let told = api.call(None, None, "GET", "/healthz").await.unwrap_err();
    assert!(told.contains("certificate"), "{told}");
    // What is written anew is shown from then on.
    let renewed = Shown::server(&bed.clients);
    bed.write("server.key", &renewed.key.serialize_pem());
    assert!(api.call(None, None, "GET", "/healthz").await.is_err(), "half of it is not taken");
    bed.write("server.pem", &pem(&renewed.chain));
    assert_eq!(api.status(None, Some(VIEW), "GET", "/healthz").await, 200);
}

#[tokio::test]
async fn files_that_cannot_be_used_are_told() {
    let bed = Bed::new();
    let refused = async |options: ApiOptions, at: &str| {
        let error = ApiListeners::open(&[at.parse().unwrap()], &options).await.map(drop).unwrap_err();
        format!("{error}: {:?}", std::error::Error::source(&error).map(ToString::to_string))
    };
    let tcp = "127.0.0.1:0";
    bed.write("nothing", "nothing\n");
    let with = |edit: &dyn Fn(&mut ApiOptions)| {
        let mut options = bed.options(true, true);
        edit(&mut options);
        options
    };
    let nothing = Some(bed.path("nothing"));
    let told = refused(with(&|options| options.api_tls_cert_file = nothing.clone()), tcp).await;
    assert!(told.contains("nothing: no certificates in PEM"), "{told}");
    let told = refused(with(&|options| options.api_tls_key_file = nothing.clone()), tcp).await;
    assert!(told.contains("nothing: no private key in PEM"), "{told}");
    let told = refused(with(&|options| options.api_client_ca_file = nothing.clone()), tcp).await;
    assert!(told.contains("nothing: no certificates in PEM"), "{told}");
    let told = refused(with(&|options| options.api_client_ca_file = Some("/no/such".into())), tcp).await;
    assert!(told.contains("read /no/such"), "{told}");
    bed.write("other.key", &KeyPair::generate().unwrap().serialize_pem());
    let told = refused(with(&|options| options.api_tls_key_file = Some(bed.path("other.key"))), tcp).await;
    assert!(told.contains("server.pem: with the key in"), "{told}");
    std::fs::set_permissions(bed.path("server.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let told = refused(with(&|_| {}), tcp).await;
    assert!(told.contains("server.key has a secret in it and the mode 644"), "{told}");
    std::fs::set_permissions(bed.path("server.key"), std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::set_permissions(bed.path("clients.pem"), std::fs::Permissions::from_mode(0o664)).unwrap();
    let told = refused(with(&|_| {}), tcp).await;
    assert!(told.contains("clients.pem has the mode 664: others can change it"), "{told}");
    let local = format!("unix:{}", bed.path("api.sock").display());
    let told = refused(with(&|_| {}), &local).await;
    assert!(told.contains("--api-client-ca-file: no --api is an address where TLS is spoken"), "{told}");
}
