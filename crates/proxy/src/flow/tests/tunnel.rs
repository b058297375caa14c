//! HTTP inside a tunnel: a client that takes a port for opaque, and a callee that looks at its bytes.

use super::bed::{Authority, Proxy, SOON, story};
use super::mesh::{Cluster, client};
use model::service::Protocol;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::timeout;

/// Sends a request that leaves the connection open, and reads the whole answer.
async fn ask(caller: &mut DuplexStream) {
    caller.write_all(b"GET / HTTP/1.1\r\nhost: shop\r\n\r\n").await.unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(b"east") {
        assert_ne!(caller.read_buf(&mut heard).await.unwrap(), 0, "{}", String::from_utf8_lossy(&heard));
    }
    assert!(heard.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&heard));
}

/// Waits until an idle connection is closed; long before anyone's idle timeout.
async fn is_closed(caller: &mut DuplexStream) {
    let mut rest = Vec::new();
    timeout(SOON, caller.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
}

fn opaque(authority: &Authority, east: &Cluster) -> Proxy {
    client(authority, Protocol::Tcp, vec![east.endpoint("east")])
}

#[test]
fn it_drains_with_the_callee() {
    story(async {
        let authority = Authority::new();
        let east = Cluster::named(&authority, "east");
        let proxy = opaque(&authority, &east);
        let mut caller = proxy.call_tcp();
        ask(&mut caller).await;
        east.workload.trigger.start();
        is_closed(&mut caller).await;
    });
}

#[test]
fn it_drains_when_the_callers_certificate_expires() {
    story(async {
        let authority = Authority::new();
        let east = Cluster::named(&authority, "east");
        let proxy = opaque(&authority, &east);
        proxy.worker.shared.identity.install(authority.svid_for("client", Duration::from_secs(2)));
        let mut caller = proxy.call_tcp();
        ask(&mut caller).await;
        is_closed(&mut caller).await;
    });
}
