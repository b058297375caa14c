//! Sessions of datagrams at a gateway's listener, over real sockets.

use super::bed::{Proxy, SERVICE, SOON, endpoints, fresh_ip, plain, service, story, wait_until};
use super::l4_rules::rule;
use crate::accept::listen_datagrams;
use crate::flow::udp;
use daemon::Tasks;
use identity::Identity;
use model::l4_route::L4Rule;
use model::listener::{Gateway, GatewayListener, ListenerProtocol};
use model::route::Parent;
use model::service::Protocol;
use model::{Resource, ResourceKey};
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// The place that the configuration names; the socket of a story is elsewhere.
const AT: ([u8; 4], u16) = ([0, 0, 0, 0], 5353);

/// A proxy with a UDP listener and this rule, to this endpoint, and where it can be reached.
fn listening(rules: Vec<L4Rule>, endpoint: SocketAddr) -> (Proxy, SocketAddr, Tasks) {
    let listener = GatewayListener {
        name: "dns".into(),
        port: AT.1,
        protocol: ListenerProtocol::Udp,
        host: None,
        address: None,
        tls: None,
        client: None,
    };
    let gateway = Gateway { namespace: "default".into(), name: "edge".into(), listeners: vec![listener] };
    let mut resources = vec![
        (ResourceKey::Gateway("default".into(), "edge".into()), Resource::Gateway(gateway)),
        service(Protocol::Udp),
        endpoints(vec![plain(endpoint)]),
    ];
    let l4 = |rule: L4Rule| (ResourceKey::of_l4_rule(&rule), Resource::L4Rule(rule.into()));
    resources.extend(rules.into_iter().map(l4));
    let proxy = Proxy::new("west", Identity::new(Vec::new()), resources);
    let socket = listen_datagrams((fresh_ip(), 0).into()).unwrap().remove(0);
    let (address, tasks) = (socket.local_addr().unwrap(), Tasks::new());
    let serving = udp::serve(Rc::clone(&proxy.worker), socket, AT.into(), tasks.clone(), proxy.drain.clone());
    tokio::task::spawn_local(serving);
    (proxy, address, tasks)
}

fn to_service() -> L4Rule {
    let parent = Parent::Gateway { namespace: "default".into(), name: "edge".into(), listener: "dns".into() };
    rule(parent, &[(Some(SERVICE), 1)])
}

/// Sends back what comes, with who it seems to come from.
async fn echo() -> SocketAddr {
    let socket = UdpSocket::bind((fresh_ip(), 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        let mut buffer = [0; 2048];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let answer = format!("{} {}", String::from_utf8_lossy(&buffer[..length]), from.port());
            socket.send_to(answer.as_bytes(), from).await.unwrap();
        }
    });
    address
}

async fn caller(to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind((fresh_ip(), 0)).await.unwrap();
    socket.connect(to).await.unwrap();
    socket
}

async fn ask(caller: &UdpSocket, text: &str) -> String {
    caller.send(text.as_bytes()).await.unwrap();
    let mut buffer = [0; 2048];
    let length = timeout(SOON, caller.recv(&mut buffer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[test]
fn each_caller_has_a_session_of_its_own_that_is_logged_when_it_ends() {
    story(async {
        let (proxy, at, tasks) = listening(vec![to_service()], echo().await);
        let (one, two) = (caller(at).await, caller(at).await);
        let first = ask(&one, "a").await;
        let (word, port) = first.split_once(' ').unwrap();
        assert_eq!(word, "a");
        assert_eq!(ask(&one, "bb").await, format!("bb {port}"), "the same session");
        assert_ne!(ask(&two, "a").await, first, "another session");
        proxy.trigger.start();
        tasks.drain(SOON).await;
        let lines = proxy.logged();
        assert_eq!(lines.len(), 2);
        let line = lines.iter().find(|line| line["bytes_received"] == 3).unwrap();
        assert_eq!((&line["protocol"], &line["route_name"]), (&"UDP".into(), &"default/db".into()));
        assert_eq!((&line["upstream_cluster"], &line["direction"]), (&SERVICE.into(), &"gateway".into()));
        assert_eq!(line["bytes_sent"], (3 + 2 * (1 + port.len())) as u64);
        let metrics = proxy.worker.shared.observe.render(1, 1);
        let counted = metrics.lines().find(|line| {
            line.starts_with("istio_tcp_connections_closed_total{")
                && line.contains("request_protocol=\"udp\"")
        });
        assert!(counted.is_some_and(|line| line.ends_with(" 2")), "{counted:?}");
    });
}

#[test]
fn without_a_rule_or_a_listener_at_the_endpoint_a_session_ends_with_its_reason() {
    let check = |rules: Vec<L4Rule>, code: &'static str| {
        story(async move {
            // Bound and gone: nobody listens there.
            let gone = UdpSocket::bind((fresh_ip(), 0)).await.unwrap().local_addr().unwrap();
            let (proxy, at, tasks) = listening(rules, gone);
            let caller = caller(at).await;
            caller.send(b"a").await.unwrap();
            let is_closed =
                |line: &str| line.starts_with("istio_tcp_connections_closed_total{") && line.ends_with(" 1");
            let ended = || proxy.worker.shared.observe.render(1, 1).lines().any(is_closed);
            wait_until("the session has ended", ended).await;
            proxy.trigger.start();
            tasks.drain(SOON).await;
            assert_eq!(proxy.logged()[0]["response_code_details"], code);
        });
    };
    check(Vec::new(), "route_not_found");
    check(vec![L4Rule { backends: Vec::new(), ..to_service() }], "no_backend");
    check(vec![to_service()], "upstream_connect_failure");
}
