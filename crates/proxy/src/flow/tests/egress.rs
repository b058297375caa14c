//! What may leave: addresses and names, described or not, and names that are lied about.

use super::bed::{Application, Client, Proxy, egress_to_loopback, fresh_ip, plain, story};
use super::name_server::NameServer;
use crate::flow::called::{Called, classify_outbound};
use crate::snapshot::SnapshotChange;
use crate::testing::host;
use codec::Body;
use http::Request;
use model::authz::Cidr;
use model::external::{AddressClaim, ExternalService, NameClaim, Resolution};
use model::names::Names;
use model::route::HostMatch;
use model::service::{EndpointSlice, Protocol, Service, ServicePort};
use model::settings::{Egress, EgressMode};
use model::workload_host::workload_host;
use model::{MeshSettings, Resource, ResourceKey, Subscription};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A sidecar in this mode, where `known.example` (wherever it is) and all below `wild.example` are described.
fn sidecar(names: &NameServer, mode: EgressMode, port: u16) -> Proxy {
    let claim = |name: HostMatch, service: &str| NameClaim {
        name,
        ports: vec![port],
        host: host(service),
        visible_in: Vec::new(),
    };
    let described = Names {
        claims: vec![
            claim(HostMatch::Exact(host("known.example")), "known.example"),
            claim(HostMatch::Suffix(host("wild.example")), "_wildcard.wild.example"),
        ],
        ..Names::default()
    };
    let service = |name: &str| {
        let external = ExternalService { resolution: Resolution::None, ..ExternalService::default() };
        let service = Service {
            host: host(name),
            namespace: "default".into(),
            name: "described".into(),
            address: None,
            ports: vec![ServicePort { port, target_port: port, protocol: Protocol::Tcp, name: "tls".into() }],
            global: false,
            failover_order: Vec::new(),
            headless: None,
            external: Some(Box::new(external)),
        };
        (ResourceKey::Service(host(name)), Resource::Service(service))
    };
    let resources = vec![
        (ResourceKey::Names, Resource::Names(described)),
        egress_to_loopback(mode),
        service("known.example"),
        service("_wildcard.wild.example"),
    ];
    Proxy::asking(names.address, resources)
}

/// The first bytes of a client that says this name.
fn hello(name: &str) -> Vec<u8> {
    let config = identity::client_config_for(rustls::RootCertStore::empty());
    let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
    let mut hello = Vec::new();
    rustls::ClientConnection::new(config, name).unwrap().write_tls(&mut hello).unwrap();
    hello
}

/// What comes back to an application that calls `original` and says `bytes`, and how the connection is logged.
async fn call(proxy: &Proxy, original: SocketAddr, bytes: &[u8]) -> (Vec<u8>, String, String) {
    let (mut ours, theirs) = tokio::io::duplex(64 * 1024);
    let (worker, drain) = (Rc::clone(&proxy.worker), proxy.drain.clone());
    let serving = tokio::task::spawn_local(async move {
        crate::flow::serve_called(worker, theirs, "127.0.0.1:9".parse().unwrap(), original, drain).await;
    });
    ours.write_all(bytes).await.unwrap();
    ours.shutdown().await.unwrap();
    let mut came = Vec::new();
    let _ = ours.read_to_end(&mut came).await;
    serving.await.unwrap();
    let logged = proxy.logged().pop().unwrap();
    let text = |field: &str| logged[field].as_str().unwrap_or("-").to_owned();
    (came, text("upstream_cluster"), text("response_code_details"))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    Echoed(&'static str),
    Refused(&'static str),
}

#[test]
fn what_may_leave_is_what_is_described_and_proved_by_name() {
    use EgressMode::{AllowAny, AllowAnyDynamicDns, RegistryOnly};
    use Expected::{Echoed, Refused};
    story(async {
        let names = NameServer::start().await;
        let real = Application::echo(fresh_ip());
        let other = SocketAddr::new(fresh_ip(), real.port());
        names.set("known.example", &[real.ip()]);
        names.set("a.wild.example", &[real.ip()]);
        names.set("unknown.example", &[real.ip()]);
        let host_of = |name: &str| format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n").into_bytes();
        const PASSED: Expected = Echoed("PassthroughCluster");
        const DENIED: Expected = Refused("egress_denied");
        let cases: Vec<(EgressMode, SocketAddr, Vec<u8>, Expected)> = vec![
            // A raw address that nobody described.
            (AllowAny, real, b"\0raw".to_vec(), PASSED),
            (RegistryOnly, real, b"\0raw".to_vec(), DENIED),
            (AllowAnyDynamicDns, real, b"\0raw".to_vec(), DENIED),
            // A name that nobody described.
            (AllowAny, real, hello("unknown.example"), PASSED),
            (RegistryOnly, real, hello("unknown.example"), DENIED),
            (RegistryOnly, real, host_of("unknown.example"), DENIED),
            // A name that is described, at its address.
            (AllowAny, real, hello("known.example"), Echoed("known.example")),
            (RegistryOnly, real, hello("known.example"), Echoed("known.example")),
            // The same name said to another address: it goes to its own.
            (RegistryOnly, other, hello("known.example"), Echoed("known.example")),
            // Names whose owner leads them into the host's own network.
            (RegistryOnly, real, hello("a.wild.example"), DENIED),
            (AllowAnyDynamicDns, other, hello("unknown.example"), DENIED),
            // A name that has no address.
            (RegistryOnly, real, hello("b.wild.example"), Refused("no_healthy_upstream")),
            // Metadata services, by address and by name.
            (
                AllowAny,
                "169.254.169.254:80".parse().unwrap(),
                b"x".to_vec(),
                Refused("metadata_address_blocked"),
            ),
            (
                RegistryOnly,
                "[fd00:ec2::254]:80".parse().unwrap(),
                hello("known.example"),
                Refused("metadata_address_blocked"),
            ),
        ];
        for (at, (mode, original, bytes, expected)) in cases.into_iter().enumerate() {
            let proxy = sidecar(&names, mode, real.port());
            let (came, cluster, details) = call(&proxy, original, &bytes).await;
            match expected {
                Echoed(by) => assert_eq!((came, &*cluster), (bytes, by), "case {at}: {details}"),
                Refused(why) => {
                    assert_eq!((&*details, &*cluster), (why, "BlackHoleCluster"), "case {at}");
                    assert_eq!(came, b"", "case {at}");
                }
            }
        }
    });
}

/// A described service of `owner` at one port.
fn described(name: &str, owner: &str, port: u16, external: ExternalService) -> (ResourceKey, Resource) {
    let service = Service {
        host: host(name),
        namespace: "default".into(),
        name: owner.into(),
        address: None,
        ports: vec![ServicePort { port, target_port: port, protocol: Protocol::Tcp, name: "tls".into() }],
        global: false,
        failover_order: Vec::new(),
        external: Some(Box::new(external)),
        headless: None,
    };
    (ResourceKey::Service(host(name)), Resource::Service(service))
}

fn none() -> ExternalService {
    ExternalService { resolution: Resolution::None, ..ExternalService::default() }
}

/// `block` means `service`, for these namespaces.
fn address_claim(block: &str, port: u16, service: &str, visible_in: &[&str]) -> AddressClaim {
    AddressClaim {
        block: Cidr::parse(block).unwrap(),
        ports: vec![port],
        host: host(service),
        visible_in: visible_in.iter().map(|namespace| (*namespace).into()).collect(),
    }
}

fn exact(name: &str, port: u16) -> NameClaim {
    NameClaim {
        name: HostMatch::Exact(host(name)),
        ports: vec![port],
        host: host(name),
        visible_in: Vec::new(),
    }
}

#[test]
fn described_addresses_lead_where_they_are_called() {
    use EgressMode::{AllowAny, RegistryOnly};
    use Expected::{Echoed, Refused};
    story(async {
        let names = NameServer::start().await;
        let real = Application::echo(fresh_ip());
        let (port, other) = (real.port(), SocketAddr::new(fresh_ip(), real.port()));
        names.set("dynamic.example", &[real.ip()]);
        let metadata = SocketAddr::from(([169, 254, 169, 254], port));
        let block = |ip: IpAddr| format!("{ip}/32");
        let claims =
            |ip: IpAddr, service: &str, to: &[&str]| vec![address_claim(&block(ip), port, service, to)];
        let raw = b"\0raw".to_vec();
        let cases: [(EgressMode, _, _, _, _); 10] = [
            (RegistryOnly, claims(real.ip(), "none.example", &[]), real, raw.clone(), Echoed("none.example")),
            (AllowAny, claims(real.ip(), "none.example", &[]), real, raw.clone(), Echoed("none.example")),
            // For others, or for nobody.
            (
                RegistryOnly,
                claims(real.ip(), "none.example", &["b"]),
                real,
                raw.clone(),
                Refused("egress_denied"),
            ),
            (
                AllowAny,
                claims(real.ip(), "none.example", &["b"]),
                real,
                raw.clone(),
                Echoed("PassthroughCluster"),
            ),
            (
                AllowAny,
                claims(real.ip(), "none.example", &["b", "default"]),
                real,
                raw.clone(),
                Echoed("none.example"),
            ),
            (
                AllowAny,
                claims(real.ip(), "gone.example", &[]),
                real,
                raw.clone(),
                Echoed("PassthroughCluster"),
            ),
            (
                RegistryOnly,
                claims(real.ip(), "gone.example", &[]),
                real,
                raw.clone(),
                Refused("egress_denied"),
            ),
            // By the name that is said there.
            (
                RegistryOnly,
                claims(other.ip(), "dynamic.example", &[]),
                other,
                hello("dynamic.example"),
                Echoed("dynamic.example"),
            ),
            (
                RegistryOnly,
                claims(other.ip(), "dynamic.example", &[]),
                other,
                raw.clone(),
                Refused("egress_denied"),
            ),
            // Nobody opens a metadata service by describing it.
            (
                AllowAny,
                claims(metadata.ip(), "none.example", &[]),
                metadata,
                raw.clone(),
                Refused("metadata_address_blocked"),
            ),
        ];
        for (at, (mode, addresses, original, bytes, expected)) in cases.into_iter().enumerate() {
            let dynamic =
                ExternalService { resolution: Resolution::DynamicDns, ..ExternalService::default() };
            let claims = vec![exact("dynamic.example", port)];
            let known = Names { addresses, claims, ..Names::default() };
            let resources = vec![
                (ResourceKey::Names, Resource::Names(known)),
                egress_to_loopback(mode),
                described("none.example", "e", port, none()),
                described("dynamic.example", "e", port, dynamic),
            ];
            let proxy = Proxy::asking(names.address, resources);
            let absent = vec![Subscription::Host(host("gone.example"))];
            proxy.worker.shared.store.apply(SnapshotChange { absent, ..SnapshotChange::default() });
            let (came, cluster, details) = call(&proxy, original, &bytes).await;
            match expected {
                Echoed(by) => assert_eq!((came, &*cluster), (bytes, by), "case {at}: {details}"),
                Refused(why) => assert_eq!((came, &*details), (Vec::new(), why), "case {at}: {cluster}"),
            }
        }
    });
}

#[test]
fn nobody_takes_the_calls_of_a_workload_by_describing_its_address() {
    story(async {
        let names = NameServer::start().await;
        let workload = fresh_ip();
        let name = workload_host(workload).unwrap();
        let claims = vec![address_claim(&format!("{workload}/32"), 80, "thief.example", &[])];
        let known = Names { addresses: claims, ..Names::default() };
        let thief = ExternalService::default();
        let mut resources =
            vec![(ResourceKey::Names, Resource::Names(known)), described("thief.example", "e", 80, thief)];
        let called = |proxy: &Proxy| {
            let worker = Rc::clone(&proxy.worker);
            async move {
                match classify_outbound(&worker, SocketAddr::new(workload, 80)).await {
                    Ok(Called::Service(entry, 80)) => entry.service.host.to_string(),
                    _ => panic!("it goes nowhere"),
                }
            }
        };
        assert_eq!(called(&Proxy::asking(names.address, resources.clone())).await, "thief.example");
        let (_, Resource::Service(mut service)) = described("w.example", "w", 80, none()) else { panic!() };
        (service.host, service.external) = (name.clone(), None);
        resources.push((ResourceKey::Service(name.clone()), Resource::Service(service)));
        assert_eq!(called(&Proxy::asking(names.address, resources)).await, name.as_str());
    });
}

#[test]
fn each_request_to_a_service_without_endpoints_is_judged() {
    story(async {
        let names = NameServer::start().await;
        let one = Application::named(fresh_ip(), "one").address;
        let port = one.port();
        let two = Application::named_at(SocketAddr::new(fresh_ip(), port), "two").address;
        names.set("one.example", &[one.ip()]);
        names.set("two.example", &[two.ip()]);
        names.set("a.wild.example", &[one.ip()]);
        let check = async |mode: EgressMode, original: SocketAddr, asked: &[(&str, u16, &str)]| {
            let wild = NameClaim {
                name: HostMatch::Suffix(host("wild.example")),
                host: host("_wildcard.wild.example"),
                ..exact("wild.example", port)
            };
            let claims = vec![exact("one.example", port), exact("two.example", port), wild];
            let dynamic =
                ExternalService { resolution: Resolution::DynamicDns, ..ExternalService::default() };
            let resources = vec![
                (ResourceKey::Names, Resource::Names(Names { claims, ..Names::default() })),
                egress_to_loopback(mode),
                described("one.example", "e", port, none()),
                described("two.example", "e", port, dynamic),
                described("_wildcard.wild.example", "e", port, none()),
            ];
            let proxy = Proxy::asking(names.address, resources);
            let (ours, theirs) = tokio::io::duplex(64 * 1024);
            let (worker, drain) = (Rc::clone(&proxy.worker), proxy.drain.clone());
            let at = "127.0.0.1:9".parse().unwrap();
            tokio::task::spawn_local(crate::flow::serve_called(worker, theirs, at, original, drain));
            let mut client = Client::over(ours).await;
            for (host, status, body) in asked {
                let request = Request::get("/").header("host", *host).body(Body::empty()).unwrap();
                let answer = client.send(request).await;
                assert_eq!(answer.status(), *status, "{host} {mode:?}");
                assert!(answer.body().contains(body), "{host} {mode:?}: {}", answer.body());
            }
        };
        let by_name = [
            ("one.example", 200, "one"),
            ("two.example", 200, "two"),
            ("evil.example", 502, "egress_denied"),
            // Its owner leads it into the host's own network.
            ("a.wild.example", 502, "egress_denied"),
            ("127.0.0.1", 502, "egress_denied"),
            ("one.example", 200, "one"),
        ];
        check(EgressMode::RegistryOnly, one, &by_name).await;
        // Whatever address it was that the name was said to.
        check(EgressMode::RegistryOnly, two, &by_name).await;
        let any = [("two.example", 200, "two"), ("evil.example", 200, "one"), ("one.example", 200, "one")];
        check(EgressMode::AllowAny, one, &any).await;
    });
}

#[test]
fn a_name_in_tls_is_held_against_the_service_that_is_called() {
    use EgressMode::{AllowAny, RegistryOnly};
    story(async {
        let names = NameServer::start().await;
        let real = Application::echo(fresh_ip());
        let port = real.port();
        let cases: Vec<(EgressMode, Vec<u8>, bool)> = vec![
            (RegistryOnly, hello("known.example"), true),
            (RegistryOnly, hello("sibling.example"), true),
            // Described, by somebody else; and by nobody.
            (RegistryOnly, hello("other.example"), false),
            (RegistryOnly, hello("evil.example"), false),
            (RegistryOnly, b"\0no TLS at all".to_vec(), false),
            (RegistryOnly, b"GET / HTTP/1.1\r\nHost: known.example\r\n\r\n".to_vec(), false),
            (AllowAny, hello("evil.example"), true),
            (AllowAny, b"\0no TLS at all".to_vec(), true),
        ];
        for (at, (mode, bytes, may_pass)) in cases.into_iter().enumerate() {
            let tls = || ExternalService { tls_ports: vec![port], ..ExternalService::default() };
            let claims = ["known.example", "sibling.example", "other.example"].map(|name| exact(name, port));
            let here = address_claim(&format!("{}/32", real.ip()), port, "known.example", &[]);
            let known = Names { claims: claims.into(), addresses: vec![here], ..Names::default() };
            let endpoints = vec![plain(real)].into();
            let slice = EndpointSlice { host: host("known.example"), index: 0, endpoints };
            let resources = vec![
                (ResourceKey::Names, Resource::Names(known)),
                egress_to_loopback(mode),
                described("known.example", "e", port, tls()),
                described("sibling.example", "e", port, tls()),
                described("other.example", "another", port, tls()),
                (ResourceKey::Slice(host("known.example"), 0), Resource::Slice(slice)),
            ];
            let proxy = Proxy::asking(names.address, resources);
            let (came, _, details) = call(&proxy, real, &bytes).await;
            assert_eq!(came == bytes, may_pass, "case {at}: {details}");
            assert_eq!(details == "egress_denied", !may_pass, "case {at}: {details}");
        }
    });
}

#[test]
fn a_described_name_leads_to_nothing_that_is_closed() {
    story(async {
        let names = NameServer::start().await;
        let real = Application::echo(fresh_ip());
        let closed = [real.ip(), [169, 254, 169, 254].into(), [240, 0, 0, 1].into(), [0, 0, 0, 0].into()];
        for (at, ip) in closed.into_iter().enumerate() {
            let name = format!("rebound{at}.example");
            names.set(&name, &[ip]);
            let claims = vec![exact(&name, real.port())];
            let egress = Egress { mode: EgressMode::RegistryOnly, ..Egress::default() };
            let settings = MeshSettings { egress, ..MeshSettings::default() };
            let resources = vec![
                (ResourceKey::Names, Resource::Names(Names { claims, ..Names::default() })),
                (ResourceKey::Settings, Resource::Settings(settings)),
                described(&name, "e", real.port(), none()),
            ];
            let proxy = Proxy::asking(names.address, resources);
            let (came, cluster, details) = call(&proxy, real, &hello(&name)).await;
            let expected = (Vec::new(), "BlackHoleCluster", "egress_denied");
            assert_eq!((came, &*cluster, &*details), expected, "{ip}");
        }
    });
}
