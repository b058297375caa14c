//! Names of headless services, and of their workloads.

use super::*;
use hickory_proto::op::Edns;
use model::service::{Endpoint, EndpointProfile, EndpointSlice, EndpointState, Headless, Reach, Service};

const SERVICE: &str = "db.shop.svc.cluster.local";

fn endpoint(name: &str, address: &str, state: EndpointState) -> Endpoint {
    let uid = format!("west/shop/{name}");
    Endpoint { state, ..fixtures::mesh::endpoint(&uid, address.parse().unwrap()) }
}

/// Behind a gateway.
fn remote(name: &str, address: &str) -> Endpoint {
    let endpoint = endpoint(name, address, EndpointState::Ready);
    let profile = EndpointProfile { reach: Reach::Gateway, ..(*endpoint.profile).clone() };
    Endpoint { profile: Arc::new(profile), ..endpoint }
}

/// A headless service with these endpoints.
async fn with_endpoints(publishes_unready: bool, endpoints: Vec<Endpoint>) -> Bench {
    let headless = Some(Headless { publishes_unready });
    let service = Service { headless, ..fixtures::mesh::service(SERVICE) };
    let slice = EndpointSlice { host: host(SERVICE), index: 0, endpoints: endpoints.into() };
    let upserts = vec![
        (ResourceKey::Service(host(SERVICE)), Resource::Service(service)),
        (ResourceKey::Slice(host(SERVICE), 0), Resource::Slice(slice)),
    ];
    bench_with(upserts).await
}

async fn of_each_kind(publishes_unready: bool) -> Bench {
    let endpoints = vec![
        endpoint("db-0", "10.244.0.1", EndpointState::Ready),
        endpoint("db-1", "10.244.0.2", EndpointState::Unready),
        endpoint("db-2", "10.244.0.3", EndpointState::Draining),
        endpoint("db-3", "fd00::4", EndpointState::Ready),
        remote("db-4", "10.244.0.5"),
    ];
    with_endpoints(publishes_unready, endpoints).await
}

async fn told(bench: &Bench, name: &str, kind: RecordType) -> (ResponseCode, Vec<IpAddr>) {
    let query = query(name, kind);
    let over_udp = read(&ask_udp(bench, &query).await);
    assert_eq!(read(&ask_tcp(bench, &query).await), over_udp, "{name}");
    over_udp
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[tokio::test]
async fn the_name_resolves_to_workloads_that_are_ready() {
    let mut bench = of_each_kind(false).await;
    let ok = ResponseCode::NoError;
    let name = "db.shop.svc.cluster.local.";
    assert_eq!(told(&bench, name, RecordType::A).await, (ok, vec![ip("10.244.0.1")]));
    assert_eq!(told(&bench, name, RecordType::AAAA).await, (ok, vec![ip("fd00::4")]));
    assert_eq!(told(&bench, name, RecordType::TXT).await, (ok, Vec::new()));
    bench.tasks.shutdown().await;
}

#[tokio::test]
async fn those_that_are_not_ready_are_told_where_the_service_publishes_them() {
    let mut bench = of_each_kind(true).await;
    let (_, mut addresses) = told(&bench, "db.shop.svc.cluster.local.", RecordType::A).await;
    addresses.sort();
    assert_eq!(addresses, [ip("10.244.0.1"), ip("10.244.0.2")]);
    let (code, addresses) = told(&bench, "db-1.db.shop.svc.cluster.local.", RecordType::A).await;
    assert_eq!((code, addresses), (ResponseCode::NoError, vec![ip("10.244.0.2")]));
    bench.tasks.shutdown().await;
}

#[tokio::test]
async fn each_workload_has_a_name_below_the_service_s() {
    let mut bench = of_each_kind(false).await;
    let ok = ResponseCode::NoError;
    for (name, kind, addresses) in [
        ("db-0.db.shop.svc.cluster.local.", RecordType::A, vec![ip("10.244.0.1")]),
        ("DB-0.db.shop.svc.cluster.local.", RecordType::A, vec![ip("10.244.0.1")]),
        ("db-0.db.shop.svc.cluster.local.", RecordType::AAAA, vec![]),
        ("db-3.db.shop.svc.cluster.local.", RecordType::AAAA, vec![ip("fd00::4")]),
        // Not ready, on its way out, in another network, of a service that is not headless: others may know them.
        ("db-1.db.shop.svc.cluster.local.", RecordType::A, vec![OUTSIDE]),
        ("db-2.db.shop.svc.cluster.local.", RecordType::A, vec![OUTSIDE]),
        ("db-4.db.shop.svc.cluster.local.", RecordType::A, vec![OUTSIDE]),
        ("db-0.web.shop.svc.cluster.local.", RecordType::A, vec![OUTSIDE]),
    ] {
        assert_eq!(told(&bench, name, kind).await, (ok, addresses), "{name}");
    }
    bench.tasks.shutdown().await;
}

/// What has no room in a datagram is left out and told; over TCP all of it comes.
#[tokio::test]
async fn a_long_answer_over_udp_says_that_it_is_cut() {
    let address = |n: usize| format!("10.244.{}.{}", n / 250, n % 250 + 1);
    let endpoints =
        (0..40).map(|n| endpoint(&format!("db-{n}"), &address(n), EndpointState::Ready)).collect();
    let mut bench = with_endpoints(false, endpoints).await;
    let plain = query("db.shop.svc.cluster.local.", RecordType::A);
    let mut announced = Message::from_vec(&plain).unwrap();
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    announced.set_edns(edns);
    let announced = announced.to_vec().unwrap();

    let cut = ask_udp(&bench, &plain).await;
    assert!(cut.metadata.truncation && cut.to_vec().unwrap().len() <= 512);
    assert!(cut.answers.len() > 20, "{} answers", cut.answers.len());
    for whole in [ask_udp(&bench, &announced).await, ask_tcp(&bench, &plain).await] {
        assert!(!whole.metadata.truncation);
        let addresses: std::collections::BTreeSet<_> = read(&whole).1.into_iter().collect();
        assert_eq!(addresses.len(), 40);
    }
    bench.tasks.shutdown().await;
}
