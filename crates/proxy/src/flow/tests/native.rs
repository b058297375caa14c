//! Within one network: the callee is asked for by its own address, which the loopback range never is. So these
//! run in a network namespace.

use super::bed::{
    Application, Authority, Proxy, endpoints, get, in_own_network, inbound_port, native, service, story,
};
use model::service::Protocol;
use std::net::{IpAddr, SocketAddr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(super) fn ip(last: u8) -> IpAddr {
    [10, 244, 0, last].into()
}

/// A client and a workload whose application listens at `port`, which is also the service's target port.
fn pair(authority: &Authority, port: u16, protocol: Protocol) -> (Proxy, Proxy) {
    pair_at(authority, SocketAddr::new(ip(2), port), protocol)
}

/// The same, with the application at this address.
pub(super) fn pair_at(authority: &Authority, application: SocketAddr, protocol: Protocol) -> (Proxy, Proxy) {
    let (at, port) = (application.ip(), application.port());
    let workload = Proxy::at(at, "west", authority.identity("shop"), vec![inbound_port(port, protocol)]);
    workload.serve_mesh();
    let mut endpoint = native("west", at);
    endpoint.port = port;
    let known = vec![service(protocol), endpoints(vec![endpoint])];
    (Proxy::at(ip(1), "west", authority.identity("client"), known), workload)
}

#[test]
fn requests_share_one_connection_between_workloads() {
    in_own_network("flow::tests::native::requests_share_one_connection_between_workloads", || {
        story(async {
            let authority = Authority::new();
            let application = Application::named(ip(2), "shop");
            let (proxy, workload) = pair(&authority, application.address.port(), Protocol::Http1);
            let mut callers = Vec::new();
            for _ in 0..8 {
                callers.push(proxy.call().await);
            }
            let sent = callers.iter_mut().map(|caller| caller.send(get("/x")));
            for response in futures_util::future::join_all(sent).await {
                assert_eq!((response.status().as_u16(), response.body().as_str()), (200, "shop"));
            }
            assert_eq!(
                proxy.worker.upstream.http2().len(),
                1,
                "who came meanwhile waited for the same connection"
            );
            drop(callers);
            let lines = workload.logged();
            assert_eq!(lines.len(), 8);
            assert!(
                lines
                    .iter()
                    .all(|line| line["source_principal"] == "spiffe://leno.demo/ns/default/sa/client")
            );
        });
    });
}

/// By its own word an application is nobody.
#[test]
fn an_application_is_told_who_calls_and_a_caller_cannot_say_otherwise() {
    const TEST: &str =
        "flow::tests::native::an_application_is_told_who_calls_and_a_caller_cannot_say_otherwise";
    in_own_network(TEST, || {
        story(async {
            let authority = Authority::new();
            let application = Application::start(ip(2), |request| {
                let told: Vec<_> = request.headers().get_all("x-forwarded-client-cert").iter().collect();
                http::Response::new(codec::Body::full(format!("{told:?}")))
            });
            let (proxy, _workload) = pair(&authority, application.address.port(), Protocol::Http1);
            let mut caller = proxy.call().await;
            let mut forged = get("/x");
            let value = http::HeaderValue::from_static("By=spiffe://evil;Hash=00;URI=spiffe://evil");
            forged.headers_mut().insert("x-forwarded-client-cert", value);
            for request in [get("/x"), forged] {
                let told = caller.send(request).await.into_body();
                let begin = r#"["By=spiffe://leno.demo/ns/default/sa/shop;Hash="#;
                let end = r#";Subject=\"\";URI=spiffe://leno.demo/ns/default/sa/client"]"#;
                assert!(told.starts_with(begin) && told.ends_with(end), "{told}");
                assert_eq!(told.len(), begin.len() + 64 + end.len(), "{told}");
            }
        });
    });
}

#[test]
fn opaque_bytes_travel_by_address() {
    in_own_network("flow::tests::native::opaque_bytes_travel_by_address", || {
        story(async {
            let authority = Authority::new();
            let echo = Application::echo(ip(2));
            let (proxy, _workload) = pair(&authority, echo.port(), Protocol::Tcp);
            let mut caller = proxy.call_tcp();
            caller.write_all(b"hello").await.unwrap();
            caller.shutdown().await.unwrap();
            let mut heard = String::new();
            caller.read_to_string(&mut heard).await.unwrap();
            assert_eq!(heard, "hello");
        });
    });
}

#[test]
fn the_proxys_own_ports_are_refused() {
    in_own_network("flow::tests::native::the_proxys_own_ports_are_refused", || {
        story(async {
            let authority = Authority::new();
            let (proxy, workload) = pair(&authority, 15000, Protocol::Http1);
            assert_eq!(proxy.call().await.get("/").await.status(), 503);
            assert_eq!(workload.logged()[0]["response_code_details"], "destination_not_local");
        });
    });
}
