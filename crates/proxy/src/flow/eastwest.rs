//! Between networks: a caller from another network asks for an exported service, and the bytes of its inner
//! handshake and everything after go to one of this cluster's own workloads. This proxy sees no plaintext.

use crate::accept::{Reader, dial};
use crate::failure::{Failure, ReplyTo, Spoken};
use crate::flow::inbound::Visitor;
use crate::flow::policy;
use crate::flow::tcp::Connection;
use crate::observe::Direction;
use crate::snapshot::{Active, HostEntry, Snapshot};
use crate::upstream::attempt::Missed;
use crate::upstream::course::{CONNECT, Course};
use crate::upstream::pool1::connect_reason;
use crate::upstream::{CONNECT_TIMEOUT, judge};
use crate::worker::seats::Place;
use codec::Reply;
use decide::authz::{Facts, RemoteIp, rehearse};
use decide::retry::{Next, Outcome};
use http::HeaderMap;
use model::address::PORT_MESH;
use model::listener::Exports;
use model::service::{Endpoint, Reach};
use model::{Hostname, Reason};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use tokio::net::TcpStream;

/// Answers a CONNECT for `host:port`.
pub(super) async fn forward(
    visitor: &Rc<Visitor>,
    snapshot: &Snapshot,
    exports: &Exports,
    host: Hostname,
    port: u16,
) -> Reply {
    let mut connection = Connection::begin(&visitor.worker, Direction::EastWest, visitor.address);
    let facts = facts(visitor, port);
    connection.rehearsal = rehearse(&snapshot.forward_policies, &facts);
    let is_exported = exports.hosts.iter().any(|(own, own_port)| *own == host && *own_port == port);
    let entry = snapshot.host(host.as_str());
    connection.host = Some(host);
    let opened = match (is_exported, entry) {
        (false, _) => Err(Reason::NotExported.into()),
        (true, entry) => match (policy::judge(&snapshot.forward_policies, &facts), entry) {
            (Err(denied), _) => Err(denied),
            (Ok(()), None) => Err(Reason::NoEndpoint.into()),
            (Ok(()), Some(entry)) => {
                open(visitor, snapshot, entry, &mut connection).await.map_err(Failure::from)
            }
        },
    };
    match opened {
        Ok(Opened { upstream, active, place }) => {
            connection.peer = Some(Rc::clone(&visitor.peer));
            let visitor = Rc::clone(visitor);
            Reply::Tunnel {
                headers: HeaderMap::new(),
                run: Box::new(move |tunnel| {
                    Box::pin(async move {
                        let may = |snapshot: &Snapshot| {
                            policy::judge(&snapshot.forward_policies, &self::facts(&visitor, port))
                        };
                        let cut = async {
                            tokio::select! {
                                failure = policy::until_denied(&visitor.worker, may) => failure,
                                () = visitor.outlived() => Reason::PeerExpired.into(),
                            }
                        };
                        connection.carry(tunnel, upstream, cut).await;
                        drop((active, place));
                    })
                }),
            }
        }
        Err(failure) => {
            connection.denial.clone_from(&failure.denial);
            connection.refused(failure.reason);
            failure.reply(ReplyTo::Proxy, Spoken::Http)
        }
    }
}

/// What is known of a caller from another network: it proved itself in the outer handshake and shows its own
/// address; what it sends inside is not for this proxy to read. `port` is the service's.
fn facts(visitor: &Visitor, port: u16) -> Facts<'_> {
    let peer_ip = Some(visitor.address.ip());
    Facts { peer: Some(&visitor.peer.id), peer_ip, remote_ip: RemoteIp::Peer, port, http: None }
}

/// A connection to a workload, what says that it is in use, and the caller's place for it.
struct Opened {
    upstream: TcpStream,
    active: Active,
    place: Place,
}

/// Connects to one of the own workloads of the service. When none takes it, the caller is refused and may try
/// another gateway.
async fn open(
    visitor: &Visitor,
    snapshot: &Snapshot,
    entry: &Arc<HostEntry>,
    connection: &mut Connection,
) -> Result<Opened, Reason> {
    let worker = &visitor.worker;
    let place = visitor.share.take().ok_or(Reason::TooManyConnections)?;
    let is_own =
        |endpoint: &Endpoint| endpoint.reach == Reach::Native && endpoint.cluster == snapshot.me.cluster;
    let mut course = Course::among(worker, entry, is_own);
    loop {
        let Some(index) = course.choose() else { return Err(course.into_failure().reason) };
        let (endpoint, active) = (&entry.endpoints[index], entry.states[index].begin());
        let address = SocketAddr::new(endpoint.address, PORT_MESH);
        connection.target = Some((Arc::clone(entry), index));
        connection.upstream = Some(address);
        connection.attempts += 1;
        let dialed = dial(address, Reader::Proxy, worker.mark(), CONNECT_TIMEOUT).await;
        let outcome = dialed.map_err(|error| Missed::from(connect_reason(&error)));
        judge(worker, entry, index, &outcome);
        let reason = match outcome {
            Ok(upstream) => return Ok(Opened { upstream, active, place }),
            Err(ref missed) => missed.reason,
        };
        drop(active);
        match course.next(index, CONNECT, Outcome::Failed(reason), &outcome) {
            Next::Again { after } => tokio::time::sleep(after).await,
            Next::GiveUp => return Err(reason),
            Next::Limited(by) => {
                connection.limited = Some(by);
                return Err(reason);
            }
        }
    }
}
