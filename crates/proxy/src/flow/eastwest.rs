//! Between networks: a caller from another network asks for an exported service, and the bytes of its inner
//! handshake and everything after go to one of this cluster's own workloads. This proxy sees no plaintext.

use crate::accept::{Reader, dial};
use crate::failure::{Failure, ReplyTo, ResponseFormat};
use crate::flow::inbound::PeerConnection;
use crate::flow::policy;
use crate::flow::tcp::Connection;
use crate::limits::UpstreamPermit;
use crate::observe::Direction;
use crate::snapshot::{Active, HostEntry, Snapshot};
use crate::upstream::attempt::AttemptError;
use crate::upstream::http1_pool::connect_reason;
use crate::upstream::retry_state::{CONNECT, RetryState};
use crate::upstream::{CONNECT_TIMEOUT, record_result};
use codec::Reply;
use decide::authz::{Facts, RemoteIp, dry_run};
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
    peer_connection: &Rc<PeerConnection>,
    snapshot: &Snapshot,
    exports: &Exports,
    host: Hostname,
    port: u16,
) -> Reply {
    let mut connection =
        Connection::begin(&peer_connection.worker, Direction::EastWest, peer_connection.address);
    let facts = facts(peer_connection, port);
    connection.dry_run = dry_run(&snapshot.forward_policies, &facts);
    let is_exported = exports.hosts.iter().any(|(own, own_port)| *own == host && *own_port == port);
    let entry = snapshot.host(host.as_str());
    connection.host = Some(host);
    let opened = match (is_exported, entry) {
        (false, _) => Err(Reason::NotExported.into()),
        (true, entry) => match (policy::check(&snapshot.forward_policies, &facts), entry) {
            (Err(denied), _) => Err(denied),
            (Ok(()), None) => Err(Reason::NoEndpoint.into()),
            (Ok(()), Some(entry)) => {
                open(peer_connection, snapshot, entry, &mut connection).await.map_err(Failure::from)
            }
        },
    };
    match opened {
        Ok(Opened { upstream, active, permit }) => {
            connection.peer = Some(Rc::clone(&peer_connection.peer));
            let peer_connection = Rc::clone(peer_connection);
            Reply::Tunnel {
                headers: HeaderMap::new(),
                run: Box::new(move |tunnel| {
                    Box::pin(async move {
                        let may = |snapshot: &Snapshot| {
                            policy::check(&snapshot.forward_policies, &self::facts(&peer_connection, port))
                        };
                        let cut = async {
                            tokio::select! {
                                failure = policy::until_denied(&peer_connection.worker, may) => failure,
                                () = peer_connection.grace_expired() => Reason::PeerExpired.into(),
                            }
                        };
                        connection.carry(tunnel, upstream, cut).await;
                        drop((active, permit));
                    })
                }),
            }
        }
        Err(failure) => {
            connection.denial.clone_from(&failure.denial);
            connection.refused(failure.reason);
            failure.reply(ReplyTo::Proxy, ResponseFormat::Http)
        }
    }
}

/// What is known of a caller from another network: it proved itself in the outer handshake and shows its own
/// address; what it sends inside is not for this proxy to read. `port` is the service's.
fn facts(peer_connection: &PeerConnection, port: u16) -> Facts<'_> {
    let peer_ip = Some(peer_connection.address.ip());
    Facts { peer: Some(&peer_connection.peer.id), peer_ip, remote_ip: RemoteIp::Peer, port, http: None }
}

/// A connection to a workload, what says that it is in use, and the caller's permit for it.
struct Opened {
    upstream: TcpStream,
    active: Active,
    permit: UpstreamPermit,
}

/// Connects to one of the local workloads of the service. When none takes it, the caller is refused and may try
/// another gateway.
async fn open(
    peer_connection: &PeerConnection,
    snapshot: &Snapshot,
    entry: &Arc<HostEntry>,
    connection: &mut Connection,
) -> Result<Opened, Reason> {
    let worker = &peer_connection.worker;
    let permit = peer_connection.share.take().ok_or(Reason::TooManyConnections)?;
    let is_own =
        |endpoint: &Endpoint| endpoint.reach == Reach::Native && endpoint.cluster == snapshot.me.cluster;
    let mut retries = RetryState::among(worker, entry, is_own);
    loop {
        let Some(index) = retries.choose() else { return Err(retries.into_failure().reason) };
        let (endpoint, active) = (&entry.endpoints[index], entry.states[index].begin());
        let address = SocketAddr::new(endpoint.address, PORT_MESH);
        connection.target = Some((Arc::clone(entry), index));
        connection.upstream = Some(address);
        connection.attempts += 1;
        let dialed = dial(address, Reader::Proxy, worker.mark(), CONNECT_TIMEOUT).await;
        let outcome = dialed.map_err(|error| AttemptError::from(connect_reason(&error)));
        record_result(worker, entry, index, &outcome);
        let reason = match outcome {
            Ok(upstream) => return Ok(Opened { upstream, active, permit }),
            Err(ref error) => error.reason,
        };
        drop(active);
        match retries.next(index, CONNECT, Outcome::Failed(reason), &outcome) {
            Next::Again { after } => tokio::time::sleep(after).await,
            Next::GiveUp => return Err(reason),
            Next::Limited(by) => {
                connection.limited = Some(by);
                return Err(reason);
            }
        }
    }
}
