//! Backends that allow few HTTP/2 streams at once.

use super::bed::{Proxy, endpoints, fresh_ip, get, plain, service, story};
use super::edge::{edge, rule};
use crate::accept::listen;
use crate::upstream::http2_pool::CONNECTIONS_PER_KEY_MAX;
use codec::{Body, Reply, ServerOptions};
use http::Response;
use model::service::Protocol;
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_local};

/// A backend that allows few streams at once on a connection, and answers all but `/long`.
struct Few {
    address: SocketAddr,
    connections: Rc<Cell<usize>>,
    /// Requests for `/long` wait for it.
    long: Rc<Notify>,
    /// Each says goodbye to one connection.
    goodbye: Rc<Notify>,
}

impl Few {
    fn start(streams: u32) -> Self {
        let listener = listen(SocketAddr::new(fresh_ip(), 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, long) = (Rc::<Cell<usize>>::default(), Rc::new(Notify::new()));
        let (count, token) = (Rc::clone(&connections), Rc::clone(&long));
        let goodbye = Rc::new(Notify::new());
        let farewell = Rc::clone(&goodbye);
        spawn_local(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.set(count.get() + 1);
                let (token, farewell) = (Rc::clone(&token), Rc::clone(&farewell));
                spawn_local(async move {
                    let options =
                        ServerOptions { max_concurrent_streams: streams, ..ServerOptions::default() };
                    let service = |request: http::Request<Body>| {
                        let held = (request.uri().path() == "/long").then(|| Rc::clone(&token));
                        async move {
                            if let Some(held) = held {
                                held.notified().await;
                            }
                            Reply::Response(Response::new(Body::full("short")))
                        }
                    };
                    let _ = codec::http2::serve(stream, &options, farewell.notified(), service).await;
                });
            }
        });
        Self { address, connections, long, goodbye }
    }

    /// How many wait, beside what it holds itself: here, at the listener, at each connection.
    fn waiting(&self) -> usize {
        Rc::strong_count(&self.long) - 2 - self.connections.get()
    }
}

fn edge2(backends: Vec<SocketAddr>) -> Proxy {
    let proxy = edge(vec![rule(0, "")], &[]);
    proxy.apply(vec![service(Protocol::Http2), endpoints(backends.into_iter().map(plain).collect())]);
    proxy
}

/// Requests that will not be answered, until there are so many.
async fn long(
    proxy: &Proxy,
    few: &Few,
    mut waiting: Vec<JoinHandle<()>>,
    count: usize,
) -> Vec<JoinHandle<()>> {
    while waiting.len() < count {
        let mut caller = proxy.enter().await;
        waiting.push(spawn_local(async move { drop(caller.send(get("/long")).await) }));
    }
    super::bed::wait_until("all are there", || few.waiting() == count).await;
    waiting
}

#[test]
fn where_the_streams_of_a_connection_are_in_use_another_is_opened() {
    story(async {
        let few = Few::start(3);
        let proxy = edge2(vec![few.address]);
        let _waiting = long(&proxy, &few, Vec::new(), 8).await;
        let mut caller = proxy.enter().await;
        for _ in 0..5 {
            assert_eq!(caller.send(get("/")).await.body(), "short");
        }
        assert_eq!(few.connections.get(), 3);
        assert!(proxy.logged().iter().all(|line| line["attempts"] == 1), "nobody was refused");
    });
}

#[test]
fn where_all_streams_are_in_use_the_failure_has_a_name() {
    story(async {
        let few = Few::start(1);
        let proxy = edge2(vec![few.address]);
        let mut waiting = long(&proxy, &few, Vec::new(), CONNECTIONS_PER_KEY_MAX).await;
        // One that ends makes room for who waits.
        let mut caller = proxy.enter().await;
        let next = spawn_local(async move { caller.send(get("/")).await });
        few.long.notify_one();
        assert_eq!(next.await.unwrap().body(), "short");
        waiting.retain(|one| !one.is_finished());
        let _waiting = long(&proxy, &few, waiting, CONNECTIONS_PER_KEY_MAX).await;
        let response = proxy.enter().await.send(get("/")).await;
        assert_eq!((response.status().as_u16(), response.body().as_str()), (503, "upstream_overflow"));
        assert_eq!(few.connections.get(), CONNECTIONS_PER_KEY_MAX);
        assert!(
            !proxy.entry().states.is_ejected(0, proxy.worker.uptime.now_ms()),
            "that is nothing against it"
        );
    });
}

#[test]
fn who_waits_for_room_where_none_will_be_goes_elsewhere() {
    story(async {
        let few = Few::start(1);
        let proxy = edge2(vec![few.address]);
        let _waiting = long(&proxy, &few, Vec::new(), CONNECTIONS_PER_KEY_MAX).await;
        let mut caller = proxy.enter().await;
        let next = spawn_local(async move { caller.send(get("/")).await });
        few.goodbye.notify_one();
        assert_eq!(next.await.unwrap().body(), "short");
        assert_eq!(few.connections.get(), CONNECTIONS_PER_KEY_MAX + 1);
    });
}

/// Nothing of it was sent: where another endpoint has room, it goes there.
#[test]
fn an_overflow_goes_to_another_endpoint() {
    story(async {
        let few = Few::start(1);
        let proxy = edge2(vec![few.address]);
        let _waiting = long(&proxy, &few, Vec::new(), CONNECTIONS_PER_KEY_MAX).await;
        let roomy = Few::start(100);
        proxy.apply(vec![endpoints(vec![plain(few.address), plain(roomy.address)])]);
        let mut caller = proxy.enter().await;
        for _ in 0..3 {
            assert_eq!(caller.send(get("/")).await.body(), "short");
        }
    });
}
