//! Callers past the mesh: who is served in which mode, as whom, and what becomes of them when the mode changes.

use super::bed::{
    Application, Authority, Client, Proxy, SOON, endpoints, in_own_network, inbound_mode, native, service,
    story, wait_until,
};
use super::native::{ip, pair_at};
use crate::accept::{Mark, PeerKind, dial};
use codec::Body;
use http::{Request, Response};
use model::authz::{Action, Cidr, Glob, Operation, Rule, Source};
use model::mtls::MtlsMode::{self, Disable, Permissive, Strict};
use model::observed::{ConnectionTally, PlaintextCaller};
use model::service::Protocol;
use model::{MeshSettings, ObjectRef, Origin, Policy, Resource, ResourceKey};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A workload, a caller in the mesh, and the way past it.
struct Bed {
    client: Proxy,
    workload: Proxy,
    application: SocketAddr,
    captured: SocketAddr,
}

impl Bed {
    /// With an application of its own that says `shop`, at the `last` address of the network.
    fn new(last: u8, protocol: Protocol, mode: MtlsMode) -> Self {
        Self::with(Application::named(ip(last), "shop").address, protocol, mode)
    }

    fn with(application: SocketAddr, protocol: Protocol, mode: MtlsMode) -> Self {
        let (client, workload) = pair_at(&Authority::new(), application, protocol);
        let captured = workload.serve_captured(application);
        let bed = Self { client, workload, application, captured };
        bed.set(protocol, mode);
        bed
    }

    fn set(&self, protocol: Protocol, mode: MtlsMode) {
        self.workload.apply(vec![inbound_mode(self.application.port(), protocol, mode)]);
    }

    async fn dial(&self) -> TcpStream {
        dial(self.captured, PeerKind::Anyone, Mark::Free, SOON).await.unwrap()
    }

    async fn past_the_mesh(&self) -> Client {
        Client::over(self.dial().await).await
    }

    /// What somebody hears who says this past the mesh.
    async fn hear(&self, words: &[u8]) -> String {
        let mut stream = self.dial().await;
        let mut heard = Vec::new();
        // Who is refused may find the connection closed before it has said anything.
        let _ = stream.write_all(words).await;
        let _ = stream.read_to_end(&mut heard).await;
        String::from_utf8(heard).unwrap()
    }

    /// The same of the caller in the mesh.
    async fn hear_in_mesh(&self, words: &[u8]) -> String {
        let mut stream = self.client.call_tcp();
        let mut heard = Vec::new();
        stream.write_all(words).await.unwrap();
        let _ = stream.read_to_end(&mut heard).await;
        String::from_utf8(heard).unwrap()
    }

    fn refusals(&self, code: &str) -> bool {
        let text = self.workload.worker.shared.observe.render(0, 0);
        text.contains(&format!("leno_refused_connections_total{{reason=\"{code}\"}} 1"))
    }
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n";

/// The application is asked for by an address that is no loopback.
fn inside(name: &str, test: impl AsyncFnOnce()) {
    in_own_network(&format!("flow::tests::plaintext::{name}"), || story(async { test().await }));
}

#[test]
fn each_mode_serves_whom_its_name_says_and_tells_the_others_why_not() {
    inside("each_mode_serves_whom_its_name_says_and_tells_the_others_why_not", async || {
        let mut last = 10;
        for protocol in [Protocol::Http1, Protocol::Undeclared, Protocol::Tcp] {
            for (mode, in_mesh, past_it) in
                [(Strict, true, false), (Permissive, true, true), (Disable, false, true)]
            {
                last += 1;
                let bed = Bed::new(last, protocol, mode);
                let heard = bed.hear(REQUEST).await;
                assert_eq!(heard.ends_with("shop"), past_it, "{protocol:?} {mode:?}: {heard}");
                assert_eq!(bed.refusals("plaintext_refused"), !past_it, "{protocol:?} {mode:?}");
                let heard = bed.hear_in_mesh(REQUEST).await;
                assert_eq!(heard.ends_with("shop"), in_mesh, "{protocol:?} {mode:?}: {heard}");
                let lines = bed.workload.logged();
                let is_told = lines.iter().any(|line| line["response_code_details"] == "mutual_tls_disabled");
                assert_eq!(is_told, !in_mesh, "{protocol:?} {mode:?}: {lines:?}");
            }
        }
    });
}

/// Address and mode of those who came in plaintext to the application's port, how many connections, and how many of
/// them are open.
type Callers = Vec<(IpAddr, MtlsMode, u64, u32)>;

fn callers(tally: &ConnectionTally<PlaintextCaller>, port: u16) -> Callers {
    let of_port = tally.counted.iter().filter(|(caller, _)| caller.port == port);
    of_port.map(|(caller, count)| (caller.address, caller.mode, count.total, count.open)).collect()
}

/// Counted is the connection, whatever goes over it; in mutual TLS only where plaintext would be taken too.
#[test]
fn who_came_by_which_way_is_counted_by_port() {
    inside("who_came_by_which_way_is_counted_by_port", async || {
        let bed = Bed::new(2, Protocol::Http1, Strict);
        let seen = || bed.workload.worker.shared.observe.inbound(SOON);
        let port = bed.application.port();
        let mutual_tls = || seen().mutual_tls.counted.get(&port).map(|count| count.total);
        let caller = bed.dial().await.local_addr().unwrap().ip();
        bed.hear(REQUEST).await;
        wait_until("both are refused", || callers(&seen().refused, port) == [(caller, Strict, 2, 0)]).await;
        assert!(bed.hear_in_mesh(REQUEST).await.ends_with("shop"));
        assert_eq!((mutual_tls(), seen().plaintext.is_empty()), (None, true), "a STRICT port costs nothing");

        bed.set(Protocol::Http1, Permissive);
        let mut client = bed.past_the_mesh().await;
        for _ in 0..3 {
            let request = Request::get("/").header("host", "shop").body(Body::empty()).unwrap();
            assert_eq!(client.send(request).await.status(), 200);
        }
        assert_eq!(callers(&seen().plaintext, port), [(caller, Permissive, 1, 1)]);
        drop(client);
        wait_until("it has ended", || callers(&seen().plaintext, port)[0].3 == 0).await;
        // The connection between the proxies was there before, and has other requests.
        for _ in 0..3 {
            assert!(bed.hear_in_mesh(REQUEST).await.ends_with("shop"));
        }
        assert_eq!(mutual_tls(), Some(1));

        bed.set(Protocol::Http1, Disable);
        assert!(bed.hear(REQUEST).await.ends_with("shop"));
        wait_until("it has ended", || callers(&seen().plaintext, port).iter().all(|caller| caller.3 == 0))
            .await;
        assert_eq!(callers(&seen().plaintext, port), [(caller, Permissive, 1, 0), (caller, Disable, 1, 0)]);
        assert_eq!((mutual_tls(), callers(&seen().refused, port).len()), (Some(1), 1));
    });
}

#[test]
fn a_tunnel_counts_as_a_connection() {
    inside("a_tunnel_counts_as_a_connection", async || {
        let bed = Bed::with(Application::echo(ip(2)), Protocol::Tcp, Permissive);
        let port = bed.application.port();
        for _ in 0..2 {
            let mut stream = bed.client.call_tcp();
            stream.write_all(b"x").await.unwrap();
            assert_eq!(stream.read_u8().await.unwrap(), b'x');
        }
        let seen = bed.workload.worker.shared.observe.inbound(SOON);
        assert_eq!(seen.mutual_tls.counted.get(&port).map(|count| count.total), Some(2));
    });
}

/// Whatever else the proxy has: without its inbound side nobody has said that plaintext may come in.
#[test]
fn what_has_not_been_received_is_strict() {
    inside("what_has_not_been_received_is_strict", async || {
        let application = Application::named(ip(2), "shop").address;
        let workload = Proxy::at(ip(2), "west", Authority::new().identity("shop"), Vec::new());
        let captured = workload.serve_captured(application);
        let mut stream = dial(captured, PeerKind::Anyone, Mark::Free, SOON).await.unwrap();
        let _ = stream.write_all(REQUEST).await;
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard).await;
        assert_eq!(heard, b"");
        let text = workload.worker.shared.observe.render(0, 0);
        assert!(text.contains("leno_refused_connections_total{reason=\"plaintext_refused\"} 1"), "{text}");
    });
}

fn policy(action: Action, rule: Rule) -> (ResourceKey, Resource) {
    let object = ObjectRef::new("AuthorizationPolicy", "default", "p");
    let origin = Origin { object, file: "".into(), line: 0 };
    let policy = Policy { origin, action, rules: vec![rule], dry_run: false };
    (ResourceKey::Policy("default".into(), "p".into()), Resource::Policy(policy))
}

fn from(source: Source) -> Rule {
    Rule { from: vec![source], ..Rule::default() }
}

fn to_path(path: &str) -> Rule {
    let operation = Operation { paths: vec![Glob::parse(path)], ..Operation::default() };
    Rule { to: vec![operation], ..Rule::default() }
}

#[test]
fn policies_know_nobody_past_the_mesh_but_an_address() {
    inside("policies_know_nobody_past_the_mesh_but_an_address", async || {
        let bed = Bed::new(2, Protocol::Http1, Permissive);
        let principals = Source { principals: vec![Glob::Present], ..Source::default() };
        let namespaces = Source { namespaces: vec![Glob::parse("*")], ..Source::default() };
        let strangers = Source { not_principals: vec![Glob::Present], ..Source::default() };
        let block = |text: &str| vec![Cidr::parse(text).unwrap()];
        let peer = Source { ip_blocks: block("10.244.0.0/24"), ..Source::default() };
        let elsewhere = Source { ip_blocks: block("192.0.2.0/24"), ..Source::default() };
        let original = Source { remote_ip_blocks: block("192.0.2.0/24"), ..Source::default() };
        let mut past = bed.past_the_mesh().await;
        let mut caller = bed.client.call().await;
        for (what, action, rule, past_it, in_mesh) in [
            ("whom an identity lets in", Action::Allow, from(principals.clone()), 403, 200),
            ("whom a namespace lets in", Action::Allow, from(namespaces), 403, 200),
            ("who has no identity", Action::Deny, from(strangers), 403, 200),
            ("who has one", Action::Deny, from(principals), 200, 403),
            ("what a path lets in", Action::Allow, to_path("/x"), 200, 200),
            ("another path", Action::Allow, to_path("/y"), 403, 403),
            ("an address", Action::Allow, from(peer), 200, 200),
            ("another address", Action::Allow, from(elsewhere), 403, 403),
            // The word of a proxy is believed, and nobody else's.
            ("an address that is only claimed", Action::Allow, from(original), 403, 200),
        ] {
            bed.workload.apply(vec![policy(action, rule)]);
            let request = || {
                let request =
                    Request::get("/x").header("host", "shop").header("x-forwarded-for", "192.0.2.1");
                request.body(Body::empty()).unwrap()
            };
            assert_eq!(past.send(request()).await.status(), past_it, "{what}, past the mesh");
            assert_eq!(caller.send(request()).await.status(), in_mesh, "{what}, in the mesh");
        }
        drop((past, caller));
        let lines = bed.workload.logged();
        let nobody = lines.iter().filter(|line| line["source_principal"].is_null());
        assert_eq!((nobody.count(), lines.len()), (9, 18), "{lines:?}");
        assert!(lines.iter().all(|line| line["direction"] == "inbound"), "{lines:?}");
    });
}

#[test]
fn opaque_bytes_past_the_mesh_are_judged_too() {
    inside("opaque_bytes_past_the_mesh_are_judged_too", async || {
        let bed = Bed::with(Application::echo(ip(2)), Protocol::Tcp, Permissive);
        let principals = Source { principals: vec![Glob::Present], ..Source::default() };
        bed.workload.apply(vec![policy(Action::Allow, from(principals))]);
        assert_eq!(bed.hear(b"hello").await, "");
        assert_eq!(bed.workload.logged()[0]["response_code_details"], "rbac_access_denied");
    });
}

/// At a workload that takes plaintext the mesh is entered, as at a gateway.
#[test]
fn headers_of_a_caller_past_the_mesh_say_what_its_connection_says() {
    inside("headers_of_a_caller_past_the_mesh_say_what_its_connection_says", async || {
        let echo = |request: Request<Body>| {
            let names =
                ["x-forwarded-for", "x-forwarded-proto", "x-real-ip", "x-leno-destination", "x-request-id"];
            let said = names.map(|name| {
                let value = request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
                format!("{name}={}", value.unwrap_or_default())
            });
            Response::new(Body::full(said.join(" ")))
        };
        let bed = Bed::with(Application::start(ip(2), echo).address, Protocol::Http1, Permissive);
        let mut past = bed.past_the_mesh().await;
        let request = || {
            let claims = [
                ("x-forwarded-for", "192.0.2.1"),
                ("x-forwarded-proto", "https"),
                ("x-real-ip", "192.0.2.1"),
                ("x-leno-destination", "10.244.0.9:1"),
            ];
            let request = Request::get("/").header("host", "shop");
            let request = claims.iter().fold(request, |request, (name, value)| request.header(*name, *value));
            request.body(Body::empty()).unwrap()
        };
        let says = |response: &Response<String>, expected: &str| {
            assert!(response.body().starts_with(expected), "{response:?}");
            assert!(!response.body().ends_with("x-request-id="), "{response:?}");
        };
        let own = past.send(request()).await;
        let ip = own.body().split(['=', ' ']).nth(1).unwrap().to_owned();
        assert!(ip.starts_with("10.244.0."), "{own:?}");
        let clean = format!("x-forwarded-for={ip} x-forwarded-proto=http x-real-ip= x-leno-destination= ");
        says(&own, &clean);
        // So many proxies stand in front of the gateways, and none here.
        let mut settings = MeshSettings::default();
        settings.http.xff_num_trusted_hops = 1;
        bed.workload.apply(vec![(ResourceKey::Settings, Resource::Settings(settings.clone()))]);
        says(&past.send(request()).await, &clean);
        settings.http.xff_num_trusted_hops = 0;
        settings.http.xff_trusted_cidrs = vec![Cidr::parse("10.244.0.0/24").unwrap()];
        bed.workload.apply(vec![(ResourceKey::Settings, Resource::Settings(settings))]);
        let trusted = past.send(request()).await;
        says(&trusted, &format!("x-forwarded-for=192.0.2.1, {ip} x-forwarded-proto=https "));
    });
}

#[test]
fn who_is_past_the_mesh_is_cut_off_when_the_mode_becomes_strict() {
    inside("who_is_past_the_mesh_is_cut_off_when_the_mode_becomes_strict", async || {
        let web = Bed::new(2, Protocol::Http1, Permissive);
        let mut past = web.past_the_mesh().await;
        assert_eq!(past.get("/").await.body(), "shop");
        let tcp = Bed::with(Application::echo(ip(3)), Protocol::Tcp, Permissive);
        let mut bytes = tcp.dial().await;
        bytes.write_all(b"hello").await.unwrap();
        bytes.read_exact(&mut [0; 5]).await.unwrap();
        web.set(Protocol::Http1, Strict);
        tcp.set(Protocol::Tcp, Strict);
        let mut rest = Vec::new();
        let _ = timeout(SOON, bytes.read_to_end(&mut rest)).await.unwrap();
        assert_eq!(rest, b"", "opaque bytes that were let in end");
        assert!(past.try_get("/").await.is_err(), "no further request of a connection that was let in");
        for bed in [&web, &tcp] {
            assert_eq!(bed.hear(REQUEST).await, "");
            let lines = bed.workload.logged();
            let is_told = |line: &serde_json::Value| line["response_code_details"] == "plaintext_refused";
            assert!(lines.iter().any(is_told), "{lines:?}");
        }
        // Callers in the mesh notice nothing.
        assert!(web.hear_in_mesh(REQUEST).await.ends_with("shop"));
    });
}

/// A silent caller of an HTTP port only holds it; where nothing is declared, the server may speak first.
#[test]
fn a_server_that_speaks_first_is_heard_past_the_mesh() {
    inside("a_server_that_speaks_first_is_heard_past_the_mesh", async || {
        let listener = crate::accept::listen(SocketAddr::new(ip(2), 0)).unwrap();
        let bed = Bed::with(listener.local_addr().unwrap(), Protocol::Undeclared, Permissive);
        tokio::task::spawn_local(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"220 ready").await.unwrap();
        });
        let mut heard = String::new();
        bed.dial().await.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "220 ready");
    });
}

/// A caller's proxy is told with the endpoints that a port takes plaintext alone.
#[test]
fn a_caller_in_the_mesh_speaks_plaintext_where_nothing_else_is_taken() {
    inside("a_caller_in_the_mesh_speaks_plaintext_where_nothing_else_is_taken", async || {
        for (last, protocol) in [(2, Protocol::Http1), (3, Protocol::Tcp)] {
            let bed = Bed::new(last, protocol, Disable);
            // There is no capture here: what the kernel would redirect is sent to the capture port.
            let mut endpoint = native("west", ip(last));
            endpoint.port = bed.captured.port();
            Arc::make_mut(&mut endpoint.profile).plaintext_ports = vec![bed.captured.port()];
            bed.client.apply(vec![service(protocol), endpoints(vec![endpoint])]);
            let heard = bed.hear_in_mesh(REQUEST).await;
            assert!(heard.ends_with("shop"), "{protocol:?}: {heard}");
            assert_eq!(bed.client.worker.upstream.http2().len(), 0, "no connection of the mesh was made");
            let told = ["istio_requests_total{", "istio_tcp_connections_closed_total{"];
            let is_told = || {
                let text = bed.workload.worker.shared.observe.render(0, 0);
                text.lines().any(|line| {
                    told.iter().any(|name| line.starts_with(name))
                        && line.contains("connection_security_policy=\"none\"")
                })
            };
            wait_until("the callee tells of it", is_told).await;
        }
    });
}
