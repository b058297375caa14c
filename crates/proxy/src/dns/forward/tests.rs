#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use tokio::net::UdpSocket;

const QUERY: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03web\x00\x00\x01\x00\x01";

/// A name server on a socket of its own; `says` is code and number of answers, `None`: it swallows all.
async fn server(says: Option<(u8, u8)>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let Some((code, answers)) = says else { continue };
            let mut reply = buffer[..length].to_vec();
            reply[2] |= 0x80;
            reply[3] = code;
            reply[7] = answers;
            socket.send_to(&reply, from).await.unwrap();
        }
    });
    address
}

const RECORDS: Option<(u8, u8)> = Some((0, 1));
const NXDOMAIN: Option<(u8, u8)> = Some((3, 0));
const SERVFAIL: Option<(u8, u8)> = Some((2, 0));
const SILENT: Option<(u8, u8)> = None;

/// A forwarder with these servers in its file, and the server that the client asked.
async fn check(servers: &[Option<(u8, u8)>], asked: Option<usize>, expected: Option<(u8, u8)>) {
    let mut addresses = Vec::new();
    for says in servers {
        addresses.push(server(*says).await);
    }
    let forwarder =
        of(Resolver { timeout: Duration::from_secs(1), attempts: 1, ..Resolver::of(addresses.clone()) });
    let reply = forwarder.ask(QUERY, Transport::Udp, asked.map(|index| addresses[index])).await;
    let said = reply.as_ref().map(|reply| (reply[3] & 15, reply[7]));
    assert_eq!(said, expected, "{servers:?} {asked:?}");
    if let Some(reply) = reply {
        assert_eq!(reply[..2], QUERY[..2], "the client's id");
    }
}

/// As if a file had said so; it does not exist, so what is known stays.
fn of(resolver: Resolver) -> Forwarder {
    let known = Known { written: None, resolver: Arc::new(resolver), slow: HashMap::new() };
    Forwarder::with(Source::File(PathBuf::from("/nonexistent/resolv.conf")), known)
}

#[tokio::test]
async fn a_dead_or_failing_server_is_passed_over() {
    check(&[SILENT, RECORDS], None, RECORDS).await;
    check(&[SERVFAIL, RECORDS], None, RECORDS).await;
    check(&[SERVFAIL, NXDOMAIN], None, NXDOMAIN).await;
    check(&[SILENT, NXDOMAIN], Some(0), NXDOMAIN).await;
}

#[tokio::test]
async fn the_first_servers_word_counts() {
    check(&[NXDOMAIN, RECORDS], None, NXDOMAIN).await;
    check(&[RECORDS, NXDOMAIN], Some(1), NXDOMAIN).await;
    check(&[SERVFAIL, SERVFAIL], None, SERVFAIL).await;
}

#[tokio::test]
async fn a_server_that_was_slow_is_asked_last() {
    let (dead, alive) = (server(SILENT).await, server(RECORDS).await);
    let forwarder = of(Resolver::of(vec![dead, alive]));
    assert!(forwarder.ask(QUERY, Transport::Udp, None).await.is_some());
    let first = |forwarder: &Forwarder, asked| forwarder.plan(asked).1[0].server;
    assert_eq!(first(&forwarder, None), alive);
    assert_eq!(first(&forwarder, Some(dead)), alive);
    forwarder.set_answered(dead);
    assert_eq!(first(&forwarder, None), dead);
}

/// Fifteen servers that say nothing, where beside the local socket there are two.
#[test]
fn a_query_closes_what_it_has_for_a_socket_that_it_may_not_have() {
    let (further, live) = (Semaphore::new(2), Arc::new(()));
    let mut sockets = QuerySockets { open: FuturesUnordered::new(), has_own: false, further: &further };
    let mut open = Vec::new();
    for _ in 0..15 {
        let socket = Arc::clone(&live);
        sockets.open(|further| async move {
            std::future::pending::<()>().await;
            drop(socket);
            (Step { after: Duration::ZERO, server: "127.0.0.1:53".parse().unwrap() }, Ok(Vec::new()), further)
        });
        open.push(Arc::strong_count(&live) - 1);
    }
    assert_eq!(open[..9], [1, 2, 3, 1, 2, 3, 1, 2, 3]);
    drop(sockets);
    assert_eq!(further.available_permits(), 2);
}

#[tokio::test]
async fn where_no_further_socket_is_left_the_next_server_is_asked_instead() {
    let (dead, alive) = (server(SILENT).await, server(RECORDS).await);
    let forwarder = of(Resolver::of(vec![dead, alive]));
    let taken = forwarder.further.acquire_many(FURTHER_SOCKETS_MAX as u32).await.unwrap();
    assert!(forwarder.ask(QUERY, Transport::Udp, None).await.is_some());
    drop(taken);
    assert!(forwarder.ask(QUERY, Transport::Udp, None).await.is_some());
    assert_eq!(forwarder.further.available_permits(), FURTHER_SOCKETS_MAX);
}

#[tokio::test]
async fn a_server_of_the_clients_choice_answers_and_no_other() {
    let (listed, chosen) = (server(NXDOMAIN).await, server(RECORDS).await);
    let forwarder = of(Resolver::of(vec![listed]));
    let reply = forwarder.ask(QUERY, Transport::Udp, Some(chosen)).await.unwrap();
    assert_eq!((reply[3] & 15, reply[7]), (0, 1));
    let reply = forwarder.ask(QUERY, Transport::Udp, None).await.unwrap();
    assert_eq!(reply[3] & 15, 3);
}

#[test]
fn a_file_that_changed_is_read_again() {
    let path = std::env::temp_dir().join(format!("leno-resolv-{}", std::process::id()));
    std::fs::write(&path, "nameserver 10.0.0.1\n").unwrap();
    let mut known =
        Known { written: None, resolver: Arc::new(Resolver::of(Vec::new())), slow: HashMap::new() };
    known.refresh(&path);
    assert_eq!(known.resolver.servers, ["10.0.0.1:53".parse().unwrap()]);
    std::fs::write(&path, "nameserver 10.0.0.2\n").unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    known.refresh(&path);
    assert_eq!(known.resolver.servers, ["10.0.0.2:53".parse().unwrap()]);
    std::fs::remove_file(&path).unwrap();
    known.refresh(&path);
    assert_eq!(
        known.resolver.servers,
        ["10.0.0.2:53".parse().unwrap()],
        "a file that is gone takes nothing along"
    );
}
