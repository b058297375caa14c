//! The gateway's listeners in TLS, with callers that check what they are shown.

use super::bed::{Application, Proxy, SOON, endpoints, fresh_ip, plain, service, story, wait_until};
use super::edge::rule;
use crate::edge_tls::tests::{EdgeAuthority, PemPair};
use crate::options::Options;
use crate::testing::host;
use daemon::clock::Clock;
use filter::Chains;
use http::{Request, StatusCode};
use identity::Identity;
use model::authz::{Action, Glob, Policy, Rule, Source};
use model::client_traffic::{ClientCertDetail, ClientTraffic, ForwardClientCert, ForwardClientCertMode};
use model::l4_route::{L4Match, L4Rule};
use model::listener::{Gateway, GatewayListener, ListenerProtocol};
use model::listener_tls::{
    CaBundle, CertificateRef, ClientMode, ClientValidation, ListenerTls, TlsMode, TlsVersion, TlsVersions,
};
use model::route::{HostMatch, Parent, RouteBackend};
use model::service::Protocol;
use model::trust::TrustBundle;
use model::{ObjectRef, Origin, Resource, ResourceKey};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, NamedGroup, RootCertStore, SupportedProtocolVersion};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(super) type Stream = TlsStream<DuplexStream>;

fn secret(name: &str) -> CertificateRef {
    CertificateRef::Secret { namespace: "default".into(), name: name.into() }
}

pub(super) fn listener(name: &str, host: Option<HostMatch>, tls: ListenerTls) -> GatewayListener {
    GatewayListener {
        name: name.into(),
        port: 80,
        protocol: ListenerProtocol::Https,
        host,
        address: None,
        tls: Some(Arc::new(tls)),
        client: None,
    }
}

pub(super) fn terminate(certificates: &[&str]) -> ListenerTls {
    let certificates = certificates.iter().map(|name| secret(name)).collect();
    ListenerTls { certificates, ..ListenerTls::default() }
}

/// A gateway with these listeners, Secrets and one rule to an application called `shop`.
fn edge(listeners: Vec<GatewayListener>, secrets: &[(&str, &PemPair)]) -> Proxy {
    edge_by(Arc::new(daemon::clock::System), listeners, secrets)
}

/// The listeners of the gateway.
pub(super) fn gateway(listeners: Vec<GatewayListener>) -> (ResourceKey, Resource) {
    let gateway = Gateway { namespace: "default".into(), name: "edge".into(), listeners };
    (ResourceKey::Gateway("default".into(), "edge".into()), Resource::Gateway(gateway))
}

/// The same by this clock.
pub(super) fn edge_by(
    clock: Arc<dyn Clock>,
    listeners: Vec<GatewayListener>,
    secrets: &[(&str, &PemPair)],
) -> Proxy {
    let application = Application::named(fresh_ip(), "shop");
    let rule = rule(0, "");
    let mut resources = vec![
        gateway(listeners),
        service(Protocol::Http1),
        endpoints(vec![plain(application.address)]),
        (ResourceKey::of_rule(&rule), Resource::Rule(rule.into())),
    ];
    resources.extend(secrets.iter().map(|(name, pair)| key_pair(name, pair)));
    let (options, nobody) = (Options::default(), Identity::new(Vec::new()));
    Proxy::by_clock(clock, options, Chains::default(), fresh_ip(), "west", nobody, resources)
}

pub(super) fn key_pair(name: &str, pair: &PemPair) -> (ResourceKey, Resource) {
    (ResourceKey::KeyPair("default".into(), name.into()), Resource::KeyPair(pair.secret(name)))
}

/// Who trusts this authority, and may show a certificate.
pub(super) struct Caller<'a> {
    pub(super) authority: &'a EdgeAuthority,
    pub(super) shows: Option<&'a PemPair>,
    pub(super) alpn: &'a [&'a [u8]],
    pub(super) versions: &'static [&'static SupportedProtocolVersion],
    /// The one way to exchange keys that it knows; `None`: all.
    pub(super) group: Option<NamedGroup>,
}

impl<'a> Caller<'a> {
    pub(super) fn new(authority: &'a EdgeAuthority) -> Self {
        Self { authority, shows: None, alpn: &[], versions: rustls::ALL_VERSIONS, group: None }
    }

    pub(super) async fn connect(&self, proxy: &Proxy, server_name: &str) -> io::Result<Stream> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.authority.root())).unwrap();
        let mut provider = (*identity::provider()).clone();
        provider.kx_groups.retain(|known| self.group.is_none_or(|group| known.name() == group));
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match self.shows {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let chain = vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = self.alpn.iter().map(|name| name.to_vec()).collect();
        config.resumption = rustls::client::Resumption::disabled();
        let name = ServerName::try_from(server_name.to_owned()).unwrap();
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, proxy.enter_raw());
        timeout(SOON, connecting).await.unwrap()
    }

    /// The status of one request in HTTP/1.1; 0: the connection broke.
    async fn status(&self, proxy: &Proxy, server_name: &str, host: &str) -> u16 {
        match self.connect(proxy, server_name).await {
            Ok(mut stream) => ask(&mut stream, host).await.unwrap_or(0),
            Err(_) => 0,
        }
    }
}

pub(super) async fn ask(stream: &mut Stream, host: &str) -> Option<u16> {
    stream.write_all(format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()).await.ok()?;
    let mut heard = vec![0; 4096];
    let count = timeout(SOON, stream.read(&mut heard)).await.unwrap().ok()?;
    std::str::from_utf8(&heard[..count]).ok()?.get(9..12)?.parse().ok()
}

/// Waits until the metrics say so: a caller is through before the gateway is.
async fn counts(proxy: &Proxy, line: &str) {
    wait_until(line, || proxy.worker.shared.observe.render(0, 0).contains(line)).await;
}

fn shown(stream: &Stream) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn der(pair: &PemPair) -> Vec<u8> {
    CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap().to_vec()
}

#[test]
fn the_server_name_chooses_listener_and_certificate() {
    story(async {
        let authority = EdgeAuthority::new("web");
        let (exact, wild, second) = (
            authority.server(&["a.example"]),
            authority.server(&["*.wild.example"]),
            authority.server(&["b.wild.example"]),
        );
        let listeners = vec![
            listener("a", Some(HostMatch::Exact(host("a.example"))), terminate(&["exact"])),
            listener("w", Some(HostMatch::Suffix(host("wild.example"))), terminate(&["wild", "second"])),
        ];
        let proxy = edge(listeners, &[("exact", &exact), ("wild", &wild), ("second", &second)]);
        let caller = Caller::new(&authority);
        for (name, pair) in [("a.example", &exact), ("A.EXAMPLE", &exact), ("x.wild.example", &wild)] {
            let mut stream = caller.connect(&proxy, name).await.unwrap();
            assert_eq!(shown(&stream), der(pair), "{name}");
            assert_eq!(ask(&mut stream, name).await, Some(200), "{name}");
        }
        // Both cover it: the first that is named.
        let mut both = caller.connect(&proxy, "b.wild.example").await.unwrap();
        assert_eq!((shown(&both), ask(&mut both, "b.wild.example").await), (der(&wild), Some(200)));
        let refused = caller.connect(&proxy, "none.example").await.unwrap_err();
        assert!(refused.to_string().contains("UnrecognisedName"), "{refused}");
        // Nor without a server name: no listener is for all.
        assert!(caller.connect(&proxy, "192.0.2.1").await.is_err());
        let lines = proxy.logged();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0]["requested_server_name"], "a.example");
        assert_eq!(lines[0]["downstream_tls_version"], "TLSv1.3");
        assert_eq!(lines[0]["downstream_tls_cipher"], "TLS_AES_128_GCM_SHA256");
        counts(&proxy, r#"leno_tls_handshakes_total{version="TLSv1.3",cipher="TLS_AES_128_GCM_SHA256"} 4"#)
            .await;
        counts(&proxy, r#"reason="server_name_unknown"} 2"#).await;
    });
}

#[test]
fn plaintext_to_a_listener_in_tls_is_told_so() {
    story(async {
        let authority = EdgeAuthority::new("web");
        let pair = authority.server(&["a.example"]);
        let proxy = edge(vec![listener("a", None, terminate(&["s"]))], &[("s", &pair)]);
        let mut plain = proxy.enter_raw();
        plain.write_all(b"GET / HTTP/1.1\r\nhost: a.example\r\n\r\n").await.unwrap();
        let mut heard = Vec::new();
        timeout(SOON, plain.read_to_end(&mut heard)).await.unwrap().unwrap();
        // An alert, and nothing else.
        assert_eq!((heard.first(), heard.len()), (Some(&21), 7), "{heard:?}");
        counts(&proxy, r#"reason="peer_handshake_failed"} 1"#).await;
    });
}

#[test]
fn without_a_certificate_nobody_is_served_and_a_new_one_heals_it() {
    story(async {
        let authority = EdgeAuthority::new("web");
        let (old, new) = (authority.server(&["a.example"]), authority.server(&["a.example"]));
        let proxy = edge(vec![listener("a", None, terminate(&["s"]))], &[]);
        let caller = Caller::new(&authority);
        assert!(caller.connect(&proxy, "a.example").await.is_err());
        counts(&proxy, r#"reason="server_certificate_missing"} 1"#).await;
        proxy.apply(vec![key_pair("s", &old)]);
        let mut kept = caller.connect(&proxy, "a.example").await.unwrap();
        assert_eq!(ask(&mut kept, "a.example").await, Some(200));
        // A new one closes nothing: who is connected goes on, who comes sees it.
        proxy.apply(vec![key_pair("s", &new)]);
        assert_eq!(shown(&caller.connect(&proxy, "a.example").await.unwrap()), der(&new));
        assert_eq!(ask(&mut kept, "a.example").await, Some(200));
        // A broken one is not taken.
        let broken = PemPair { key: old.key.clone(), ..new.clone() };
        proxy.apply(vec![key_pair("s", &broken)]);
        assert_eq!(shown(&caller.connect(&proxy, "a.example").await.unwrap()), der(&new));
        let held = proxy.worker.shared.store.resources();
        let is_key = |(key, resource): &(ResourceKey, Resource)| {
            matches!(key, ResourceKey::KeyPair(..)) || matches!(resource, Resource::KeyPair(_))
        };
        assert!(!held.iter().any(is_key), "a key in the last good state");
    });
}

#[test]
fn versions_and_cipher_suites_are_those_of_the_listener() {
    const ONLY_12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
    const ONLY_13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
    story(async {
        let authority = EdgeAuthority::new("web");
        let pair = authority.server(&["new.example", "old.example", "one.example"]);
        let exact = |name: &str| Some(HostMatch::Exact(host(name)));
        let versions = |min, max| TlsVersions { min, max };
        let new = ListenerTls { versions: versions(TlsVersion::V1_3, TlsVersion::V1_3), ..terminate(&["s"]) };
        let old = ListenerTls { versions: versions(TlsVersion::V1_2, TlsVersion::V1_2), ..terminate(&["s"]) };
        let suites = vec!["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384".into()];
        let one = ListenerTls { cipher_suites: suites, ..terminate(&["s"]) };
        let listeners = vec![
            listener("new", exact("new.example"), new),
            listener("old", exact("old.example"), old),
            listener("one", exact("one.example"), one),
        ];
        let proxy = edge(listeners, &[("s", &pair)]);
        for (name, speaks, expected) in [
            ("new.example", ONLY_13, 200),
            ("new.example", ONLY_12, 0),
            ("old.example", ONLY_12, 200),
            ("old.example", ONLY_13, 0),
            ("one.example", ONLY_12, 200),
            ("one.example", ONLY_13, 0),
        ] {
            let caller = Caller { versions: speaks, ..Caller::new(&authority) };
            assert_eq!(caller.status(&proxy, name, name).await, expected, "{name} {speaks:?}");
        }
        let lines = proxy.logged();
        let cipher = |at: usize| lines[at]["downstream_tls_cipher"].as_str().unwrap();
        assert_eq!(lines[1]["downstream_tls_version"], "TLSv1.2");
        assert_eq!(cipher(2), "ECDHE-ECDSA-AES256-GCM-SHA384");
    });
}

#[test]
fn keys_are_exchanged_against_quantum_computers_where_the_caller_can() {
    story(async {
        let authority = EdgeAuthority::new("web");
        let pair = authority.server(&["a.example"]);
        let proxy = edge(vec![listener("a", None, terminate(&["s"]))], &[("s", &pair)]);
        for (group, agreed) in [
            (None, NamedGroup::X25519MLKEM768),
            (Some(NamedGroup::X25519), NamedGroup::X25519),
            (Some(NamedGroup::secp256r1), NamedGroup::secp256r1),
        ] {
            let caller = Caller { group, ..Caller::new(&authority) };
            let mut stream = caller.connect(&proxy, "a.example").await.unwrap();
            assert_eq!(stream.get_ref().1.negotiated_key_exchange_group().unwrap().name(), agreed);
            assert_eq!(ask(&mut stream, "a.example").await, Some(200));
        }
    });
}

#[test]
fn client_certificates_are_let_in_as_the_listener_says() {
    story(async {
        let (web, staff, strangers) =
            (EdgeAuthority::new("web"), EdgeAuthority::new("staff"), EdgeAuthority::new("strangers"));
        let pair = web.server(&["must.example", "may.example", "any.example", "named.example"]);
        let known = staff.client(&["spiffe://other.example/ns/a/sa/known"]);
        let other = staff.client(&["spiffe://other.example/ns/a/sa/other"]);
        let stranger = strangers.client(&["spiffe://other.example/ns/a/sa/known"]);
        let asks = |mode, names: &[&str]| ListenerTls {
            client: Some(ClientValidation {
                mode,
                authorities: vec![CaBundle::Inline(staff.pem().as_str().into())],
                subject_alt_names: names.iter().map(|name| (*name).into()).collect(),
                ..ClientValidation::default()
            }),
            ..terminate(&["s"])
        };
        let exact = |name: &str| Some(HostMatch::Exact(host(name)));
        let listeners = vec![
            listener("must", exact("must.example"), asks(ClientMode::Required, &[])),
            listener("may", exact("may.example"), asks(ClientMode::Optional, &[])),
            listener("any", exact("any.example"), asks(ClientMode::InsecureFallback, &[])),
            listener(
                "named",
                exact("named.example"),
                asks(ClientMode::Required, &["spiffe://other.example/ns/a/sa/known"]),
            ),
        ];
        let proxy = edge(listeners, &[("s", &pair)]);
        for (name, by_none, by_known, by_other, by_stranger) in [
            ("must.example", 0, 200, 200, 0),
            ("may.example", 200, 200, 200, 0),
            ("any.example", 200, 200, 200, 200),
            ("named.example", 0, 200, 0, 0),
        ] {
            for (shows, expected) in [
                (None, by_none),
                (Some(&known), by_known),
                (Some(&other), by_other),
                (Some(&stranger), by_stranger),
            ] {
                let caller = Caller { shows, ..Caller::new(&web) };
                assert_eq!(caller.status(&proxy, name, name).await, expected, "{name}");
            }
        }
        counts(&proxy, r#"reason="peer_without_certificate"} 2"#).await;
        counts(&proxy, r#"reason="peer_certificate_untrusted"} 4"#).await;
        // Only a certificate that is vouched for says who somebody is.
        let lines = proxy.logged();
        let of_any = lines.iter().filter(|line| line["authority"] == "any.example");
        let subjects: Vec<_> = of_any.map(|line| line["downstream_peer_subject"].as_str()).collect();
        assert_eq!(subjects, [None, Some("CN=some\\, body"), Some("CN=some\\, body"), None]);
    });
}

#[test]
fn policies_know_whom_a_valid_client_certificate_names() {
    story(async {
        let (web, staff, strangers) =
            (EdgeAuthority::new("web"), EdgeAuthority::new("staff"), EdgeAuthority::new("strangers"));
        let pair = web.server(&["a.example"]);
        let client = Some(ClientValidation {
            mode: ClientMode::InsecureFallback,
            authorities: vec![CaBundle::Inline(staff.pem().as_str().into())],
            ..ClientValidation::default()
        });
        let proxy =
            edge(vec![listener("a", None, ListenerTls { client, ..terminate(&["s"]) })], &[("s", &pair)]);
        let principal = "other.example/ns/a/sa/known";
        let from = Source { principals: vec![Glob::Exact(principal.into())], ..Source::default() };
        let object = ObjectRef::new("AuthorizationPolicy", "default", "p");
        let policy = Policy {
            origin: Origin { object, file: "".into(), line: 0 },
            action: Action::Allow,
            rules: vec![Rule { from: vec![from], ..Rule::default() }],
            dry_run: false,
        };
        let gateway = ("default".into(), "edge".into());
        let key = ResourceKey::GatewayPolicy { gateway, namespace: "default".into(), name: "p".into() };
        proxy.apply(vec![(key, Resource::Policy(policy))]);
        let known = staff.client(&[&format!("spiffe://{principal}")]);
        let other = staff.client(&["spiffe://other.example/ns/a/sa/other"]);
        let forged = strangers.client(&[&format!("spiffe://{principal}")]);
        for (shows, expected) in [(None, 403), (Some(&known), 200), (Some(&other), 403), (Some(&forged), 403)]
        {
            let caller = Caller { shows, ..Caller::new(&web) };
            assert_eq!(caller.status(&proxy, "a.example", "a.example").await, expected);
        }
        // The mesh's own identities are proved to the mesh's own roots alone.
        let trust_domain = model::TrustDomain::parse("other.example").unwrap();
        let ours = TrustBundle { trust_domain: trust_domain.clone(), roots: Vec::new() };
        proxy.apply(vec![(ResourceKey::Trust(trust_domain.as_str().into()), Resource::Trust(ours))]);
        let caller = Caller { shows: Some(&known), ..Caller::new(&web) };
        assert_eq!(caller.status(&proxy, "a.example", "a.example").await, 403);
    });
}

/// Each mode, for callers with a valid certificate, one that nobody vouches for, and none.
#[test]
fn applications_are_told_of_a_client_certificate_that_somebody_vouches_for() {
    story(async {
        use ForwardClientCertMode::{AppendForward, ForwardOnly, Sanitize, SanitizeSet};
        let (web, staff, strangers) =
            (EdgeAuthority::new("web"), EdgeAuthority::new("staff"), EdgeAuthority::new("strangers"));
        let pair = web.server(&["a.example"]);
        let known = staff.client(&["spiffe://other.example/ns/a/sa/known"]);
        let forged = strangers.client(&["spiffe://other.example/ns/a/sa/known"]);
        const CAME: &str = "Hash=00;URI=spiffe://before";
        const OWN: &str = "Subject=\"CN=some\\, body\";URI=spiffe://other.example/ns/a/sa/known";
        for (mode, came, own) in [
            (Sanitize, false, false),
            (ForwardOnly, true, false),
            (AppendForward, true, true),
            (SanitizeSet, false, true),
        ] {
            let client = Some(ClientValidation {
                mode: ClientMode::InsecureFallback,
                authorities: vec![CaBundle::Inline(staff.pem().as_str().into())],
                ..ClientValidation::default()
            });
            let details = vec![ClientCertDetail::Subject, ClientCertDetail::Uri];
            let forward_client_cert = Some(ForwardClientCert { mode, details });
            let said = ClientTraffic { forward_client_cert, ..ClientTraffic::default() };
            let mut listener = listener("a", None, ListenerTls { client, ..terminate(&["s"]) });
            listener.client = Some(Arc::new(said));
            let proxy = edge(vec![listener], &[("s", &pair)]);
            let application = Application::start(fresh_ip(), |request| {
                let told = request.headers().get("x-forwarded-client-cert");
                let told = told.map_or(&b"none"[..], |value| value.as_bytes()).to_vec();
                http::Response::new(codec::Body::full(told))
            });
            proxy.apply(vec![endpoints(vec![plain(application.address)])]);
            for (shows, is_proven) in [(Some(&known), true), (Some(&forged), false), (None, false)] {
                let caller = Caller { shows, ..Caller::new(&web) };
                let mut stream = caller.connect(&proxy, "a.example").await.unwrap();
                let asked = format!(
                    "GET / HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\nx-forwarded-client-cert: {CAME}\r\n\r\n"
                );
                stream.write_all(asked.as_bytes()).await.unwrap();
                let mut heard = String::new();
                let _ = timeout(SOON, stream.read_to_string(&mut heard)).await.unwrap();
                let told = heard.lines().last().unwrap();
                assert_eq!(told.contains(CAME), came && is_proven, "{mode:?} {is_proven}: {told}");
                assert_eq!(told.contains(OWN), own && is_proven, "{mode:?} {is_proven}: {told}");
                assert_eq!(told == "none", !is_proven || mode == Sanitize, "{mode:?} {is_proven}: {told}");
                if own && is_proven {
                    assert!(told.ends_with(OWN), "the last word is the gateway's: {told}");
                }
            }
        }
    });
}

/// `misdirected_request`, as browsers provoke it: a connection is used for every host that its certificate covers and that has the same address.
#[test]
fn a_request_for_another_listeners_host_is_misdirected() {
    story(async {
        let authority = EdgeAuthority::new("web");
        let pair = authority.server(&["*.shop.example"]);
        let exact = |name: &str| Some(HostMatch::Exact(host(name)));
        let listeners = vec![
            listener("one", exact("one.shop.example"), terminate(&["s"])),
            listener("two", exact("two.shop.example"), terminate(&["s"])),
            listener("wild", Some(HostMatch::Suffix(host("wild.shop.example"))), terminate(&["s"])),
        ];
        let proxy = edge(listeners, &[("s", &pair)]);
        let caller = Caller { alpn: &[b"h2", b"http/1.1"], ..Caller::new(&authority) };
        let stream = caller.connect(&proxy, "one.shop.example").await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::task::spawn_local(connection);
        for (host, expected) in [
            ("one.shop.example", 200),
            ("two.shop.example", 421),
            ("one.shop.example:443", 200),
            ("a.wild.shop.example", 421),
            ("nobody.shop.example", 404),
            ("one.shop.example", 200),
        ] {
            let request = Request::get(format!("https://{host}/")).body(()).unwrap();
            std::future::poll_fn(|cx| sender.poll_ready(cx)).await.unwrap();
            let (response, _) = sender.send_request(request, true).unwrap();
            let status = timeout(SOON, response).await.unwrap().unwrap().status();
            assert_eq!(status, StatusCode::from_u16(expected).unwrap(), "{host}");
        }
        let lines = proxy.logged();
        assert_eq!(lines[1]["response_code_details"], "misdirected_request", "{}", lines[1]);
        // On a connection of its own it is served.
        assert_eq!(Caller::new(&authority).status(&proxy, "two.shop.example", "two.shop.example").await, 200);
    });
}

/// A rule of a TLSRoute under this listener, for these server names, to the service.
pub(super) fn l4_rule(listener: &str, names: &[&str]) -> (ResourceKey, Resource) {
    let names = names.iter().map(|name| HostMatch::Exact(host(name))).collect();
    let rule = L4Rule {
        parent: Parent::Gateway {
            namespace: "default".into(),
            name: "edge".into(),
            listener: listener.into(),
        },
        origin: Origin { object: ObjectRef::new("TLSRoute", "default", listener), file: "".into(), line: 0 },
        index: 0,
        created_s: 0,
        consumer: None,
        matches: vec![L4Match { server_names: names, ..L4Match::default() }],
        backends: vec![RouteBackend::new(Some(host(super::bed::SERVICE)), 80, 1)],
    };
    (ResourceKey::of_l4_rule(&rule), Resource::L4Rule(rule.into()))
}

pub(super) fn tls_listener(name: &str, tls: ListenerTls) -> GatewayListener {
    let host = Some(HostMatch::Exact(host(&format!("{name}.example"))));
    GatewayListener { protocol: ListenerProtocol::Tls, ..listener(name, host, tls) }
}

/// A server that ends TLS itself and says back what it hears.
fn tls_echo(pair: &PemPair) -> SocketAddr {
    let chain = vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(identity::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = crate::accept::listen(SocketAddr::new(fresh_ip(), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::task::spawn_local(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let (mut read, mut write) = tokio::io::split(stream);
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    address
}

pub(super) async fn echoes(stream: &mut Stream) -> bool {
    let mut heard = [0; 5];
    stream.write_all(b"hello").await.unwrap();
    timeout(SOON, stream.read_exact(&mut heard)).await.unwrap().is_ok_and(|_| heard == *b"hello")
}

#[test]
fn tls_ends_at_the_listener_or_at_the_backend_side_by_side_at_one_port() {
    story(async {
        let authority = EdgeAuthority::new("web");
        let (ours, theirs) =
            (authority.server(&["ends.example", "web.example"]), authority.server(&["passes.example"]));
        let pass = ListenerTls { mode: TlsMode::Passthrough, ..ListenerTls::default() };
        let web = Some(HostMatch::Exact(host("web.example")));
        let listeners = vec![
            tls_listener("ends", terminate(&["s"])),
            tls_listener("passes", pass.clone()),
            tls_listener("nowhere", pass),
            listener("web", web, terminate(&["s"])),
        ];
        let proxy = edge(listeners, &[("s", &ours)]);
        proxy.apply(vec![
            l4_rule("ends", &["ends.example"]),
            l4_rule("passes", &["passes.example"]),
            endpoints(vec![plain(Application::echo(fresh_ip()))]),
        ]);
        let caller = Caller::new(&authority);
        let mut ended = caller.connect(&proxy, "ends.example").await.unwrap();
        assert_eq!((shown(&ended), echoes(&mut ended).await), (der(&ours), true));
        proxy.apply(vec![endpoints(vec![plain(tls_echo(&theirs))])]);
        let mut passed = caller.connect(&proxy, "passes.example").await.unwrap();
        assert_eq!((shown(&passed), echoes(&mut passed).await), (der(&theirs), true));
        // A listener without a route has nowhere to send them.
        assert!(caller.connect(&proxy, "nowhere.example").await.is_err());
        // What was decrypted goes on as it is.
        assert!(echoes(&mut ended).await);
        drop((ended, passed));
        // The one that went nowhere too.
        let closed = || -> u64 {
            let metrics = proxy.worker.shared.observe.render(0, 0);
            let closed =
                metrics.lines().filter(|line| line.starts_with("istio_tcp_connections_closed_total"));
            closed.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
        };
        wait_until("all have ended", || closed() == 3).await;
        let lines = proxy.logged();
        let line = |name: &str| lines.iter().find(|line| line["requested_server_name"] == name).cloned();
        let passed = line("passes.example").unwrap_or_default();
        assert_eq!(
            (&passed["route_name"], &passed["downstream_tls_version"]),
            (&"default/passes".into(), &().into())
        );
        assert_eq!(line("nowhere.example").unwrap_or_default()["response_flags"], "NR");
    });
}
