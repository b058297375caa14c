//! Callers that another cluster vouches for come through a gateway, and reach what was exported only.

use super::bed::{
    Application, Authority, Proxy, endpoints, get, in_own_network, inbound_port, native, service, story,
};
use crate::testing::id;
use model::service::Protocol;
use model::{Resource, ResourceKey};
use std::net::IpAddr;

fn ip(last: u8) -> IpAddr {
    [10, 244, 0, last].into()
}

/// What a caller of `cluster` gets who asks the workload of `west` by its address.
async fn ask_by_address(authority: &Authority, cluster: &str) -> (u16, Proxy) {
    let application = Application::named(ip(2), "shop");
    let port = application.address.port();
    let own = authority.of_cluster("west");
    let workload = Proxy::at(ip(2), "west", own.identity("shop"), vec![inbound_port(port, Protocol::Http1)]);
    workload.serve_mesh();
    let mut endpoint = native("west", ip(2));
    endpoint.port = port;
    let known: Vec<(ResourceKey, Resource)> = vec![service(Protocol::Http1), endpoints(vec![endpoint])];
    let caller = Proxy::at(ip(1), "west", authority.of_cluster(cluster).identity("client"), known);
    let status = caller.call().await.send(get("/")).await.status().as_u16();
    (status, workload)
}

#[test]
fn a_foreign_caller_reaches_no_port_by_address() {
    in_own_network("flow::tests::peer_cluster::a_foreign_caller_reaches_no_port_by_address", || {
        story(async {
            let authority = Authority::new();
            let (status, workload) = ask_by_address(&authority, "east").await;
            let lines = workload.logged();
            assert_eq!((status, &lines[0]["response_code_details"]), (403, &"service_not_exported".into()));
            assert_eq!(lines[0]["source_principal"], id("client").to_string());
        });
    });
}

/// The control run: the same by one of the local cluster.
#[test]
fn an_own_caller_does() {
    in_own_network("flow::tests::peer_cluster::an_own_caller_does", || {
        story(async {
            let authority = Authority::new();
            let (status, workload) = ask_by_address(&authority, "west").await;
            assert_eq!((status, workload.logged().len()), (200, 1));
        });
    });
}
