//! The life of a connection in TLS from outside: handshake, then the story of what is said inside it; or, where TLS ends
//! at the backend, of the bytes as they are.

use crate::detect::{Detected, FIRST_BYTES_TIMEOUT, detect};
use crate::edge_tls::handshake::{self, Secured};
use crate::flow::downstream::{Downstream, DownstreamSide, TlsFacts};
use crate::flow::{serve_edge, tcp};
use crate::request::CallerTerms;
use crate::snapshot::GatewayEntry;
use crate::worker::Worker;
use codec::{BoxIo, ChunkIo};
use daemon::Drain;
use model::Reason;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// How long requests may go on that are under way when their connection no longer shows what its listener asks for. New
/// ones get 421 from the first moment on, and upgraded streams end at once.
const OUTDATED_GRACE: Duration = Duration::from_secs(60);

/// A connection to a listener that speaks TLS.
pub(super) async fn secured(
    worker: Rc<Worker>,
    gateway: Arc<GatewayEntry>,
    stream: impl ChunkIo,
    address: SocketAddr,
    at: SocketAddr,
    drain: Drain,
) {
    let Some(permit) = worker.limits.handshakes.take(address.ip()) else {
        return worker.recorder.refused(address, Reason::TooManyConnections);
    };
    let secured = handshake::accept(&gateway, at, stream).await;
    drop(permit);
    let side = DownstreamSide::edge(at, address);
    match secured {
        Ok(Secured::Here { tls, facts, is_http2 }) => {
            worker.recorder.tls_handshake(&facts);
            let is_http = gateway.is_http(&facts.listener);
            let said = gateway.client_traffic(at, Some(&facts.listener)).cloned();
            drop(gateway);
            let side = side.edge_by(said.map(|said| CallerTerms::new(said, facts.client.as_ref())));
            let downstream = Downstream::new(&worker, address, side, Some(TlsFacts::edge(facts)), drain);
            if !is_http {
                let opaque: BoxIo = tls;
                return tcp::at_gateway(downstream, opaque, at).await;
            }
            let served = async {
                if is_http2 {
                    return serve_edge(&downstream, Detected::Http2, tls).await;
                }
                if let Ok((detected, stream)) = detect(tls, FIRST_BYTES_TIMEOUT).await {
                    serve_edge(&downstream, detected, stream).await;
                }
            };
            tokio::select! {
                () = served => {}
                reason = outlived(&downstream) => downstream.refused(reason),
            }
        }
        Ok(Secured::There { io, facts }) => {
            let said = gateway.client_traffic(at, Some(&facts.listener)).cloned();
            let side = side.edge_by(said.map(|said| CallerTerms::new(said, None)));
            let downstream = Downstream::new(&worker, address, side, Some(TlsFacts::edge(facts)), drain);
            tcp::at_gateway(downstream, io, at).await;
        }
        Err(refusal) => worker.recorder.tls_refused(address, &refusal),
    }
}

/// Waits until even what was under way has had its time.
async fn outlived(downstream: &Downstream) -> Reason {
    let reason = downstream.until_refused().await;
    sleep(OUTDATED_GRACE).await;
    reason
}
