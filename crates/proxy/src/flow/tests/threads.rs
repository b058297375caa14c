//! Workers as threads: they share a listening socket that was handed in, and drain without losing a request.

use super::bed::{Application, Proxy, SOON, fresh_ip, story};
use super::edge::{edge_resources, rule};
use crate::options::{InheritedListener, Options};
use crate::start::workers;
use filter::Chains;
use identity::Identity;
use model::listener::{Gateway, GatewayListener, ListenerProtocol};
use model::{Resource, ResourceKey};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::mpsc;

/// Asks once over a kept connection, and again once the listener has moved to another port.
#[test]
fn a_kept_connection_is_said_goodbye_to_when_its_listener_has_moved() {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let inherit = |at: usize| InheritedListener { port: 80 + at as u16, fd: listeners[at].as_raw_fd() };
    let options =
        Options { no_capture: true, inherit_listener: vec![inherit(0), inherit(1)], ..Options::default() };
    let address = listeners[0].local_addr().unwrap();
    story(async {
        let application = Application::named(fresh_ip(), "shop");
        let resources = edge_resources(vec![rule(0, "")], &[application.address]);
        let proxy =
            Proxy::with(options, Chains::default(), fresh_ip(), "west", Identity::new(Vec::new()), resources);
        let workers = workers::spawn(1, &Arc::clone(&proxy.worker.shared), 7).unwrap();
        let (told, answers) = mpsc::channel();
        let caller = tokio::task::spawn_blocking(move || call_until_goodbye(address, &told));
        tokio::task::spawn_blocking(move || answers.recv().unwrap()).await.unwrap();
        let listener = GatewayListener {
            name: "http".into(),
            port: 81,
            protocol: ListenerProtocol::Http,
            host: None,
            address: None,
            tls: None,
            client: None,
        };
        let gateway = Gateway { namespace: "default".into(), name: "edge".into(), listeners: vec![listener] };
        let key = ResourceKey::Gateway("default".into(), "edge".into());
        proxy.apply(vec![(key, Resource::Gateway(gateway))]);
        assert!(caller.await.unwrap() > 0, "the last answer said that it was the last");
        proxy.trigger.start();
        tokio::task::spawn_blocking(move || workers.join()).await.unwrap();
    });
}

/// Sends requests over one connection until an answer says that it is the last. Each must be answered.
fn call_until_goodbye(address: SocketAddr, answered: &mpsc::Sender<()>) -> usize {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    for count in 1.. {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"shop") && !answer.ends_with(b"route_not_found") {
            let mut piece = [0; 1024];
            let len = stream.read(&mut piece).unwrap();
            assert_ne!(len, 0, "closed after {count} requests: {}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&piece[..len]);
        }
        let answer = String::from_utf8(answer).unwrap().to_ascii_lowercase();
        let _ = answered.send(());
        if answer.contains("connection: close") {
            return count;
        }
        assert!(answer.starts_with("http/1.1 200"), "{answer}");
    }
    0
}

#[test]
fn workers_share_a_socket_and_drain_without_loss() {
    const BEFORE_DRAIN: usize = 50;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let options = Options {
        no_capture: true,
        inherit_listener: vec![InheritedListener { port: 80, fd: listener.as_raw_fd() }],
        drain_seconds: 10,
        ..Options::default()
    };
    story(async {
        let application = Application::named(fresh_ip(), "shop");
        let resources = edge_resources(vec![rule(0, "")], &[application.address]);
        let proxy =
            Proxy::with(options, Chains::default(), fresh_ip(), "west", Identity::new(Vec::new()), resources);
        let workers = workers::spawn(2, &Arc::clone(&proxy.worker.shared), 7).unwrap();
        let (told, answers) = mpsc::channel();
        let callers: Vec<_> = (0..4)
            .map(|_| {
                let told = told.clone();
                tokio::task::spawn_blocking(move || call_until_goodbye(address, &told))
            })
            .collect();
        tokio::task::spawn_blocking(move || {
            assert_eq!(answers.iter().take(BEFORE_DRAIN).count(), BEFORE_DRAIN)
        })
        .await
        .unwrap();
        // In the middle of all of them.
        proxy.trigger.start();
        for caller in callers {
            assert!(caller.await.unwrap() > 0);
        }
        tokio::task::spawn_blocking(move || workers.join()).await.unwrap();
    });
    drop(listener);
    assert!(TcpStream::connect(address).is_err(), "the copies of the socket are closed");
}
