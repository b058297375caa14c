//! Tunnels: HTTP inside one, where a client takes a port for opaque and a callee looks at its bytes; and how they
//! end.

use super::bed::{Application, Authority, Proxy, SERVICE, SOON, fresh_ip, story, wait_until};
use super::mesh::{Cluster, client};
use crate::accept::{Mark, PeerKind, dial};
use crate::mesh_tls::ALPN_MESH;
use crate::testing::id;
use codec::{ClientOptions, Io, Tunnel, http2};
use http::HeaderMap;
use identity::{Expect, Identity};
use model::service::Protocol;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What a tunnel through a gateway is asked for by.
pub(super) const SERVICE_PORT: &str = "shop.mesh.internal:80";

/// A tunnel made by hand, with all that it runs in.
pub(super) struct Dug {
    /// To the gateway.
    pub(super) outer: http2::Http2Sender,
    /// What moves the bytes of that connection.
    driver: JoinHandle<()>,
    /// To the workload.
    pub(super) inner: http2::Http2Sender,
    /// To the application.
    pub(super) bytes: Tunnel,
}

pub(super) async fn to_gateway(cluster: &Cluster) -> TcpStream {
    let mesh = SocketAddr::new(cluster.gateway.ip, model::address::PORT_MESH);
    dial(mesh, PeerKind::Proxy, Mark::Free, SOON).await.unwrap()
}

pub(super) async fn shake_hands<S: Io>(
    caller: &Identity,
    with: &str,
    io: S,
) -> std::io::Result<TlsStream<S>> {
    let config = caller.client_config(Expect::OneOf(vec![id(with)]), &[ALPN_MESH]);
    TlsConnector::from(config).connect(identity::server_name(), io).await
}

pub(super) async fn talk(tls: impl Io) -> (http2::Http2Sender, JoinHandle<()>) {
    let (sender, connection) = http2::connect(tls, &ClientOptions::default()).await.unwrap();
    let driver = spawn_local(connection);
    (sender, driver)
}

/// Opens a tunnel to the cluster's application as a caller's proxy does.
pub(super) async fn dig(caller: &Identity, cluster: &Cluster) -> Dug {
    assert!(SERVICE_PORT.starts_with(SERVICE));
    let tls = shake_hands(caller, "eastwest", to_gateway(cluster).await).await.unwrap();
    let (outer, driver) = talk(tls).await;
    let tunnel = outer.tunnel(SERVICE_PORT, HeaderMap::new()).await.unwrap();
    let (inner, _) = talk(shake_hands(caller, "shop", tunnel).await.unwrap()).await;
    let bytes = inner.tunnel(SERVICE_PORT, HeaderMap::new()).await.unwrap();
    Dug { outer, driver, inner, bytes }
}

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
        proxy.worker.shared.identity.install(authority.svid_for("client", Duration::from_secs(4)));
        let mut caller = proxy.call_tcp();
        ask(&mut caller).await;
        is_closed(&mut caller).await;
    });
}

/// A caller cannot hide what it did by closing its connection instead of the tunnel.
#[test]
fn it_is_told_of_when_the_connection_that_carries_it_goes_away() {
    story(async {
        let authority = Authority::new();
        let ip = fresh_ip();
        let echo = Application::echo(ip);
        let east = Cluster::start(&authority, "east", ip, echo.port(), Protocol::Tcp);
        let mut dug = dig(&authority.identity("client"), &east).await;
        dug.bytes.write_all(b"hello").await.unwrap();
        dug.bytes.read_exact(&mut [0; 5]).await.unwrap();
        dug.driver.abort();
        for proxy in [&east.gateway, &east.workload] {
            let has_ended = || {
                let text = proxy.worker.shared.observe.render(0, 0);
                let mut closed =
                    text.lines().filter(|line| line.starts_with("istio_tcp_connections_closed_total{"));
                closed.any(|line| line.ends_with(" 1"))
            };
            wait_until("it is logged", has_ended).await;
        }
        let lines = east.workload.logged();
        let line = lines.last().unwrap();
        assert_eq!((&line["bytes_received"], &line["bytes_sent"]), (&5.into(), &5.into()), "{line}");
        assert_eq!((lines.len(), &line["response_flags"]), (1, &"DC".into()), "{line}");
        assert_eq!(east.gateway.logged().len(), 1);
    });
}

/// The kernel would take one who does not read for one who has vanished.
#[test]
fn an_application_that_pauses_is_waited_for() {
    const LEN: usize = 32 << 20;
    story(async {
        let authority = Authority::new();
        let (east, listener) = Cluster::by_hand(&authority);
        let proxy = opaque(&authority, &east);
        let mut caller = proxy.call_tcp();
        let mut sending = spawn_local(async move {
            caller.write_all(&vec![1; LEN]).await.unwrap();
            caller.shutdown().await.unwrap();
            caller
        });
        let (mut application, _) = listener.accept().await.unwrap();
        // Longer than a proxy may be silent for.
        let cut = timeout(Duration::from_secs(10), &mut sending).await;
        assert!(cut.is_err(), "{cut:?}");
        let (mut len, mut piece) = (0, vec![0; 1 << 20]);
        loop {
            match application.read(&mut piece).await.unwrap() {
                0 => break,
                read => len += read,
            }
        }
        assert_eq!(len, LEN);
        sending.await.unwrap();
    });
}

/// Connections are shared: who does not read what came for it keeps only itself waiting.
#[test]
fn those_that_nobody_reads_do_not_keep_others_waiting() {
    const IDLERS: usize = 8;
    story(async {
        let authority = Authority::new();
        let (east, listener) = Cluster::by_hand(&authority);
        let dug = dig(&authority.identity("client"), &east).await;
        let mut unread = vec![listener.accept().await.unwrap()];
        let mut tunnels = vec![dug.bytes];
        while tunnels.len() < IDLERS {
            tunnels.push(dug.inner.tunnel(SERVICE_PORT, HeaderMap::new()).await.unwrap());
            unread.push(listener.accept().await.unwrap());
        }
        // As much as the kernel and all windows take.
        let writing = tunnels.into_iter().map(|mut tunnel| async move {
            let piece = vec![1; 1 << 20];
            while tunnel.write_all(&piece).await.is_ok() {}
        });
        let mut writing = spawn_local(async move { drop(futures_util::future::join_all(writing).await) });
        assert!(timeout(Duration::from_secs(2), &mut writing).await.is_err(), "all are stuck");
        let mut bytes = dug.inner.tunnel(SERVICE_PORT, HeaderMap::new()).await.unwrap();
        bytes.write_all(b"hello").await.unwrap();
        let (mut application, _) = listener.accept().await.unwrap();
        let mut heard = [0; 5];
        timeout(SOON, application.read_exact(&mut heard)).await.unwrap().unwrap();
        assert_eq!(&heard, b"hello");
    });
}
