//! Endpoints by name: found by a name server, and followed when their addresses change.

use super::bed::{Application, Proxy, SERVICE, egress_to_loopback, fresh_ip, story, wait_until};
use super::edge::{edge_resources, rule};
use super::name_server::NameServer;
use crate::names::NameResolution;
use crate::testing::host;
use decide::dice::Pcg;
use model::external::{ExternalService, NamedEndpoint, Resolution};
use model::service::{Protocol, Service, ServicePort};
use model::settings::EgressMode;
use model::{Locality, MeshSettings, Resource, ResourceKey};
use std::net::IpAddr;
use std::sync::Arc;

const NAME: &str = "api.example.test";

/// The service, at port 8080 of this name.
fn service(resolution: Resolution, port: u16) -> (ResourceKey, Resource) {
    let named = NamedEndpoint { host: host(NAME), port, weight: 1, locality: Locality::default() };
    let external = ExternalService { resolution, names: vec![named], ..ExternalService::default() };
    let service = Service {
        host: host(SERVICE),
        namespace: "default".into(),
        name: "shop".into(),
        address: None,
        ports: vec![ServicePort { port: 80, target_port: 80, protocol: Protocol::Http1, name: "".into() }],
        global: false,
        failover_order: Vec::new(),
        headless: None,
        external: Some(Box::new(external)),
    };
    (ResourceKey::Service(host(SERVICE)), Resource::Service(service))
}

/// A gateway in front of it, which keeps its names resolved.
fn gateway(names: &NameServer, resolution: Resolution, port: u16) -> Proxy {
    let mut resources = edge_resources(vec![rule(0, "")], &[]);
    resources.retain(|(key, _)| !matches!(key, ResourceKey::Slice(..)));
    resources.extend([service(resolution, port), egress_to_loopback(EgressMode::AllowAny)]);
    let proxy = Proxy::asking(names.address, resources);
    let shared = &proxy.worker.shared;
    let forwarder = Arc::clone(shared.name_cache.forwarder());
    let resolving = NameResolution::new(Arc::clone(&shared.store), forwarder, |_| true, Pcg::new(1));
    tokio::task::spawn_local(resolving.run());
    proxy
}

/// Applications that say their names, at one port of these addresses.
fn applications(names: [&'static str; 2]) -> ([IpAddr; 2], u16) {
    let first = Application::named(fresh_ip(), names[0]);
    let port = first.address.port();
    let second = fresh_ip();
    let second = Application::named_at((second, port).into(), names[1]);
    ([first.address.ip(), second.address.ip()], port)
}

#[test]
fn a_change_of_addresses_is_followed_and_no_request_asks_or_fails() {
    story(async {
        let names = NameServer::start().await;
        let ([old, new], port) = applications(["old", "new"]);
        names.set(NAME, &[old]);
        let proxy = gateway(&names, Resolution::Dns, port);
        let mut caller = proxy.enter().await;
        for _ in 0..20 {
            let answer = caller.get("/").await;
            assert_eq!((answer.status().as_u16(), answer.body().as_str()), (200, "old"));
        }
        assert_eq!(names.asked.get(), 2, "once for each family, and not for each request");
        names.set(NAME, &[new]);
        loop {
            let answer = caller.get("/").await;
            assert_eq!(answer.status(), 200);
            if answer.body() == "new" {
                break;
            }
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn all_addresses_are_endpoints_or_the_first_alone() {
    story(async {
        let names = NameServer::start().await;
        let ([one, two], port) = applications(["one", "two"]);
        names.set(NAME, &[one, two]);
        let all = gateway(&names, Resolution::Dns, port);
        let mut caller = all.enter().await;
        let mut seen = Vec::new();
        while seen.len() < 2 {
            let said = caller.get("/").await.into_body();
            if !seen.contains(&said) {
                seen.push(said);
            }
        }
        let first = gateway(&names, Resolution::DnsRoundRobin, port);
        let mut caller = first.enter().await;
        for _ in 0..20 {
            assert_eq!(caller.get("/").await.body(), "one");
        }
    });
}

#[test]
fn of_two_families_the_one_that_answers_is_used() {
    story(async {
        let names = NameServer::start().await;
        let ([one, _], port) = applications(["one", "two"]);
        // Nobody listens there, whether the host has IPv6 or not.
        names.set(NAME, &["::1".parse().unwrap(), one]);
        let proxy = gateway(&names, Resolution::Dns, port);
        let mut caller = proxy.enter().await;
        assert_eq!(caller.get("/").await.body(), "one");
        assert_eq!(proxy.entry().endpoints.len(), 1, "two addresses of one place");
    });
}

#[test]
fn a_name_without_addresses_is_an_endpoint_that_is_not_there() {
    story(async {
        let names = NameServer::start().await;
        let proxy = gateway(&names, Resolution::Dns, 80);
        assert_eq!(proxy.enter().await.get("/").await.status(), 503);
        wait_until("it was answered for", || !proxy.entry().is_awaited).await;
        assert_eq!(proxy.logged()[0]["response_code_details"], "no_healthy_upstream");
    });
}

#[test]
fn a_name_leads_neither_to_this_host_nor_to_its_metadata() {
    story(async {
        let names = NameServer::start().await;
        let read = |text: &str| text.parse::<IpAddr>().unwrap();
        let ([here, _], port) = applications(["one", "two"]);
        let private = read("10.1.2.3");
        names.set(NAME, &[read("169.254.169.254"), here, read("::1"), private, read("0.0.0.0")]);
        let proxy = gateway(&names, Resolution::Dns, port);
        let addresses = |proxy: &Proxy| {
            proxy.entry().endpoints.iter().map(|endpoint| endpoint.address).collect::<Vec<_>>()
        };
        wait_until("it was answered for", || !proxy.entry().is_awaited).await;
        assert_eq!(
            addresses(&proxy),
            [read("::1"), private],
            "the control run; the other stands beside the first"
        );
        // What may be called changes, and what is known of the name does not.
        proxy.apply(vec![(ResourceKey::Settings, Resource::Settings(MeshSettings::default()))]);
        assert_eq!(addresses(&proxy), [private]);
    });
}
