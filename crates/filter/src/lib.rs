//! The contract of request filters, and the one order in which they run.
//!
//! A filter sees the head of a request and of its response and says go on or answers itself. Most need not
//! wait: they are [`FilterNow`] and cost no box. Those that do are [`Filter`]. No concrete filter lives here.
//! Nothing runs through it yet: `proxy` calls its own stages directly (ARCHITECTURE.md, life of a request).
//! Read `order` next, then `chain`.

mod chain;
pub mod order;

pub use chain::{Chain, Run};
pub use order::Stage;

use codec::Body;
use decide::route::Match;
use http::{request, response};
use model::{Policy, Reason, SpiffeId};
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

/// What a filter says to a request.
#[derive(Debug)]
pub enum Verdict {
    /// On to the next stage.
    Continue,
    /// This is the answer; no later stage and no backend sees the request. Boxed, because it is rare.
    Reply(Box<Answer>),
}

/// An answer made here instead of by a backend.
#[derive(Debug)]
pub struct Answer {
    /// What the caller gets. Stages that had seen the request still see this response.
    pub response: http::Response<Body>,
    /// Why, for the access log; `None`: nothing failed (a redirect).
    pub reason: Option<Reason>,
}

/// Which way a request goes through this proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// From the local application to a service.
    Outbound,
    /// From the mesh to the local application.
    Inbound,
    /// In through a gateway's listener.
    Gateway,
}

/// What a filter may know beside the message itself. Lives as long as the request.
pub struct Context<'a> {
    /// Which way it goes.
    pub side: Side,
    /// Who called, from the handshake alone.
    pub peer: Option<&'a SpiffeId>,
    /// Address of the peer.
    pub peer_ip: Option<IpAddr>,
    /// Service port (outbound), listener port (gateway) or the application's port (inbound).
    pub port: u16,
    /// The rule that the request follows; `None` on the inbound side and for services without rules.
    pub rule: Option<Match<'a>>,
    /// Policies of this workload.
    pub policies: &'a [Arc<Policy>],
    /// Set by the stage that denies: the policy and the index of its rule, for the access log.
    pub denied_by: Option<(Arc<Policy>, usize)>,
}

/// A boxed future of a filter that waits; not `Send`, because a worker is one thread.
pub type Waiting<'f, T> = Pin<Box<dyn Future<Output = T> + 'f>>;

/// A filter that may wait, for example for an authorization service.
pub trait Filter {
    /// Sees a request on its way to the backend.
    fn on_request<'f>(
        &'f self,
        context: &'f mut Context<'_>,
        head: &'f mut request::Parts,
    ) -> Waiting<'f, Verdict>;

    /// Sees the response on its way back. Does nothing unless overridden.
    fn on_response<'f>(
        &'f self,
        _context: &'f mut Context<'_>,
        _head: &'f mut response::Parts,
    ) -> Waiting<'f, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// A filter that never waits and so costs no box.
pub trait FilterNow {
    /// Sees a request on its way to the backend.
    fn on_request(&self, context: &mut Context<'_>, head: &mut request::Parts) -> Verdict;

    /// Sees the response on its way back. Does nothing unless overridden.
    fn on_response(&self, _context: &mut Context<'_>, _head: &mut response::Parts) {}
}
