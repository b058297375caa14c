//! Between networks: a caller from another network asks for an exported service, and the bytes of its inner
//! handshake and everything after go to one of this cluster's own workloads. This proxy sees no plaintext.

use crate::failure::{Failure, ReplyTo, ResponseFormat};
use crate::flow::downstream::Downstream;
use crate::flow::policy;
use crate::flow::tcp::TcpConnection;
use crate::observe::Direction;
use crate::request::HEADER_WORKLOAD;
use crate::snapshot::Snapshot;
use crate::upstream::tunnel::OpenTunnel;
use codec::Reply;
use decide::authz::{Facts, RemoteIp, dry_run};
use http::HeaderMap;
use model::listener::Exports;
use model::{Hostname, Reason};
use std::rc::Rc;

/// What a caller asks for.
pub(super) struct ForwardRequest<'a> {
    /// A service's host.
    pub(super) host: Hostname,
    /// A service's port.
    pub(super) port: u16,
    /// Of its CONNECT. They may name one workload, which the caller has a long connection to and has prove itself anew.
    pub(super) headers: &'a HeaderMap,
}

impl ForwardRequest<'_> {
    /// The uid of the workload that it must be; `None`: any.
    fn uid(&self) -> Result<Option<&str>, Reason> {
        let mut values = self.headers.get_all(HEADER_WORKLOAD).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => value.to_str().map(Some).map_err(|_| Reason::BadRequest),
            (Some(_), Some(_)) => Err(Reason::BadRequest),
        }
    }
}

/// Answers a CONNECT.
pub(super) async fn forward(
    downstream: &Rc<Downstream>,
    snapshot: &Snapshot,
    exports: &Exports,
    request: ForwardRequest<'_>,
) -> Reply {
    let (host, port) = (&request.host, request.port);
    let worker = &downstream.worker;
    let mut connection = TcpConnection::begin(downstream, Direction::EastWest);
    let facts = facts(downstream, port);
    connection.dry_run = dry_run(&snapshot.forward_policies, &facts);
    let is_exported = exports.hosts.iter().any(|(own, own_port)| own == host && *own_port == port);
    let entry = snapshot.host(host.as_str());
    connection.host = Some(host.clone());
    let opening = async {
        if !is_exported {
            return Err(Reason::NotExported.into());
        }
        policy::check(&snapshot.forward_policies, &facts)?;
        let entry = entry.ok_or(Reason::NoEndpoint)?;
        let uid = request.uid()?;
        let permit = downstream.share.take().ok_or(Reason::TooManyConnections)?;
        // When none of the local workloads takes it, the caller is refused and may try another gateway.
        let opened = worker.upstream.dial_workload(entry, &snapshot.me.cluster, uid, &connection).await?;
        Ok::<_, Failure>((opened, permit))
    };
    match opening.await {
        Ok((OpenTunnel { io: upstream, active, .. }, permit)) => {
            connection.peer = downstream.peer().cloned();
            let downstream = Rc::clone(downstream);
            Reply::Tunnel {
                headers: HeaderMap::new(),
                run: Box::new(move |tunnel| {
                    Box::pin(async move {
                        let may = |snapshot: &Snapshot| {
                            policy::check(&snapshot.forward_policies, &self::facts(&downstream, port))
                        };
                        let cut = async {
                            tokio::select! {
                                failure = policy::until_denied(&downstream.worker, may) => failure,
                                reason = downstream.until_refused() => reason.into(),
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
fn facts(downstream: &Downstream, port: u16) -> Facts<'_> {
    let peer_ip = Some(downstream.address.ip());
    let peer = downstream.peer().map(|peer| &peer.id);
    Facts { peer, peer_ip, remote_ip: RemoteIp::Peer, port, http: None }
}
