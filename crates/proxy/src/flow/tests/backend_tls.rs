//! TLS to backends outside the mesh: a gateway in front of servers with real certificates.

use super::bed::{Proxy, SERVICE, endpoints, fresh_ip, plain, service, story};
use super::edge::{edge_resources, rule};
use crate::accept::listen;
use crate::testing::host;
use codec::{Body, Reply, ServerOptions};
use fixtures::pki::{TestAuthority, pem, uri};
use http::Response;
use identity::Identity;
use model::backend_tls::{Authorities, BackendTls, CertificateFiles, SubjectAltName, TlsOrigination};
use model::service::Protocol;
use model::traffic::{AttachLevel, AttachedPolicy, TrafficPolicy};
use model::{ObjectRef, Origin, Resource, ResourceKey};
use rcgen::{KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

const NAME: &str = "api.example.com";
/// `Reason::BackendTlsUnusable`.
const UNUSABLE: &str = "503 backend_tls_unusable";

/// A certificate with these names, and its key.
fn certificate(authority: &TestAuthority, names: Vec<SanType>) -> (Vec<CertificateDer<'static>>, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let chain = authority.leaf_for(&key, "spiffe://x/ns/a/sa/b", |params| params.subject_alt_names = names);
    (chain.into_iter().map(CertificateDer::from).collect(), key)
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

/// A server that says by which name it was asked for, and what was negotiated.
fn server(authority: &TestAuthority, names: Vec<SanType>, clients: Option<&TestAuthority>) -> SocketAddr {
    let listener = listen(SocketAddr::new(fresh_ip(), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (chain, key) = certificate(authority, names);
    let builder =
        ServerConfig::builder_with_provider(identity::provider()).with_safe_default_protocol_versions();
    let builder = match clients {
        None => builder.unwrap().with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(clients.root_der().into()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), identity::provider());
            builder.unwrap().with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    tokio::task::spawn_local(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::task::spawn_local(async move {
                let Ok(tls) = acceptor.accept(stream).await else { return };
                let session = tls.get_ref().1;
                let alpn = String::from_utf8_lossy(session.alpn_protocol().unwrap_or_default()).into_owned();
                let said = format!("{} {alpn}", session.server_name().unwrap_or("-"));
                let service = |_| {
                    let said = said.clone();
                    async move { Reply::Response(Response::new(Body::full(said))) }
                };
                let (options, never) = (ServerOptions::default(), std::future::pending());
                let _ = match &*alpn {
                    "h2" => codec::http2::serve(tls, &options, never, service).await,
                    _ => codec::http1::serve(tls, &options, never, service).await,
                };
            });
        }
    });
    address
}

fn attach(proxy: &Proxy, tls: BackendTls) {
    let origin = Origin { object: ObjectRef::new("TrafficPolicy", "default", "p"), file: "".into(), line: 0 };
    let key = ResourceKey::TrafficPolicy {
        host: host(SERVICE),
        kind: "TrafficPolicy".into(),
        namespace: "default".into(),
        name: "p".into(),
    };
    let policy = TrafficPolicy { tls: Some(tls), ..TrafficPolicy::default() }.into();
    let attached = AttachedPolicy { level: AttachLevel::Backend, origin, created_s: 0, policy };
    proxy.apply(vec![(key, Resource::TrafficPolicy(attached))]);
}

fn origination(authority: &TestAuthority) -> TlsOrigination {
    TlsOrigination {
        server_name: Some(NAME.into()),
        subject_alt_names: Vec::new(),
        authorities: Authorities::Pem(pem("CERTIFICATE", &authority.root_der()).into()),
        client_certificate: None,
    }
}

fn gateway(server: SocketAddr, protocol: Protocol) -> Proxy {
    let mut resources = edge_resources(vec![rule(0, "")], &[]);
    resources.extend([service(protocol), endpoints(vec![plain(server)])]);
    Proxy::new("west", Identity::new(Vec::new()), resources)
}

/// What a caller gets through a gateway that originates this TLS: the answer, or the status of a failure.
async fn ask(server: SocketAddr, protocol: Protocol, tls: BackendTls) -> String {
    let proxy = gateway(server, protocol);
    attach(&proxy, tls);
    let answer = proxy.enter().await.get("/").await;
    match answer.status().as_u16() {
        200 => answer.into_body(),
        status => format!("{status} {}", proxy.logged()[0]["response_code_details"].as_str().unwrap()),
    }
}

fn originate(edit: impl FnOnce(&mut TlsOrigination), authority: &TestAuthority) -> BackendTls {
    let mut tls = origination(authority);
    edit(&mut tls);
    BackendTls::Originate(Box::new(tls))
}

#[test]
fn a_backend_is_asked_for_by_name_and_must_prove_it() {
    story(async {
        let (authority, other) = (TestAuthority::root("one"), TestAuthority::root("other"));
        let at = server(&authority, vec![dns(NAME)], None);
        let good = originate(|_| {}, &authority);
        assert_eq!(ask(at, Protocol::Http1, good.clone()).await, "api.example.com http/1.1");
        assert_eq!(ask(at, Protocol::Http2, good).await, "api.example.com h2");
        let stranger = originate(|_| {}, &other);
        assert_eq!(ask(at, Protocol::Http1, stranger.clone()).await, "503 upstream_tls_failure");
        assert_eq!(ask(at, Protocol::Http2, stranger).await, "503 upstream_tls_failure");
        let misnamed = originate(|tls| tls.server_name = Some("b.example.com".into()), &authority);
        assert_eq!(ask(at, Protocol::Http1, misnamed).await, "503 upstream_tls_failure");
        let unchecked = originate(|tls| tls.authorities = Authorities::Unchecked, &other);
        assert_eq!(ask(at, Protocol::Http1, unchecked).await, "api.example.com http/1.1");
    });
}

#[test]
fn one_of_the_names_that_are_expected_must_stand_in_the_certificate() {
    story(async {
        let authority = TestAuthority::root("one");
        let names = vec![dns("*.example.org"), uri("spiffe://x/ns/a/sa/b")];
        let at = server(&authority, names, None);
        let expecting = |names: &[&str]| {
            let names = names.iter().map(|name| SubjectAltName::of(name)).collect();
            originate(|tls| tls.subject_alt_names = names, &authority)
        };
        for good in [&["spiffe://x/ns/a/sa/b"][..], &["z", "a.example.org"]] {
            assert_eq!(
                ask(at, Protocol::Http1, expecting(good)).await,
                "api.example.com http/1.1",
                "{good:?}"
            );
        }
        for bad in [&["spiffe://x/ns/a/sa/bb"][..], &["example.org"], &["spiffe://x/ns/a/sa/B"]] {
            assert_eq!(ask(at, Protocol::Http1, expecting(bad)).await, "503 upstream_tls_failure", "{bad:?}");
        }
    });
}

#[test]
fn a_certificate_of_files_is_shown_where_the_server_asks_for_one() {
    story(async {
        let (authority, clients) = (TestAuthority::root("one"), TestAuthority::root("clients"));
        let at = server(&authority, vec![dns(NAME)], Some(&clients));
        assert_eq!(ask(at, Protocol::Http1, originate(|_| {}, &authority)).await, "503 upstream_tls_failure");
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (chain, key) = certificate(&clients, vec![dns("me")]);
        std::fs::write(path("cert"), pem("CERTIFICATE", &chain[0])).unwrap();
        std::fs::write(path("key"), key.serialize_pem()).unwrap();
        let files = CertificateFiles { certificate: path("cert").into(), private_key: path("key").into() };
        let shown = originate(|tls| tls.client_certificate = Some(files), &authority);
        let permit = |mode| {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(folder.path().join("key"), permissions).unwrap();
        };
        permit(0o604);
        let said = ask(at, Protocol::Http1, shown.clone()).await;
        assert_eq!(said, UNUSABLE, "all may read the key");
        permit(0o600);
        assert_eq!(ask(at, Protocol::Http1, shown.clone()).await, "api.example.com http/1.1");
        assert_eq!(ask(at, Protocol::Http2, shown).await, "api.example.com h2");
    });
}

#[test]
fn a_certificate_that_is_replaced_is_shown_without_a_change_of_configuration() {
    story(async {
        let (authority, clients) = (TestAuthority::root("one"), TestAuthority::root("clients"));
        let at = server(&authority, vec![dns(NAME)], Some(&clients));
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let write = |by: &TestAuthority| {
            let (chain, key) = certificate(by, vec![dns("me")]);
            std::fs::write(path("cert"), pem("CERTIFICATE", &chain[0])).unwrap();
            std::fs::write(path("key"), key.serialize_pem()).unwrap();
            std::fs::set_permissions(path("key"), std::fs::Permissions::from_mode(0o600)).unwrap();
        };
        write(&authority);
        let files = CertificateFiles { certificate: path("cert").into(), private_key: path("key").into() };
        let proxy = gateway(at, Protocol::Http1);
        attach(&proxy, originate(|tls| tls.client_certificate = Some(files), &authority));
        let mut caller = proxy.enter().await;
        assert_eq!(caller.get("/").await.status(), 503, "the server believes others");
        tokio::task::spawn_local(Arc::clone(proxy.worker.shared.store.files()).watch());
        write(&clients);
        while caller.get("/").await.status() != 200 {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn nothing_is_sent_where_the_tls_that_is_asked_for_cannot_be_used() {
    story(async {
        let authority = TestAuthority::root("one");
        let at = server(&authority, vec![dns(NAME)], None);
        let files = CertificateFiles { certificate: "/none".into(), private_key: "/none".into() };
        let unusable = [
            BackendTls::Unusable("no bundle".into()),
            originate(|tls| tls.authorities = Authorities::Pem("nothing".into()), &authority),
            originate(|tls| tls.authorities = Authorities::File("/none".into()), &authority),
            originate(|tls| tls.client_certificate = Some(files), &authority),
        ];
        for tls in unusable {
            for protocol in [Protocol::Http1, Protocol::Http2] {
                let said = ask(at, protocol, tls.clone()).await;
                assert_eq!(said, UNUSABLE, "{tls:?}");
            }
        }
    });
}

#[test]
fn a_policy_that_changes_counts_for_kept_connections_too() {
    story(async {
        let (authority, other) = (TestAuthority::root("one"), TestAuthority::root("other"));
        let proxy = gateway(server(&authority, vec![dns(NAME)], None), Protocol::Http1);
        let mut caller = proxy.enter().await;
        attach(&proxy, originate(|_| {}, &authority));
        for _ in 0..2 {
            assert_eq!(caller.get("/").await.body(), "api.example.com http/1.1");
        }
        attach(&proxy, originate(|_| {}, &other));
        assert_eq!(caller.get("/").await.status(), 503);
        attach(&proxy, originate(|tls| tls.server_name = Some("api.example.com".into()), &authority));
        assert_eq!(caller.get("/").await.body(), "api.example.com http/1.1");
    });
}
