//! Connections to backends of which a policy says something.

use super::bed::{Application, Proxy, SERVICE, fresh_ip, story};
use super::client_times::passes;
use super::edge::{edge, rule};
use crate::testing::host;
use model::traffic::{AttachLevel, AttachedPolicy, ConnectionPool, TcpKeepaliveProbes, TrafficPolicy};
use model::{ObjectRef, Origin, Resource, ResourceKey};
use std::num::NonZeroU32;
use std::time::Duration;

fn attach(proxy: &Proxy, pool: ConnectionPool) {
    let origin = Origin { object: ObjectRef::new("TrafficPolicy", "default", "p"), file: "".into(), line: 0 };
    let key = ResourceKey::TrafficPolicy {
        host: host(SERVICE),
        kind: "TrafficPolicy".into(),
        namespace: "default".into(),
        name: "p".into(),
    };
    let policy = TrafficPolicy { connection_pool: Some(pool.into()), ..TrafficPolicy::default() };
    let attached =
        AttachedPolicy { level: AttachLevel::Backend, origin, created_s: 0, policy: policy.into() };
    proxy.apply(vec![(key, Resource::TrafficPolicy(attached))]);
}

#[test]
fn a_connection_carries_as_many_requests_as_is_said() {
    story(async {
        let application = Application::named(fresh_ip(), "shop");
        let proxy = edge(vec![rule(0, "")], &[application.address]);
        let max_requests_per_connection = NonZeroU32::new(2);
        attach(&proxy, ConnectionPool { max_requests_per_connection, ..ConnectionPool::default() });
        let mut caller = proxy.enter().await;
        for _ in 0..5 {
            assert_eq!(caller.get("/").await.status(), 200);
        }
        assert_eq!(application.connections.get(), 3);
    });
}

/// In a time of its own: what has been idle, or open, for too long is used no more.
#[test]
fn a_connection_is_kept_as_long_as_is_said() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    tokio::task::LocalSet::new().block_on(&runtime.unwrap(), async {
        let second = |count| Some(Duration::from_secs(count));
        let idle = ConnectionPool { http_idle_timeout: second(10), ..ConnectionPool::default() };
        let old = ConnectionPool { max_connection_duration: second(25), ..ConnectionPool::default() };
        // What is said, how long a caller pauses between two requests, and how many connections four of them need.
        for (pool, pause, expected) in [(&idle, 9, 1), (&idle, 11, 4), (&old, 9, 2), (&old, 5, 1)] {
            let application = Application::named(fresh_ip(), "shop");
            let proxy = edge(vec![rule(0, "")], &[application.address]);
            attach(&proxy, pool.clone());
            let mut caller = proxy.enter().await;
            for _ in 0..4 {
                assert_eq!(caller.get("/").await.status(), 200);
                passes(Duration::from_secs(pause)).await;
            }
            assert_eq!(application.connections.get(), expected, "{pool:?} {pause}");
        }
    });
}

#[test]
fn the_kernel_asks_as_is_said_whether_a_backend_is_there() {
    story(async {
        let listener = std::net::TcpListener::bind((fresh_ip(), 0)).unwrap();
        let stream = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let said =
            TcpKeepaliveProbes { probes: Some(7), time: Some(Duration::from_secs(40)), interval: None };
        crate::accept::keep_alive(&stream, said);
        let socket = socket2::SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 7);
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(40));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(3));
        assert_eq!(socket.tcp_user_timeout().unwrap(), None);
    });
}
