//! Opaque bytes to some endpoint of a service: straight TCP, or CONNECT through the mesh. Until the tunnel
//! stands nothing of the application's was sent, so every failure may be followed by another attempt.

use super::attempt_error::{AttemptError, EndpointVerdict};
use super::attempts::{self, AttemptLog, Attempted, Repeatable, Timeouts};
use super::connect::Age;
use super::retry_state::{CONNECT, Repeat, RetryState};
use super::send::UpstreamAnswer;
use super::{Place, Target, Upstream};
use crate::backend_tls::TlsPayload;
use crate::failure;
use crate::peer::Peer;
use crate::snapshot::{Active, HostEntry};
use bytes::Bytes;
use codec::{Body, BoxChunkIo, BoxIo, SendError, SendErrorKind, Tunnel};
use http::{HeaderMap, Response};
use model::Reason;
use model::address::PORT_MESH;
use model::service::Reach;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// For the callee's proxy to answer a CONNECT; it connects to its application first. Longer: another endpoint.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// A way for opaque bytes.
pub(crate) struct OpenTunnel<I> {
    /// The bytes.
    pub(crate) io: I,
    /// Who proved to be there; `None`: plaintext, or not for us to know.
    pub(crate) peer: Option<Rc<Peer>>,
    /// Counts as in flight while it is held.
    pub(crate) active: Option<Active>,
}

impl Upstream {
    /// Opens a tunnel to any endpoint.
    ///
    /// # Errors
    /// The last attempt's.
    pub(crate) async fn open(
        &self,
        target: &Target,
        log: &impl AttemptLog,
    ) -> Result<OpenTunnel<BoxChunkIo>, Reason> {
        self.open_for(Opening { upstream: self, target, is_exclusive: false }, log).await
    }

    /// Answers a CONNECT: bytes to any endpoint of `target`, as what a connection for opaque bytes would carry.
    ///
    /// # Errors
    /// The last attempt's.
    pub(crate) async fn connect(
        &self,
        target: &Target,
        log: &impl AttemptLog,
    ) -> Result<UpstreamAnswer, Reason> {
        let opening = Opening { upstream: self, target, is_exclusive: true };
        let OpenTunnel { io, peer, active } = self.open_for(opening, log).await?;
        let response = Response::new(Body::tunnel(Tunnel::io(Bytes::new(), Box::new(io))));
        Ok(UpstreamAnswer { peer, active, ..UpstreamAnswer::new(response) })
    }

    async fn open_for(
        &self,
        opening: Opening<'_>,
        log: &impl AttemptLog,
    ) -> Result<OpenTunnel<BoxChunkIo>, Reason> {
        let mut retries = RetryState::begin(self, &opening.target.entry);
        let opened = attempts::run(&opening, &mut retries, &Timeouts::NONE, log).await?;
        let Attempted { done: (io, peer), active, .. } = opened;
        Ok(OpenTunnel { io, peer, active })
    }

    /// TCP, or TLS, to an application.
    async fn dial_place(&self, to: Place<'_>) -> Result<BoxChunkIo, Reason> {
        let tcp = self.connector.dial_either(to.address, to.other(), to.pool().map(|pool| &**pool)).await?;
        match to.tls() {
            None => Ok(Box::new(tcp)),
            Some(tls) => {
                let beginning = Box::pin(self.connector.begin_tls(tcp, tls, TlsPayload::Opaque));
                let tls: BoxIo = Box::new(beginning.await?);
                Ok(Box::new(tls))
            }
        }
    }

    /// TCP to the mesh port of one of the workloads of `cluster`, or of the one with that `uid`, for bytes that only
    /// they can read.
    ///
    /// # Errors
    /// The last attempt's.
    pub(crate) async fn dial_workload(
        &self,
        entry: &Arc<HostEntry>,
        cluster: &str,
        uid: Option<&str>,
        log: &impl AttemptLog,
    ) -> Result<OpenTunnel<TcpStream>, Reason> {
        let mut retries = RetryState::among(self, entry, |endpoint| {
            let is_own = endpoint.reach == Reach::Native && *endpoint.cluster == *cluster;
            is_own && uid.is_none_or(|uid| *endpoint.uid == *uid)
        });
        let dialing = Dialing { upstream: self, entry };
        let Attempted { done: io, active, .. } =
            attempts::run(&dialing, &mut retries, &Timeouts::NONE, log).await?;
        Ok(OpenTunnel { io, peer: None, active })
    }
}

/// A tunnel to a service.
struct Opening<'a> {
    upstream: &'a Upstream,
    target: &'a Target,
    /// It is beside others on its caller's connection, so that a connection of its own is counted.
    is_exclusive: bool,
}

impl Repeatable for Opening<'_> {
    type Done = (BoxChunkIo, Option<Rc<Peer>>);

    async fn attempt(&self, index: usize, _until: Option<Instant>) -> Result<Self::Done, AttemptError> {
        let Self { upstream, target, .. } = *self;
        let Some(endpoint) = target.entry.endpoints.get(index) else { return Err(Reason::NoEndpoint.into()) };
        let address = target.address(endpoint);
        let authority = match target.reach(endpoint) {
            Reach::Plain => return Ok((upstream.dial_place(target.place(endpoint)).await?, None)),
            Reach::Hbone => return Err(Reason::ConnectFailed.into()),
            Reach::Native => address.to_string(),
            Reach::Gateway => format!("{}:{}", target.entry.service.host, target.port),
        };
        let leased = upstream.lease_mesh(target, endpoint).await?;
        let connection = &leased.connection;
        match timeout(ANSWER_TIMEOUT, connection.sender.tunnel(&authority, HeaderMap::new())).await {
            Err(_) => Err(Reason::ConnectTimeout.into()),
            Ok(Ok(tunnel)) => Ok((Box::new(tunnel), connection.peer.clone())),
            Ok(Err(error)) => Err(refused(&error, leased.age == Age::Reused && connection.is_closed())),
        }
    }

    fn address(&self, index: usize) -> Option<SocketAddr> {
        self.target.entry.endpoints.get(index).map(|endpoint| self.target.address(endpoint))
    }

    fn is_exclusive(&self, index: usize) -> bool {
        let endpoint = self.target.entry.endpoints.get(index);
        self.is_exclusive && endpoint.is_some_and(|endpoint| *self.target.reach(endpoint) == Reach::Plain)
    }

    fn repeat(&self) -> Repeat<'_> {
        CONNECT
    }
}

/// TCP to a workload's proxy.
struct Dialing<'a> {
    upstream: &'a Upstream,
    entry: &'a HostEntry,
}

impl Repeatable for Dialing<'_> {
    type Done = TcpStream;

    async fn attempt(&self, index: usize, _until: Option<Instant>) -> Result<TcpStream, AttemptError> {
        let address = self.address(index).ok_or(Reason::NoEndpoint)?;
        Ok(self.upstream.connector.dial_proxy(address).await?)
    }

    fn address(&self, index: usize) -> Option<SocketAddr> {
        self.entry.endpoints.get(index).map(|endpoint| SocketAddr::new(endpoint.address, PORT_MESH))
    }

    fn repeat(&self) -> Repeat<'_> {
        CONNECT
    }
}

/// What an answer other than a tunnel means.
fn refused(error: &SendError, is_stale: bool) -> AttemptError {
    match error.kind {
        // The last word of a policy: nothing against the endpoint, and no other may be asked.
        SendErrorKind::Status(403) => {
            let told = error.headers.as_deref().and_then(failure::told);
            told.unwrap_or(Reason::DeniedUpstream).into()
        }
        _ if error.transport().is_some_and(identity::is_refused) => Reason::TlsFailed.into(),
        // Nothing of the application's was sent, so that any other may be tried.
        SendErrorKind::Silent => Reason::ConnectTimeout.into(),
        SendErrorKind::Full => Reason::UpstreamOverflow.into(),
        _ if is_stale => AttemptError { reason: Reason::Refused, verdict: EndpointVerdict::StaleConnection },
        _ => Reason::Refused.into(),
    }
}
