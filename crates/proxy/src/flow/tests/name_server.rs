//! A name server with a zone that a test changes.

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{RData, Record, RecordType};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use tokio::net::UdpSocket;

/// Answers from its zone, over UDP.
pub(super) struct NameServer {
    pub(super) address: SocketAddr,
    zone: Zone,
    /// Queries so far.
    pub(super) asked: Rc<Cell<u32>>,
}

type Zone = Rc<RefCell<BTreeMap<String, Vec<IpAddr>>>>;

impl NameServer {
    /// Empty.
    pub(super) async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server =
            Self { address: socket.local_addr().unwrap(), zone: Zone::default(), asked: Rc::default() };
        let (zone, asked) = (Rc::clone(&server.zone), Rc::clone(&server.asked));
        tokio::task::spawn_local(async move {
            let mut buffer = [0; 4096];
            loop {
                let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
                asked.set(asked.get() + 1);
                let reply = answer(&zone.borrow(), &buffer[..length]);
                socket.send_to(&reply, client).await.unwrap();
            }
        });
        server
    }

    /// From now on a name has these addresses, for a second.
    pub(super) fn set(&self, name: &str, addresses: &[IpAddr]) {
        self.zone.borrow_mut().insert(name.to_owned(), addresses.to_vec());
    }
}

fn answer(zone: &BTreeMap<String, Vec<IpAddr>>, query: &[u8]) -> Vec<u8> {
    let query = Message::from_vec(query).unwrap();
    let question = query.queries[0].clone();
    let mut reply = Message::new(query.metadata.id, MessageType::Response, query.metadata.op_code);
    let name = question.name().to_ascii();
    match zone.get(name.trim_end_matches('.')) {
        None => reply.metadata.response_code = ResponseCode::NXDomain,
        Some(addresses) => {
            let data = addresses.iter().map(|ip| match ip {
                IpAddr::V4(v4) => RData::A(A(*v4)),
                IpAddr::V6(v6) => RData::AAAA(AAAA(*v6)),
            });
            let is_asked_for = |data: &RData| data.record_type() == question.query_type();
            for data in data.filter(is_asked_for) {
                reply.add_answer(Record::from_rdata(question.name().clone(), 1, data));
            }
            debug_assert!(matches!(question.query_type(), RecordType::A | RecordType::AAAA));
        }
    }
    reply.add_queries([question]);
    reply.to_vec().unwrap()
}
