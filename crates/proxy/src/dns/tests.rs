#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod headless;

use super::*;
use crate::lookup::LookupQuery;
use crate::lookup::on_demand::{OnDemand, StreamState};
use crate::snapshot::SnapshotChange;
use crate::testing::{configured, host, service};
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use model::address::{MeshPrefix, mesh_only_candidate};
use model::capture_scope::blocks;
use model::names::Names;
use model::{Resource, ResourceKey, Subscription};
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

const OUTSIDE_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
const OUTSIDE: IpAddr = IpAddr::V4(OUTSIDE_V4);

/// A server of ours on real sockets, before a name server of the "host".
struct Bench {
    address: SocketAddr,
    tasks: JoinSet<()>,
}

async fn bench(stream: StreamState) -> Bench {
    bench_on(captured_but(""), |_| true, stream).await
}

/// A host whose capture leaves these blocks alone.
fn captured_but(excluded: &str) -> Arc<Captured> {
    Arc::new(Captured::new(&blocks(excluded).unwrap()))
}

/// The same on a host with, or without, a way to addresses of IPv6.
async fn bench_on(captured: Arc<Captured>, is_reached: IsReached, stream: StreamState) -> Bench {
    let (udp, tcp) = name_server_sockets().await;
    let outside = udp.local_addr().unwrap();
    let mut bench = bench_before(stream, outside, captured, is_reached).await;
    bench.tasks.spawn(name_server(udp, tcp));
    bench
}

/// Both transports on one port that the kernel chose for the stream; somebody may have the datagram's.
async fn name_server_sockets() -> (UdpSocket, TcpListener) {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
            return (udp, tcp);
        }
    }
}

/// The same with further resources.
async fn bench_with(upserts: Vec<(ResourceKey, Resource)>) -> Bench {
    let (udp, tcp) = name_server_sockets().await;
    let outside = udp.local_addr().unwrap();
    let store = configured("mesh.internal");
    store.apply(SnapshotChange { upserts, ..SnapshotChange::default() });
    let mut bench = bench_over(store, StreamState::Open, outside, captured_but(""), |_| true).await;
    bench.tasks.spawn(name_server(udp, tcp));
    bench
}

/// The same before any name server.
async fn bench_before(
    stream: StreamState,
    outside: SocketAddr,
    captured: Arc<Captured>,
    is_reached: IsReached,
) -> Bench {
    bench_over(configured("mesh.internal"), stream, outside, captured, is_reached).await
}

/// The same over this store.
async fn bench_over(
    store: Arc<SnapshotStore>,
    stream: StreamState,
    outside: SocketAddr,
    captured: Arc<Captured>,
    is_reached: IsReached,
) -> Bench {
    let names = Names {
        suffixes: vec!["mesh.internal".into()],
        shared_suffixes: vec!["svc.cluster.local".into()],
        hosts: Vec::new(),
        non_terminals: vec![host("shop.svc.cluster.local"), host("svc.cluster.local")],
        ..Names::default()
    };
    let names = (ResourceKey::Names, Resource::Names(names));
    store.apply(SnapshotChange { upserts: vec![names], ..SnapshotChange::default() });
    store.apply(SnapshotChange {
        upserts: vec![service("web.shop.svc.cluster.local")],
        ..SnapshotChange::default()
    });
    store.apply(SnapshotChange { upserts: vec![service("web.mesh.internal")], ..SnapshotChange::default() });
    let (lookup, asks) = Lookup::new(Arc::clone(&store));
    let mut on_demand = OnDemand::new(Arc::clone(&store), &lookup);
    on_demand.set_stream(stream);
    let mut tasks = JoinSet::new();
    tasks.spawn(control_plane(on_demand, asks, Arc::clone(&store)));
    let (udp, tcp) = name_server_sockets().await;
    let sockets = Sockets::new(udp, tcp);
    let address = sockets.local_addr().unwrap();
    let dns = Dns::new(store, lookup, Forwarder::new(vec![outside]), captured, is_reached);
    tasks.spawn(serve(sockets, dns));
    Bench { address, tasks }
}

/// Knows `late.mesh.internal`, and that there is nothing else.
async fn control_plane(
    mut on_demand: OnDemand,
    mut asks: mpsc::Receiver<LookupQuery>,
    store: Arc<SnapshotStore>,
) {
    while let Some(ask) = asks.recv().await {
        let change = match on_demand.query(ask).0 {
            Some(Subscription::Host(name)) if name == host("late.mesh.internal") => {
                SnapshotChange { upserts: vec![service("late.mesh.internal")], ..SnapshotChange::default() }
            }
            Some(other) => SnapshotChange { absent: vec![other], ..SnapshotChange::default() },
            None => continue,
        };
        on_demand.answer_waiters(&store.apply(change));
    }
}

/// Answers everything with [`OUTSIDE`], after a datagram with a wrong id; knows no `internal`.
async fn name_server(udp: UdpSocket, tcp: TcpListener) {
    let answer = |query: &[u8]| {
        let mut message = Message::from_vec(query).unwrap();
        message.metadata.message_type = MessageType::Response;
        let name = message.queries[0].name().clone();
        if ["internal.", "nobody.internal."].contains(&name.to_ascii().as_str()) {
            message.metadata.response_code = ResponseCode::NXDomain;
            return message;
        }
        message.add_answer(Record::from_rdata(name, 60, RData::A(OUTSIDE_V4.into())));
        message
    };
    let datagrams = async {
        let mut buffer = [0; 512];
        loop {
            let (length, from) = udp.recv_from(&mut buffer).await.unwrap();
            let mut message = answer(&buffer[..length]);
            let right = message.to_vec().unwrap();
            message.metadata.id ^= 1;
            udp.send_to(&message.to_vec().unwrap(), from).await.unwrap();
            udp.send_to(&right, from).await.unwrap();
        }
    };
    let streams = async {
        loop {
            let (mut stream, _) = tcp.accept().await.unwrap();
            let length = stream.read_u16().await.unwrap();
            let mut query = vec![0; usize::from(length)];
            stream.read_exact(&mut query).await.unwrap();
            let reply = answer(&query).to_vec().unwrap();
            stream.write_u16(reply.len() as u16).await.unwrap();
            stream.write_all(&reply).await.unwrap();
        }
    };
    tokio::join!(datagrams, streams);
}

fn query(name: &str, kind: RecordType) -> Vec<u8> {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_str(name).unwrap(), kind));
    message.to_vec().unwrap()
}

async fn ask_udp(bench: &Bench, query: &[u8]) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(query, bench.address).await.unwrap();
    let mut buffer = [0; 2048];
    let length =
        tokio::time::timeout(Duration::from_secs(20), socket.recv(&mut buffer)).await.unwrap().unwrap();
    Message::from_vec(&buffer[..length]).unwrap()
}

async fn ask_tcp(bench: &Bench, query: &[u8]) -> Message {
    let mut stream = TcpStream::connect(bench.address).await.unwrap();
    stream.write_u16(query.len() as u16).await.unwrap();
    stream.write_all(query).await.unwrap();
    let length = stream.read_u16().await.unwrap();
    let mut reply = vec![0; usize::from(length)];
    stream.read_exact(&mut reply).await.unwrap();
    Message::from_vec(&reply).unwrap()
}

/// Code, addresses, and that the answer belongs to the query.
fn read(reply: &Message) -> (ResponseCode, Vec<IpAddr>) {
    assert_eq!((reply.metadata.id, reply.metadata.message_type), (4711, MessageType::Response));
    let address = |record: &Record| match &record.data {
        RData::A(a) => Some(IpAddr::V4(a.0)),
        RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
        _ => None,
    };
    (reply.metadata.response_code, reply.answers.iter().filter_map(address).collect())
}

/// Both mesh-only addresses of a host.
fn addresses(host: &str) -> [IpAddr; 2] {
    let v4 = mesh_only_candidate(host, 0);
    [v4.into(), MeshPrefix::DEFAULT.address(v4).into()]
}

async fn check(name: &str, kind: RecordType, code: ResponseCode, addresses: &[IpAddr]) {
    let mut bench = bench(StreamState::Open).await;
    let query = query(name, kind);
    for reply in [ask_udp(&bench, &query).await, ask_tcp(&bench, &query).await] {
        assert_eq!(read(&reply), (code, addresses.to_vec()), "{name} {kind}");
    }
    bench.tasks.shutdown().await;
}

#[tokio::test]
async fn a_mesh_name_has_its_mesh_addresses() {
    let [v4, v6] = addresses("web.mesh.internal");
    check("web.mesh.internal.", RecordType::A, ResponseCode::NoError, &[v4]).await;
    check("WEB.Mesh.Internal.", RecordType::A, ResponseCode::NoError, &[v4]).await;
    check("web.mesh.internal.", RecordType::AAAA, ResponseCode::NoError, &[v6]).await;
    check("web.mesh.internal.", RecordType::ANY, ResponseCode::NoError, &[v4, v6]).await;
}

#[tokio::test]
async fn a_name_that_is_asked_for_the_first_time_is_looked_up() {
    let [v4, v6] = addresses("late.mesh.internal");
    check("late.mesh.internal.", RecordType::A, ResponseCode::NoError, &[v4]).await;
    check("late.mesh.internal.", RecordType::AAAA, ResponseCode::NoError, &[v6]).await;
}

#[tokio::test]
async fn what_is_missing_is_no_data_with_how_long_it_holds() {
    check("web.mesh.internal.", RecordType::MX, ResponseCode::NoError, &[]).await;
    // Nobody can open a connection over IPv6 here.
    let mut bench = bench_on(captured_but(""), |_| false, StreamState::Open).await;
    for name in ["web.mesh.internal.", "late.mesh.internal."] {
        let reply = ask_udp(&bench, &query(name, RecordType::ANY)).await;
        assert_eq!(read(&reply).1.len(), 1, "{name} still has its other address");
    }
    let reply = ask_udp(&bench, &query("web.mesh.internal.", RecordType::AAAA)).await;
    assert_eq!(read(&reply), (ResponseCode::NoError, Vec::new()));
    assert_eq!(reply.authorities.len(), 1);
    assert!(reply.metadata.authoritative && reply.metadata.recursion_available);
    bench.tasks.shutdown().await;
}

/// The host's flags exclude, or annotations of its group do; what they include is never less than the mesh.
#[tokio::test]
async fn an_address_that_is_not_captured_is_told_to_nobody() {
    let [v4, v6] = addresses("web.mesh.internal");
    let annotated = |what: &str, value: &str| {
        let captured = captured_but("");
        let name = format!("traffic.sidecar.istio.io/{what}").into();
        captured.configure(MeshPrefix::DEFAULT, &[(name, value.into())]);
        captured
    };
    for (captured, expected) in [
        (captured_but("::/0"), vec![v4]),
        (captured_but("fd4c:656e::/32,10.0.0.0/8"), vec![v4]),
        (captured_but("240.0.0.0/4"), vec![v6]),
        (captured_but("10.0.0.0/8"), vec![v4, v6]),
        (annotated("excludeOutboundIPRanges", "fd00::/8"), vec![v4]),
        (annotated("excludeOutboundIPRanges", "0.0.0.0/0,::/0"), vec![]),
        (annotated("includeOutboundIPRanges", "10.0.0.0/8"), vec![v4, v6]),
        (annotated("excludeOutboundIPRanges", "anything"), vec![v4, v6]),
    ] {
        let mut bench = bench_on(captured, |_| true, StreamState::Open).await;
        let reply = ask_udp(&bench, &query("web.mesh.internal.", RecordType::ANY)).await;
        assert_eq!(read(&reply), (ResponseCode::NoError, expected));
        bench.tasks.shutdown().await;
    }
}

#[tokio::test]
async fn an_absent_name_is_nxdomain() {
    check("nope.mesh.internal.", RecordType::A, ResponseCode::NXDomain, &[]).await;
    check("\\*.mesh.internal.", RecordType::A, ResponseCode::NXDomain, &[]).await;
}

#[tokio::test]
async fn another_name_is_forwarded_and_a_forged_answer_is_not_believed() {
    check("example.com.", RecordType::A, ResponseCode::NoError, &[OUTSIDE]).await;
    check("notmesh.internal.", RecordType::A, ResponseCode::NoError, &[OUTSIDE]).await;
}

#[tokio::test]
async fn an_unknown_name_without_a_stream_is_servfail_and_a_known_one_is_answered() {
    let mut bench = bench(StreamState::Down).await;
    let reply = ask_udp(&bench, &query("nope.mesh.internal.", RecordType::A)).await;
    assert_eq!(read(&reply), (ResponseCode::ServFail, Vec::new()));
    let reply = ask_udp(&bench, &query("web.mesh.internal.", RecordType::A)).await;
    assert_eq!(read(&reply).1, addresses("web.mesh.internal")[..1]);
    bench.tasks.shutdown().await;
}

#[tokio::test]
async fn what_is_no_query_is_refused_or_dropped() {
    let mut bench = bench(StreamState::Open).await;
    let mut truncated = query("web.mesh.internal.", RecordType::A);
    truncated.truncate(20);
    let reply = ask_udp(&bench, &truncated).await;
    assert_eq!(read(&reply).0, ResponseCode::FormErr);
    let mut update = query("web.mesh.internal.", RecordType::A);
    update[2] = (update[2] & 0x87) | (4 << 3);
    let reply = ask_udp(&bench, &update).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::NotImp);
    // An answer sent to us, and a scrap: nothing comes back, so the next reply is for the next query.
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut response = query("web.mesh.internal.", RecordType::A);
    response[2] |= 0x80;
    socket.send_to(&response, bench.address).await.unwrap();
    socket.send_to(&[1, 2, 3], bench.address).await.unwrap();
    let mut good = query("web.mesh.internal.", RecordType::A);
    good[1] = 0;
    socket.send_to(&good, bench.address).await.unwrap();
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer).await.unwrap();
    assert_eq!(buffer[..length][..2], good[..2]);
    bench.tasks.shutdown().await;
}

#[tokio::test]
async fn a_name_above_a_mesh_name_exists() {
    for name in ["mesh.internal.", "svc.cluster.local.", "shop.svc.cluster.local.", "internal."] {
        check(name, RecordType::A, ResponseCode::NoError, &[]).await;
    }
    // Control runs: beside and below them nothing does.
    check("nobody.internal.", RecordType::A, ResponseCode::NXDomain, &[]).await;
    check("a.b.mesh.internal.", RecordType::A, ResponseCode::NXDomain, &[]).await;
}

#[tokio::test]
async fn unknown_names_of_a_shared_zone_are_forwarded_and_known_ones_are_answered() {
    let [ip, _] = addresses("web.shop.svc.cluster.local");
    check("web.shop.svc.cluster.local.", RecordType::A, ResponseCode::NoError, &[ip]).await;
    check("other.shop.svc.cluster.local.", RecordType::A, ResponseCode::NoError, &[OUTSIDE]).await;
    check("_http._tcp.other.shop.svc.cluster.local.", RecordType::SRV, ResponseCode::NoError, &[OUTSIDE])
        .await;
    // Without the control plane too: others may know.
    let mut bench = bench(StreamState::Down).await;
    let reply = ask_udp(&bench, &query("other.shop.svc.cluster.local.", RecordType::A)).await;
    assert_eq!(read(&reply), (ResponseCode::NoError, vec![OUTSIDE]));
    bench.tasks.shutdown().await;
}

/// More queries than may wait for others, none of which is ever answered.
#[tokio::test]
async fn a_silent_name_server_does_not_take_mesh_names_along() {
    let (silent, tcp) = name_server_sockets().await;
    let outside = silent.local_addr().unwrap();
    let mut bench = bench_before(StreamState::Open, outside, captured_but(""), |_| true).await;
    let flood = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let outside = query("example.com.", RecordType::A);
    let mut buffer = [0; 2048];
    // The first one that is too many is told so at once; then all places are taken.
    let mut sent = 0;
    let refused = loop {
        flood.send_to(&outside, bench.address).await.unwrap();
        sent += 1;
        tokio::task::yield_now().await;
        if let Ok(length) = flood.try_recv(&mut buffer) {
            break Message::from_vec(&buffer[..length]).unwrap();
        }
    };
    assert!(sent > FORWARDED_UDP_MAX, "{sent}");
    assert_eq!(read(&refused).0, ResponseCode::ServFail);
    let mut connections = Vec::new();
    for _ in 0..FORWARDED_TCP_MAX {
        let mut stream = TcpStream::connect(bench.address).await.unwrap();
        stream.write_u16(outside.len() as u16).await.unwrap();
        stream.write_all(&outside).await.unwrap();
        connections.push((stream, tcp.accept().await.unwrap()));
    }
    for name in ["web.mesh.internal.", "late.mesh.internal."] {
        let query = query(name, RecordType::A);
        for reply in [ask_udp(&bench, &query).await, ask_tcp(&bench, &query).await] {
            assert_eq!(read(&reply).1.len(), 1, "{name}");
        }
    }
    assert_eq!(read(&ask_tcp(&bench, &outside).await).0, ResponseCode::ServFail);
    bench.tasks.shutdown().await;
}

/// Loopback carries datagrams of any size; a client that announced them gets them whole.
#[tokio::test]
async fn a_large_answer_is_not_cut_off() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let forwarder = Forwarder::new(vec![server.local_addr().unwrap()]);
    let sent = query("example.com.", RecordType::TXT);
    let answered = async {
        let mut buffer = [0; 512];
        let (length, from) = server.recv_from(&mut buffer).await.unwrap();
        let mut reply = buffer[..length].to_vec();
        reply[2] |= 0x80;
        reply.resize(20_000, 7);
        server.send_to(&reply, from).await.unwrap();
    };
    let (reply, ()) = tokio::join!(forwarder.ask(&sent, Transport::Udp, None), answered);
    assert_eq!(reply.unwrap().len(), 20_000);
}
