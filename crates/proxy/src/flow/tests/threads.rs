//! Workers as threads: they share a listening socket that was handed in, and drain without losing a request.

use super::bed::{Application, Proxy, fresh_ip, story};
use super::edge::{edge_resources, rule};
use crate::options::{InheritedListener, Options};
use crate::worker;
use identity::Identity;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::mpsc;

/// Sends requests one after the other, each on a connection of its own, and says each status, until nobody
/// listens any more.
fn call_until_refused(address: SocketAddr, told: &mpsc::Sender<String>) {
    while let Ok(mut stream) = TcpStream::connect(address) {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        if told.send(answer.chars().take(12).collect()).is_err() {
            return;
        }
    }
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
        let proxy = Proxy::with(options, fresh_ip(), "west", Identity::new(Vec::new()), resources);
        let workers = worker::spawn(2, &Arc::clone(&proxy.worker.shared), 7).unwrap();
        let (told, heard) = mpsc::channel();
        let callers = tokio::task::spawn_blocking(move || {
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    let told = told.clone();
                    scope.spawn(move || call_until_refused(address, &told));
                }
                drop(told);
                let answers: Vec<String> = heard.iter().take(BEFORE_DRAIN).collect();
                drop(heard);
                answers
            })
        });
        let answers = callers.await.unwrap();
        assert!(answers.iter().all(|status| status == "HTTP/1.1 200"), "{answers:?}");
        proxy.trigger.start();
        tokio::task::spawn_blocking(move || workers.join()).await.unwrap();
    });
    drop(listener);
    assert!(TcpStream::connect(address).is_err(), "the copies of the socket are closed");
}
