//! A certificate that expires while its connection lives.

use super::bed::{Application, Authority, fresh_ip, story, wait_until};
use super::mesh::{Cluster, client};
use super::tunnel::{Dug, SERVICE_PORT, dig, shake_hands, to_gateway};
use crate::testing::id;
use http::HeaderMap;
use model::service::Protocol;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Enough for a few handshakes on a busy machine, though certificates end with their second, and not long to
/// wait for.
const LIFE: Duration = Duration::from_secs(4);

#[test]
fn the_callee_takes_no_new_streams_and_lets_a_tunnel_live() {
    story(async {
        let authority = Authority::new();
        let ip = fresh_ip();
        let echo = Application::echo(ip);
        let east = Cluster::start(&authority, "east", ip, echo.port(), Protocol::Tcp);
        let caller = authority.identity("client");
        caller.install(authority.svid_for("client", LIFE));
        let Dug { outer, inner, mut bytes, .. } = dig(&caller, &east).await;
        wait_until("both say goodbye", || outer.is_closed() && inner.is_closed()).await;
        assert!(inner.tunnel(SERVICE_PORT, HeaderMap::new()).await.is_err());
        bytes.write_all(b"still there").await.unwrap();
        let mut heard = [0; 11];
        bytes.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"still there");
        // The control run: what has expired opens nothing anew. Certificates end with their second.
        let ended = caller.svid().unwrap().not_after + Duration::from_secs(1);
        wait_until("the certificate ends", || std::time::SystemTime::now() > ended).await;
        let refused = async {
            let mut outer = shake_hands(&caller, "eastwest", to_gateway(&east).await).await?;
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
        while std::time::SystemTime::now() < expires + Duration::from_secs(1) {
            assert_eq!(caller.get("/").await.status(), 200);
            tokio::task::yield_now().await;
        }
        drop(caller);
        let lines = proxy.logged();
        // The log drops lines when they come faster than it writes.
        let had_one = lines.iter().filter(|line| line["attempts"] == 1).count();
        assert!(had_one > 0 && had_one == lines.len(), "nothing had to be tried twice");
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
        let pool = proxy.worker.upstream.http2();
        let gateway = std::net::SocketAddr::new(east.gateway.ip, model::address::PORT_MESH);
        let outer = pool.lease_gateway(gateway, &id("eastwest")).await.unwrap();
        identity.install(authority.svid("client"));
        let endpoint = east.endpoint("east");
        let service = crate::testing::host(super::bed::SERVICE);
        let inner = pool.lease(&endpoint, &service, 80, 0).await.unwrap();
        assert!(!inner.connection.is_spent() && !outer.connection.is_spent());
        wait_until("both retire", || inner.connection.is_spent() && outer.connection.is_spent()).await;
    });
}
