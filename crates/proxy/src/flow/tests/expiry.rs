//! A certificate that expires while its connection lives.

use super::bed::{Application, Authority, SOON, fresh_ip, story};
use super::mesh::{Cluster, client};
use crate::accept::{Mark, dial};
use crate::secure::ALPN_MESH;
use crate::testing::id;
use crate::upstream::mesh;
use codec::http2;
use http::HeaderMap;
use identity::Expect;
use model::service::Protocol;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Enough for a handshake, and not long to wait for.
const LIFE: Duration = Duration::from_secs(2);

/// Waits until `is_so`; states change by themselves here.
async fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(SOON, waiting).await.is_ok(), "{what}");
}

#[test]
fn the_callee_takes_no_new_streams_and_lets_a_tunnel_live() {
    story(async {
        let authority = Authority::new();
        let ip = fresh_ip();
        let echo = Application::echo(ip);
        let east = Cluster::start(&authority, "east", ip, echo.port(), Protocol::Tcp);
        let caller = authority.identity("client");
        caller.install(authority.svid_for("client", LIFE));
        let mesh = std::net::SocketAddr::new(east.gateway.ip, model::address::PORT_MESH);
        let config = caller.client_config(Expect::OneOf(vec![id("eastwest")]), &[ALPN_MESH]);
        let connector = tokio_rustls::TlsConnector::from(config);
        let tcp = dial(mesh, Mark::Free, SOON).await.unwrap();
        let outer = connector.connect(identity::server_name(), tcp).await.unwrap();
        let (sender, connection) = http2::connect(outer, &codec::ClientOptions::default()).await.unwrap();
        tokio::task::spawn_local(connection);
        let authority_of_service = format!("{}:80", super::bed::SERVICE);
        let tunnel = sender.tunnel(&authority_of_service, HeaderMap::new()).await.unwrap();
        // Inside, to the workload, which shows the same.
        let config = caller.client_config(Expect::OneOf(vec![id("shop")]), &[ALPN_MESH]);
        let inner = tokio_rustls::TlsConnector::from(config).connect(identity::server_name(), tunnel).await;
        let (within, connection) =
            http2::connect(inner.unwrap(), &codec::ClientOptions::default()).await.unwrap();
        tokio::task::spawn_local(connection);
        let mut bytes = within.tunnel(&authority_of_service, HeaderMap::new()).await.unwrap();
        wait_until("both say goodbye", || sender.is_closed() && within.is_closed()).await;
        assert!(within.tunnel(&authority_of_service, HeaderMap::new()).await.is_err());
        bytes.write_all(b"still there").await.unwrap();
        let mut heard = [0; 11];
        bytes.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"still there");
        // The control run: what has expired opens nothing anew. Certificates end with their second.
        let ended = caller.svid().unwrap().not_after + Duration::from_secs(1);
        wait_until("the certificate ends", || std::time::SystemTime::now() > ended).await;
        let tcp = dial(mesh, Mark::Free, SOON).await.unwrap();
        let refused = async {
            let mut outer = connector.connect(identity::server_name(), tcp).await?;
            outer.write_all(codec::HTTP2_PREFACE).await?;
            outer.read_exact(&mut [0; 1]).await
        };
        assert!(refused.await.is_err());
    });
}

#[test]
fn the_caller_moves_to_its_renewed_certificate_in_time() {
    story(async {
        let authority = Authority::new();
        let east = Cluster::named(&authority, "east");
        let proxy = client(&authority, Protocol::Http1, vec![east.endpoint("east")]);
        let identity = &proxy.worker.shared.identity;
        identity.install(authority.svid_for("client", LIFE));
        let expires = identity.svid().unwrap().not_after;
        let mut caller = proxy.call().await;
        assert_eq!(caller.get("/").await.status(), 200);
        identity.install(authority.svid("client"));
        // Under load until well after the old one has ended: nothing fails.
        let mut attempts = 0;
        while std::time::SystemTime::now() < expires + Duration::from_secs(1) {
            assert_eq!(caller.get("/").await.status(), 200);
            attempts += 1;
            tokio::task::yield_now().await;
        }
        drop(caller);
        let lines = proxy.logged();
        assert_eq!(lines.len(), attempts + 1);
        assert!(lines.iter().all(|line| line["attempts"] == 1), "nothing had to be tried twice");
    });
}

/// The gateway cuts the outer connection some time after the certificate on it has expired.
#[test]
fn an_inner_connection_retires_with_the_one_that_carries_it() {
    story(async {
        let authority = Authority::new();
        let east = Cluster::named(&authority, "east");
        let proxy = client(&authority, Protocol::Http1, vec![east.endpoint("east")]);
        let identity = &proxy.worker.shared.identity;
        identity.install(authority.svid_for("client", LIFE));
        let gateway = std::net::SocketAddr::new(east.gateway.ip, model::address::PORT_MESH);
        let outer = mesh::Pool::lease_gateway(&proxy.worker, gateway, &id("eastwest")).await.unwrap();
        identity.install(authority.svid("client"));
        let endpoint = east.endpoint("east");
        let service = crate::testing::host(super::bed::SERVICE);
        let inner = mesh::Pool::lease(&proxy.worker, &endpoint, &service, 80).await.unwrap();
        assert!(!inner.connection.is_spent() && !outer.connection.is_spent());
        wait_until("both retire", || inner.connection.is_spent() && outer.connection.is_spent()).await;
    });
}
