//! What may leave: addresses and names, described or not, and names that are lied about.

use super::bed::{Application, Proxy, egress_to_loopback, fresh_ip, story};
use super::name_server::NameServer;
use crate::flow::egress;
use crate::testing::host;
use model::external::{ExternalService, NameClaim, Resolution};
use model::names::Names;
use model::route::HostMatch;
use model::service::{Protocol, Service, ServicePort};
use model::settings::EgressMode;
use model::{Resource, ResourceKey};
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A sidecar in this mode, where `known.example` (wherever it is) and all below `wild.example` are described.
fn sidecar(names: &NameServer, mode: EgressMode, port: u16) -> Proxy {
    let claim = |name: HostMatch, service: &str| NameClaim { name, ports: vec![port], host: host(service) };
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
        egress::serve(&worker, theirs, "127.0.0.1:9".parse().unwrap(), original, drain).await;
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
            (RegistryOnly, real, host_of("known.example"), Echoed("known.example")),
            // The same name said to another address: it goes to its own.
            (RegistryOnly, other, hello("known.example"), Echoed("known.example")),
            (RegistryOnly, other, host_of("known.example:80"), Echoed("known.example")),
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
