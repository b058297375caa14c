//! The server's shell: our own accept loop, so that handlers know who called and refusals can be logged.

use super::{
    ENROLLMENT_BYTES_MAX, Join, Joined, PING_INTERVAL, PING_TIMEOUT, REQUEST_BYTES_MAX, Signed,
    WithdrawalOutcome,
};
use crate::link::ServerEnd;
use crate::proto::envoy::service::discovery::v3::aggregated_discovery_service_server::AggregatedDiscoveryServiceServer;
use crate::proto::leno::mesh::v1::enrollment_server::EnrollmentServer;
use crate::proto::leno::mesh::v1::federation_server::FederationServer;
use crate::status::{Code, Status};
use accept::Connection;
use dispatch::{Dispatch, Handlers};
use futures_util::future::BoxFuture;
use model::SpiffeId;
use model::federation::RemoteCluster;
use model::trust::{Proof, Shown};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_stream::wrappers::ReceiverStream;

mod accept;
mod dispatch;

/// Streams and calls at once on one connection; a client waits when it wants more.
const STREAMS_PER_CONNECTION_MAX: u32 = 64;
/// Header bytes of one call; more is refused by the HTTP/2 layer.
const HEADER_BYTES_MAX: u32 = 16 * 1024;

/// Who called, as proven by the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallingPeer {
    /// What its certificate proved; `None`: no client certificate, or one that has expired.
    pub proof: Option<Proof>,
    /// What its certificate proved until it expired: good for [`Enrollment::sign`] and nothing else, which is why
    /// it stands apart.
    pub expired: Option<Proof>,
    /// Where from.
    pub address: SocketAddr,
}

/// Serves control streams.
pub trait Discovery: Send + Sync + 'static {
    /// Takes a new stream over. It must not do the work itself but hand `end` to a task of its own; dropping
    /// `end` closes the stream. An error refuses the stream.
    fn open(&self, peer: CallingPeer, end: ServerEnd) -> Result<(), Status>;
}

/// Serves joining, renewal and leaving.
pub trait Enrollment: Send + Sync + 'static {
    /// The only call that may come without a client certificate.
    fn join(&self, peer: CallingPeer, join: Join) -> BoxFuture<'_, Result<Joined, Status>>;
    /// Certifies a new key for the peer's own identity. The only call that may come with a certificate that has
    /// expired (`CallingPeer::expired`).
    fn sign(&self, peer: CallingPeer, csr: Vec<u8>) -> BoxFuture<'_, Result<Signed, Status>>;
    /// Marks an endpoint as draining and waits until its callers know.
    fn withdraw(
        &self,
        peer: CallingPeer,
        uid: String,
        deadline: Duration,
    ) -> BoxFuture<'_, Result<WithdrawalOutcome, Status>>;
}

/// Takes reports of clusters.
pub trait Federation: Send + Sync + 'static {
    /// Takes a new report stream over, as [`Discovery::open`] does.
    fn report(&self, peer: CallingPeer, end: ReportEnd) -> Result<(), Status>;
}

/// The receiving end of a report.
#[derive(Debug)]
pub struct ReportEnd {
    /// The cluster, whenever it changed.
    pub rx: crate::link::Inbox<RemoteCluster>,
    /// One for each report taken.
    pub acks: mpsc::Sender<()>,
    /// How the report is closed otherwise than in order.
    pub closing: crate::link::Closing,
}

/// What one listener serves; calls to the rest are answered as unimplemented.
#[derive(Clone, Default)]
pub struct Services {
    /// Control streams.
    pub discovery: Option<Arc<dyn Discovery>>,
    /// Joining, renewal, leaving.
    pub enrollment: Option<Arc<dyn Enrollment>>,
    /// Reports of clusters.
    pub federation: Option<Arc<dyn Federation>>,
}

impl CallingPeer {
    /// Nobody in particular.
    pub(super) fn anonymous(address: SocketAddr) -> Self {
        Self { proof: None, expired: None, address }
    }

    /// Why it may not do what needs a certificate.
    pub fn unproved(&self) -> Status {
        let why = match self.expired {
            Some(_) => "the client's certificate has expired; it is good for its renewal only",
            None => "a client certificate is needed",
        };
        Status::new(Code::Unauthenticated, why)
    }

    /// Who it is; `None`: no client certificate.
    pub fn id(&self) -> Option<&SpiffeId> {
        self.proof.as_ref().map(|proof| &proof.id)
    }
}

/// Reads what a verified chain proves (`identity::Identity::shown`).
pub type Prove = Arc<dyn Fn(&[CertificateDer<'_>]) -> Option<Shown> + Send + Sync>;

/// The wall clock, for comparing with certificates.
pub type Wall = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// How a listener is secured.
#[derive(Clone)]
pub struct Tls {
    /// Its ALPN must offer `h2`.
    pub config: Arc<ServerConfig>,
    /// Says who called.
    pub prove: Prove,
    /// Says when a caller's certificate has expired.
    pub wall: Wall,
}

/// Hears of connections whose handshake failed, with the error of the TLS library (`identity::refusal`).
pub type HandshakeObserver = Arc<dyn Fn(SocketAddr, &io::Error) + Send + Sync>;

/// Serves until `drain` ends, then finishes open calls; streams must be closed by their owners. Without
/// `tls` everything is plaintext and nobody is identified: loopback and tests only.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    services: Services,
    refused: HandshakeObserver,
    drain: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let dispatch = Dispatch {
        discovery: services.discovery.map(|discovery| {
            AggregatedDiscoveryServiceServer::new(Handlers(discovery))
                .max_decoding_message_size(REQUEST_BYTES_MAX)
        }),
        enrollment: services.enrollment.map(|enrollment| {
            EnrollmentServer::new(Handlers(enrollment)).max_decoding_message_size(ENROLLMENT_BYTES_MAX)
        }),
        federation: services.federation.map(|federation| {
            FederationServer::new(Handlers(federation)).max_decoding_message_size(REQUEST_BYTES_MAX)
        }),
    };
    let (connections_tx, connections) = mpsc::channel::<io::Result<Connection>>(1);
    let server = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(PING_INTERVAL))
        .http2_keepalive_timeout(Some(PING_TIMEOUT))
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .serve_with_incoming_shutdown(dispatch, ReceiverStream::new(connections), drain);
    let accepting = accept::run(listener, tls, refused, connections_tx);
    // Once draining, the server drops its receiver and the accept loop ends by itself.
    let (served, ()) = tokio::join!(server, accepting);
    served.map_err(io::Error::other)
}
