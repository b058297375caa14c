//! Name servers on a captured host: the one that an application asks must be the one that answers.
//!
//! Only inside the lab is port 53 captured, so this program runs itself there.

use crate::demo::Demo;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

/// Longest wait for an answer; the proxy's own limit is far below.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(40);

/// Asks name servers of its own in `host`; panics (and fails the command) when another one answers.
pub(crate) fn ask_in_lab(demo: &Demo, host: &str) {
    let this = std::env::current_exe().expect("this program");
    let this = this.to_str().expect("UTF-8");
    demo.run(host, &[this, "--exact", "resolver::asks_from_inside_the_lab", "--ignored", "--nocapture"]);
}

#[test]
#[ignore = "a program of its own, run inside a lab by ask_in_lab"]
fn asks_from_inside_the_lab() {
    // A caching resolver on loopback, as systemd-resolved is, and the server that it asks.
    let upstream = SocketAddr::from(([127, 0, 0, 61], 53));
    let resolver = SocketAddr::from(([127, 0, 0, 53], 53));
    let answers = Ipv4Addr::new(192, 0, 2, 61);
    let socket = UdpSocket::bind(upstream).expect("the upstream's socket");
    let listener = TcpListener::bind(upstream).expect("the upstream's listener");
    std::thread::spawn(move || serve(&socket, |query| answer(query, answers)));
    std::thread::spawn(move || serve_tcp(&listener, answers));
    let socket = UdpSocket::bind(resolver).expect("the resolver's socket");
    std::thread::spawn(move || serve(&socket, |query| ask_udp(query, upstream)));

    let outside = query("db.example.com");
    assert_eq!(address(&ask_udp(&outside, upstream)), answers, "the server that was asked");
    assert_eq!(address(&ask_tcp(&outside, upstream)), answers, "the same over TCP");
    assert_eq!(address(&ask_udp(&outside, resolver)), answers, "through a resolver on this host");
    let mesh = address(&ask_udp(&query("web-api.mesh.internal"), resolver));
    assert!((240..255).contains(&mesh.octets()[0]), "a name of the mesh, whoever was asked: {mesh}");
}

fn serve(socket: &UdpSocket, answer: impl Fn(&[u8]) -> Vec<u8>) {
    let mut buffer = [0; 512];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        socket.send_to(&answer(&buffer[..length]), from).expect("answered");
    }
}

fn serve_tcp(listener: &TcpListener, address: Ipv4Addr) {
    for stream in listener.incoming() {
        let mut stream = stream.expect("a connection");
        let query = read_framed(&mut stream);
        write_framed(&mut stream, &answer(&query, address));
    }
}

fn query(name: &str) -> Vec<u8> {
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(label.len() as u8);
        query.extend(label.as_bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    query
}

/// The query, as an answer with one address.
fn answer(query: &[u8], address: Ipv4Addr) -> Vec<u8> {
    let mut reply = query.to_vec();
    reply[2] |= 0x80;
    reply[7] = 1;
    reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
    reply.extend(address.octets());
    reply
}

/// The last four bytes of an answer with one address.
fn address(reply: &[u8]) -> Ipv4Addr {
    assert_eq!((reply[3] & 15, &reply[6..8]), (0, &[0, 1][..]), "one address: {reply:?}");
    let last: [u8; 4] = *reply.last_chunk().expect("an answer");
    last.into()
}

fn ask_udp(query: &[u8], server: SocketAddr) -> Vec<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(ANSWER_TIME_MAX)).expect("set");
    socket.send_to(query, server).expect("asked");
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer).expect("an answer in time");
    buffer[..length].to_vec()
}

fn ask_tcp(query: &[u8], server: SocketAddr) -> Vec<u8> {
    let mut stream = TcpStream::connect(server).expect("connected");
    stream.set_read_timeout(Some(ANSWER_TIME_MAX)).expect("set");
    write_framed(&mut stream, query);
    read_framed(&mut stream)
}

fn write_framed(stream: &mut TcpStream, message: &[u8]) {
    stream.write_all(&(message.len() as u16).to_be_bytes()).expect("written");
    stream.write_all(message).expect("written");
}

fn read_framed(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).expect("a length");
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).expect("a message");
    message
}
