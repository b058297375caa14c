//! Filters that may wait, where the table of stages (`filter::ORDER`) has a place for them, and their way to other
//! services. Without any, a request pays a comparison.

use crate::failure::Failure;
use crate::flow::downstream::{Downstream, DownstreamSide};
use crate::flow::fetch_entry;
use crate::limits::{UpstreamPermit, UpstreamShare};
use crate::request::{self, Fields, Head};
use crate::snapshot::Snapshot;
use crate::upstream::Target;
use crate::upstream::attempts::{AttemptLog, Begun};
use codec::{Body, InterimSink};
use decide::authz::Facts;
use filter::{Chain, Context, Outcall, OutcallTarget, Pending, RequestHead, Stage, Verdict};
use http::{HeaderMap, Request, Response};
use model::Reason;
use std::cell::Cell;
use std::rc::Rc;
use tokio::time::timeout;

/// Longest answer to a filter's call, in bytes; of a longer one nothing is used: `Reason::UpstreamProtocol`.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// The filters where a request is.
#[derive(Clone, Copy)]
pub(crate) struct Filters<'a> {
    /// `None`: there are none.
    chain: Option<&'a Chain>,
    calls: Calls<'a>,
    /// Of the connection.
    pub(crate) facts: Facts<'a>,
}

impl<'a> Filters<'a> {
    /// Those for requests of this connection. `facts` are those of the connection.
    pub(crate) fn of(downstream: &'a Downstream, snapshot: &'a Snapshot, facts: Facts<'a>) -> Self {
        let chain = downstream.worker.shared.filters.of(side(downstream));
        let calls = Calls { downstream, snapshot };
        Self { chain: (!chain.is_empty()).then_some(chain), calls, facts }
    }

    /// Runs those of a stage on a request; an answer of one ends it.
    ///
    /// # Errors
    /// Why it ends: of a filter that fails closed.
    pub(crate) async fn on_request(
        &self,
        stage: Stage,
        head: &mut Head,
    ) -> Result<Option<Response<Body>>, Failure> {
        let Some(chain) = self.chain else { return Ok(None) };
        // Rare and large: it is no part of each request's future.
        match Box::pin(chain.on_request(stage, &self.context(), head)).await.map_err(failed)? {
            Verdict::Continue => Ok(None),
            Verdict::Reply(reply) => Ok(Some(request::local_response(&reply))),
        }
    }

    /// Runs all of them on a response; `head` is the request as it was sent.
    ///
    /// # Errors
    /// As [`Self::on_request`].
    pub(crate) async fn on_response(&self, head: &Head, headers: &mut HeaderMap) -> Result<(), Failure> {
        let Some(chain) = self.chain else { return Ok(()) };
        let (context, view, mut fields) = (self.context(), head.view(), Fields(headers));
        let done = Box::pin(chain.on_response(&context, &view, &mut fields)).await;
        Ok(done.map_err(failed)?)
    }

    fn context(&self) -> Context<'_> {
        Context { side: side(self.calls.downstream), facts: self.facts, outcall: &self.calls }
    }
}

/// Whatever a filter ran into says nothing of the request's own way, which may be repeated for reasons of its own.
fn failed(why: Reason) -> Reason {
    tracing::debug!(?why, "a filter cannot tell");
    Reason::FilterFailed
}

fn side(downstream: &Downstream) -> filter::Side {
    match downstream.side {
        DownstreamSide::Application { .. } | DownstreamSide::Passthrough => filter::Side::Application,
        DownstreamSide::Edge { .. } => filter::Side::Edge,
        DownstreamSide::Mesh { .. } | DownstreamSide::Tunnel { .. } | DownstreamSide::Plaintext { .. } => {
            filter::Side::Callee
        }
    }
}

/// Filters' calls, by the way that applications' requests take.
#[derive(Clone, Copy)]
struct Calls<'a> {
    downstream: &'a Downstream,
    snapshot: &'a Snapshot,
}

impl Calls<'_> {
    async fn ask(&self, to: &OutcallTarget, request: Request<Body>) -> Result<Response<Body>, Reason> {
        let worker = &self.downstream.worker;
        let entry = fetch_entry(worker, self.snapshot, &to.host).await?;
        let target = Target::new(&entry, to.port).ok_or(Reason::NoBackend)?;
        let (mut head, body) = request::receive(request, None, &self.snapshot.settings)?;
        let target = target.spoken_to_in(head.version);
        // Held until the answer is read.
        let call = SideCall { share: &self.downstream.share, permit: Cell::new(None) };
        let mut answer = worker.upstream.send(&target, None, None, &mut head, body, &call).await?;
        let body = std::mem::take(answer.response.body_mut()).collect(ANSWER_BYTES_MAX).await;
        let Ok(body) = body else { return Err(Reason::UpstreamProtocol) };
        if let Some(lease) = answer.lease {
            lease.give_back();
        }
        let mut response = answer.response;
        request::strip(response.headers_mut());
        *response.body_mut() = Body::full(body);
        Ok(response)
    }
}

impl Outcall for Calls<'_> {
    fn call<'a>(&'a self, to: &'a OutcallTarget, request: Request<Body>) -> Pending<'a, Response<Body>> {
        Box::pin(async move {
            let asked = timeout(to.timeout, self.ask(to, request)).await;
            asked.unwrap_or(Err(Reason::RequestTimeout))
        })
    }
}

/// A filter's call is no attempt of the request that it is made for, but what it takes of the upstream connections is
/// the caller's share.
struct SideCall<'a> {
    share: &'a Rc<UpstreamShare>,
    permit: Cell<Option<UpstreamPermit>>,
}

impl AttemptLog for SideCall<'_> {
    fn began(&self, attempt: &Begun<'_>) -> Result<(), Reason> {
        let held = self.permit.take();
        let needed = attempt.is_exclusive && held.is_none();
        let taken = if needed { Some(self.share.take().ok_or(Reason::TooManyConnections)?) } else { held };
        self.permit.set(taken);
        Ok(())
    }

    fn limited(&self, _: Reason) {}
}

/// They are not the caller's.
impl InterimSink for SideCall<'_> {
    fn interim(&self, _: Response<()>) {}
}
