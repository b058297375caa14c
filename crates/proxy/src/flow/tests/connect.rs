//! CONNECT of callers: refused unless it is allowed, and then carried as bytes to the backend of its rule.

use super::bed::{Application, Authority, Proxy, fresh_ip, story};
use super::edge::{edge, rule};
use super::mesh::{Cluster, client};
use codec::{ClientOptions, SendErrorKind, http2};
use http::HeaderMap;
use model::service::Protocol;
use model::{MeshSettings, Resource, ResourceKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const CONNECT: &[u8] = b"CONNECT shop.example:80 HTTP/1.1\r\nhost: shop.example:80\r\n\r\n";

fn allowed() -> (ResourceKey, Resource) {
    let mut settings = MeshSettings::default();
    settings.http.upgrade_types.push("connect".into());
    (ResourceKey::Settings, Resource::Settings(settings))
}

async fn head(caller: &mut DuplexStream) -> String {
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") {
        text.push(char::from(caller.read_u8().await.unwrap()));
    }
    text
}

/// Its bytes come back, those behind the head too, and each half ends for itself.
async fn echoes(mut caller: DuplexStream) {
    caller.write_all(&[CONNECT, b"early "].concat()).await.unwrap();
    let head = head(&mut caller).await;
    assert!(head.starts_with("HTTP/1.1 200 ") && !head.contains("content-length"), "{head}");
    caller.write_all(b"late").await.unwrap();
    caller.shutdown().await.unwrap();
    let mut rest = String::new();
    caller.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "early late");
}

/// One to the application of `edge`, by HTTP/2.
async fn tunnel(proxy: &Proxy) -> Result<codec::Tunnel, codec::SendError> {
    let (sender, driver) = http2::connect(proxy.enter_raw(), &ClientOptions::default()).await.unwrap();
    tokio::task::spawn_local(driver);
    sender.tunnel("shop.example:80", HeaderMap::new()).await
}

#[test]
fn it_is_refused_until_it_is_allowed() {
    story(async {
        let proxy = edge(vec![rule(0, "/")], &[Application::echo(fresh_ip())]);
        let mut caller = proxy.enter_raw();
        caller.write_all(CONNECT).await.unwrap();
        assert!(head(&mut caller).await.starts_with("HTTP/1.1 403 "));
        assert_eq!(tunnel(&proxy).await.unwrap_err().kind, SendErrorKind::Status(403));

        proxy.apply(vec![allowed()]);
        echoes(proxy.enter_raw()).await;
        let mut tunnel = tunnel(&proxy).await.unwrap();
        tunnel.write_all(b"hello").await.unwrap();
        tunnel.shutdown().await.unwrap();
        let mut text = String::new();
        tunnel.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "hello");
        let lines = proxy.logged();
        let seen = |line: &serde_json::Value| (line["method"].clone(), line["response_code"].clone());
        assert_eq!(seen(&lines[0]), ("CONNECT".into(), 403.into()));
        assert_eq!(lines[0]["response_code_details"], "upgrade_failed");
        let carried: Vec<_> =
            lines[2..].iter().map(|line| (seen(line).1, line["bytes_sent"].clone())).collect();
        assert_eq!(carried, [(200.into(), 10.into()), (200.into(), 5.into())]);
    });
}

#[test]
fn an_answer_that_opens_no_tunnel_is_no_success() {
    story(async {
        let mut answered = rule(0, "/");
        let direct = model::filter::DirectResponse { status: 200, body: "no".into() };
        answered.filters = vec![model::filter::FilterConfig::DirectResponse(direct)];
        let proxy = edge(vec![answered], &[]);
        proxy.apply(vec![allowed()]);
        let mut caller = proxy.enter_raw();
        caller.write_all(CONNECT).await.unwrap();
        assert!(head(&mut caller).await.starts_with("HTTP/1.1 502 "));
        assert_eq!(proxy.logged()[0]["response_code_details"], "upgrade_ignored");
    });
}

#[test]
fn the_mesh_carries_it_as_a_tunnel() {
    story(async {
        let authority = Authority::new();
        let ip = fresh_ip();
        let port = Application::echo(ip).port();
        let east = Cluster::start(&authority, "east", ip, port, Protocol::Http1);
        let proxy = client(&authority, Protocol::Http1, vec![east.endpoint("east")]);
        proxy.apply(vec![allowed()]);
        echoes(proxy.call_tcp()).await;
    });
}
