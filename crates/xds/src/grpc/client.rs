//! The client's shell: one connection, the control stream and the calls on it.

use super::{
    ENROLLMENT_BYTES_MAX, HANDSHAKE_TIMEOUT, Join, Joined, PING_INTERVAL, PING_TIMEOUT, RESPONSE_BYTES_MAX,
    Signed, WithdrawalOutcome, with_causes,
};
use crate::link::{Inbox, Link, QUEUE_MESSAGES_MAX};
use crate::proto::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use crate::proto::leno::mesh::v1 as p;
use crate::proto::leno::mesh::v1::enrollment_client::EnrollmentClient;
use crate::proto::leno::mesh::v1::federation_client::FederationClient;
use crate::status::{CLOCK_HINT, Code, Status, is_clock_alert};
use crate::wire;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, TryStreamExt};
use hyper_util::rt::TokioIo;
use model::federation::RemoteCluster;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_stream::wrappers::ReceiverStream;

/// Opens the TCP connection; the caller marks or binds the socket as it must.
pub type Dial = Arc<dyn Fn() -> BoxFuture<'static, io::Result<TcpStream>> + Send + Sync>;

/// A unary call takes at most this long.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// What a withdrawal may take beyond its own deadline.
const WITHDRAW_GRACE: Duration = Duration::from_secs(2);

/// A connection to a control or management plane. Cheap to clone; all clones share the connection.
#[derive(Clone, Debug)]
pub struct Channel(tonic::transport::Channel);

/// A report to the management plane under way. Dropping it ends the report.
#[derive(Debug)]
pub struct Reporting {
    /// The cluster as it is now; send it whenever it changed.
    pub tx: mpsc::Sender<RemoteCluster>,
    /// One for each report taken.
    pub acks: Inbox<()>,
}

impl Channel {
    /// Connects with TLS. `tls` decides which server is believed; its ALPN must offer `h2`.
    pub async fn connect(address: SocketAddr, tls: Arc<ClientConfig>) -> Result<Self, Status> {
        Self::connect_via(dial(address), Some(tls)).await
    }

    /// Connects without TLS: loopback and tests only.
    pub async fn connect_plain(address: SocketAddr) -> Result<Self, Status> {
        Self::connect_via(dial(address), None).await
    }

    /// Connects over sockets that the caller opens; without `tls` in plaintext.
    pub async fn connect_via(dial: Dial, tls: Option<Arc<ClientConfig>>) -> Result<Self, Status> {
        let endpoint = tonic::transport::Endpoint::from_static("http://control.leno")
            .connect_timeout(HANDSHAKE_TIMEOUT)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true);
        let connecting = endpoint.connect_with_connector(Connector { dial, tls });
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, connecting).await {
            Ok(Ok(channel)) => Ok(Self(channel)),
            Ok(Err(error)) => {
                let hint = if is_clock_alert(&error) { CLOCK_HINT } else { "" };
                Err(Status::new(Code::Unavailable, with_causes(&error) + hint))
            }
            Err(_) => Err(Status::new(Code::Unavailable, "connecting took too long")),
        }
    }

    /// Opens the control stream. Failures, also of opening, arrive in the link.
    pub fn open_ads(&self) -> Link {
        let (tx, rx) = mpsc::channel(QUEUE_MESSAGES_MAX);
        let mut client = AggregatedDiscoveryServiceClient::new(self.0.clone())
            .max_decoding_message_size(RESPONSE_BYTES_MAX);
        // Opening is part of the stream, so that no task is needed and nothing waits for the server's headers.
        let opening = async move { client.delta_aggregated_resources(ReceiverStream::new(rx)).await };
        let responses = futures_util::stream::once(opening).map_ok(tonic::Response::into_inner).try_flatten();
        Link { tx, rx: Inbox::new(responses.map_err(Status::from)) }
    }

    /// Joins the mesh with a token.
    pub async fn join(&self, join: &Join) -> Result<Joined, Status> {
        let mut client = self.enrollment();
        let reply = within(CALL_TIMEOUT, client.join(join.to_wire())).await?;
        Joined::from_wire(reply)
    }

    /// Has a new key certified; the client certificate of the connection says for which identity.
    pub async fn sign(&self, csr: Vec<u8>) -> Result<Signed, Status> {
        let mut client = self.enrollment();
        let reply = within(CALL_TIMEOUT, client.sign(p::SignRequest { csr: Bytes::from(csr) })).await?;
        Signed::from_wire(reply)
    }

    /// Tells that the endpoint takes nothing new; answers when all who might call it know, or after `deadline`.
    pub async fn withdraw(&self, uid: &str, deadline: Duration) -> Result<WithdrawalOutcome, Status> {
        let mut client = self.enrollment();
        let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        let request = p::WithdrawRequest { uid: uid.to_owned(), deadline_ms };
        let reply = within(deadline.saturating_add(WITHDRAW_GRACE), client.withdraw(request)).await?;
        Ok(WithdrawalOutcome { acknowledged: reply.acknowledged, outstanding: reply.outstanding })
    }

    /// Begins to report a cluster to the management plane.
    pub fn report(&self) -> Reporting {
        let (tx, rx) = mpsc::channel::<RemoteCluster>(QUEUE_MESSAGES_MAX);
        let mut client = FederationClient::new(self.0.clone());
        let reports = ReceiverStream::new(rx).map(|cluster| wire::cluster_out(&cluster));
        let opening = async move { client.report(reports).await };
        let acks = futures_util::stream::once(opening).map_ok(tonic::Response::into_inner).try_flatten();
        Reporting { tx, acks: Inbox::new(acks.map_ok(|_| ()).map_err(Status::from)) }
    }

    fn enrollment(&self) -> EnrollmentClient<tonic::transport::Channel> {
        EnrollmentClient::new(self.0.clone()).max_decoding_message_size(ENROLLMENT_BYTES_MAX)
    }
}

async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, Status> {
    match tokio::time::timeout(limit, call).await {
        Ok(result) => Ok(result?.into_inner()),
        Err(_) => Err(Status::new(Code::DeadlineExceeded, format!("no answer within {} s", limit.as_secs()))),
    }
}

fn dial(address: SocketAddr) -> Dial {
    Arc::new(move || Box::pin(TcpStream::connect(address)))
}

/// What tonic calls to get a connection.
#[derive(Clone)]
struct Connector {
    dial: Dial,
    tls: Option<Arc<ClientConfig>>,
}

impl tower_service::Service<http::Uri> for Connector {
    type Response = TokioIo<Box<dyn Wire>>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        let Self { dial, tls } = self.clone();
        Box::pin(async move {
            let tcp = dial().await?;
            tcp.set_nodelay(true)?;
            let wire: Box<dyn Wire> = match tls {
                // The name is neither sent nor checked: who answers is the verifier's business.
                Some(tls) => {
                    let name = ServerName::IpAddress(IpAddr::V4(Ipv4Addr::UNSPECIFIED).into());
                    Box::new(TlsConnector::from(tls).connect(name, tcp).await?)
                }
                None => Box::new(tcp),
            };
            Ok(TokioIo::new(wire))
        })
    }
}

trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}
