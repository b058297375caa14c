//! Callees that say nothing: their host is frozen while its kernel goes on acknowledging.

use super::bed::{Authority, Proxy, native, story};
use super::mesh::{Cluster, client};
use crate::accept::listen;
use codec::Body;
use http::Request;
use model::service::Protocol;
use std::net::{IpAddr, SocketAddr};
use tokio::io::AsyncWriteExt;

/// A callee's proxy that shakes hands, says hello, and freezes.
fn frozen(authority: &Authority) -> IpAddr {
    let proxy = Proxy::new("west", authority.identity("shop"), Vec::new());
    let listener = listen(SocketAddr::new(proxy.ip, model::address::PORT_MESH)).unwrap();
    let ip = proxy.ip;
    tokio::task::spawn_local(async move {
        let mut held = Vec::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut accepted) = proxy.worker.tls.accept(stream).await else { continue };
            accepted.tls.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
            accepted.tls.flush().await.unwrap();
            held.push(accepted.tls);
        }
    });
    ip
}

#[test]
fn who_waits_for_a_frozen_proxy_is_answered_by_another() {
    story(async {
        let authority = Authority::new();
        let east = Cluster::named(&authority, "east");
        let west = frozen(&authority);
        let proxy = client(&authority, Protocol::Http1, vec![native("west", west), east.endpoint("east")]);
        let order = Request::post("/order").header("host", "shop").body(Body::empty()).unwrap();
        let (mut buyer, mut reader) = (proxy.call().await, proxy.call().await);
        // The order may have been taken: it is not given to another.
        let (bought, read) = tokio::join!(buyer.send(order), reader.get("/"));
        assert_eq!((bought.status().as_u16(), read.body().as_str()), (503, "east"));
        assert!(proxy.entry().states.is_ejected(0, proxy.worker.uptime.now_ms()));
        let lines = proxy.logged();
        let of = |method: &str| lines.iter().find(|line| line["method"] == method).unwrap();
        assert_eq!(of("POST")["response_code_details"], "upstream_keepalive_timeout", "{lines:?}");
        assert_eq!((&of("POST")["response_flags"], &of("GET")["attempts"]), (&"UC".into(), &2.into()));
    });
}
