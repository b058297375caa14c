//! From tonic's calls to our traits.

use super::super::{Join, Signed};
use super::{CallingPeer, Discovery, Enrollment, Federation, ReportEnd};
use crate::link::{Inbox, ServerEnd, outbox};
use crate::proto::envoy::service::discovery::v3 as discovery;
use crate::proto::envoy::service::discovery::v3::aggregated_discovery_service_server as ads;
use crate::proto::leno::mesh::v1 as p;
use crate::proto::leno::mesh::v1::{enrollment_server, federation_server};
use crate::status::{Code, Status};
use crate::wire;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::body::Body;
use tonic::{Request, Response, Streaming};

/// One of our traits behind tonic's.
pub(crate) struct Handlers<T: ?Sized>(pub Arc<T>);

/// Chooses the service by the call's path.
#[derive(Clone)]
pub(crate) struct Dispatch {
    pub discovery: Option<ads::AggregatedDiscoveryServiceServer<Handlers<dyn Discovery>>>,
    pub enrollment: Option<enrollment_server::EnrollmentServer<Handlers<dyn Enrollment>>>,
    pub federation: Option<federation_server::FederationServer<Handlers<dyn Federation>>>,
}

impl tower_service::Service<http::Request<Body>> for Dispatch {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = request.uri().path().split('/').nth(1).unwrap_or_default();
        match (service, &mut self.discovery, &mut self.enrollment, &mut self.federation) {
            (ads::SERVICE_NAME, Some(discovery), _, _) => discovery.call(request),
            (enrollment_server::SERVICE_NAME, _, Some(enrollment), _) => enrollment.call(request),
            (federation_server::SERVICE_NAME, _, _, Some(federation)) => federation.call(request),
            _ => {
                let status = tonic::Status::unimplemented("no such service here");
                async { Ok(status.into_http()) }.boxed()
            }
        }
    }
}

fn peer<T>(request: &Request<T>) -> Result<CallingPeer, tonic::Status> {
    let peer = request.extensions().get::<CallingPeer>().cloned();
    peer.ok_or_else(|| tonic::Status::internal("connection without a peer"))
}

#[tonic::async_trait]
impl ads::AggregatedDiscoveryService for Handlers<dyn Discovery> {
    type StreamAggregatedResourcesStream =
        BoxStream<'static, Result<discovery::DiscoveryResponse, tonic::Status>>;
    type DeltaAggregatedResourcesStream =
        BoxStream<'static, Result<discovery::DeltaDiscoveryResponse, tonic::Status>>;

    async fn stream_aggregated_resources(
        &self,
        _request: Request<Streaming<discovery::DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, tonic::Status> {
        Err(tonic::Status::unimplemented("only the delta protocol is served"))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<discovery::DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, tonic::Status> {
        let peer = peer(&request)?;
        let requests = request.into_inner().map(|request| request.map_err(Status::from));
        let (end, responses) = ServerEnd::new(requests);
        self.0.open(peer, end)?;
        Ok(Response::new(responses.map_err(tonic::Status::from).boxed()))
    }
}

#[tonic::async_trait]
impl enrollment_server::Enrollment for Handlers<dyn Enrollment> {
    async fn join(&self, request: Request<p::JoinRequest>) -> Result<Response<p::JoinReply>, tonic::Status> {
        let peer = peer(&request)?;
        let joined = self.0.join(peer, Join::from_wire(request.into_inner())?).await?;
        Ok(Response::new(joined.to_wire()))
    }

    async fn sign(&self, request: Request<p::SignRequest>) -> Result<Response<p::SignReply>, tonic::Status> {
        let peer = peer(&request)?;
        if peer.proof.is_none() && peer.expired.is_none() {
            return Err(peer.unproved().into());
        }
        let signed: Signed = self.0.sign(peer, request.into_inner().csr.to_vec()).await?;
        Ok(Response::new(signed.to_wire()))
    }

    async fn withdraw(
        &self,
        request: Request<p::WithdrawRequest>,
    ) -> Result<Response<p::WithdrawReply>, tonic::Status> {
        let peer = identified(&request)?;
        let request = request.into_inner();
        let deadline = Duration::from_millis(request.deadline_ms);
        let withdrawn = self.0.withdraw(peer, request.uid, deadline).await?;
        let reply =
            p::WithdrawReply { acknowledged: withdrawn.acknowledged, outstanding: withdrawn.outstanding };
        Ok(Response::new(reply))
    }
}

/// Without a client certificate only joining is possible, and with an expired one renewal.
fn identified<T>(request: &Request<T>) -> Result<CallingPeer, tonic::Status> {
    let peer = peer(request)?;
    match peer.proof {
        Some(_) => Ok(peer),
        None => Err(peer.unproved().into()),
    }
}

#[tonic::async_trait]
impl federation_server::Federation for Handlers<dyn Federation> {
    type ReportStream = BoxStream<'static, Result<p::ReportAck, tonic::Status>>;

    async fn report(
        &self,
        request: Request<Streaming<p::RemoteCluster>>,
    ) -> Result<Response<Self::ReportStream>, tonic::Status> {
        let peer = peer(&request)?;
        let (acks, closing, taken) = outbox::<()>();
        let reports = request.into_inner().map(|report| {
            let unreadable = |error: wire::DecodeError| Status::new(Code::InvalidArgument, error.to_string());
            wire::cluster_in(report.map_err(Status::from)?).map_err(unreadable)
        });
        self.0.report(peer, ReportEnd { rx: Inbox::new(reports), acks, closing })?;
        Ok(Response::new(taken.map_ok(|()| p::ReportAck {}).map_err(tonic::Status::from).boxed()))
    }
}
