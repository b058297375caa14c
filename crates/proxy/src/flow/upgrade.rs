//! The answer to a request that asked for another protocol: bytes both ways until their end, which is the end of the
//! request, or an ordinary response. Read `upstream::upgrade` for how the other side was asked.

use crate::failure::{Failure, ReplyTo};
use crate::flow::exchange::{Exchange, SuccessMeans};
use crate::flow::policy;
use crate::request::{HEADER_STATUS, NO_TUNNEL};
use codec::relay::{End, Moved, relay};
use codec::{Body, Reply, Tunnel, Upgrade};
use http::header::{CONNECTION, CONTENT_LENGTH, UPGRADE};
use http::{HeaderValue, Response};
use model::Reason;
use std::future::pending;
use std::rc::Rc;

/// The reply to a request that asked for an upgrade.
#[cold]
pub(super) fn reply(
    exchange: &Rc<Exchange>,
    success: SuccessMeans,
    mut response: Response<Body>,
    to: ReplyTo,
) -> Reply {
    if let Some(tunnel) = response.body_mut().take_tunnel() {
        return open(exchange, response, tunnel);
    }
    if success == SuccessMeans::Answer || !response.status().is_success() {
        return Reply::Response(exchange.watch(response));
    }
    match to {
        ReplyTo::Application => exchange.fail(&Reason::UpgradeIgnored.into(), to),
        ReplyTo::Proxy => {
            let mut response = exchange.watch(response);
            if let Ok(status) = HeaderValue::from_str(response.status().as_str()) {
                response.headers_mut().insert(HEADER_STATUS, status);
            }
            *response.status_mut() = NO_TUNNEL;
            Reply::Response(response)
        }
    }
}

fn open(exchange: &Rc<Exchange>, response: Response<Body>, up: Tunnel) -> Reply {
    let (parts, _) = response.into_parts();
    let mut headers = parts.headers;
    // Nothing of what follows is a body.
    headers.remove(CONTENT_LENGTH);
    if let Some(upgrade) = parts.extensions.get::<Upgrade>() {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, upgrade.protocols().clone());
    }
    exchange.set_status(parts.status);
    let upgraded = Upgraded {
        exchange: Rc::clone(exchange),
        moved: Moved::default(),
        failure: Some(Reason::DownstreamReset.into()),
    };
    Reply::Tunnel { headers, run: Box::new(move |down| Box::pin(upgraded.carry(down, up))) }
}

/// An upgraded stream. It is recorded when it ends, also when its connection takes it along.
struct Upgraded {
    exchange: Rc<Exchange>,
    moved: Moved,
    /// Why it ended; as long as nobody knows better, what carries it went away.
    failure: Option<Failure>,
}

impl Upgraded {
    async fn carry(mut self, down: Tunnel, up: Tunnel) {
        let idle = self.exchange.downstream().worker.snapshot().settings.http.upgrade_idle_timeout;
        let reason = tokio::select! {
            end = relay(down, up, idle, &self.moved) => match end {
                End::DownstreamClosed | End::UpstreamClosed => None,
                End::Idle => Some(Reason::StreamIdle),
                End::DownstreamFailed => Some(Reason::DownstreamReset),
                End::UpstreamFailed => Some(Reason::ResponseReset),
            },
            failure = until_cut(&self.exchange) => {
                self.failure = Some(failure);
                return;
            }
        };
        self.failure = reason.map(Failure::from);
    }
}

/// Until a configuration comes into force under which it would not be let in, or its caller itself is refused.
async fn until_cut(exchange: &Exchange) -> Failure {
    let downstream = exchange.downstream();
    let Some(may) = exchange.may_stay() else { return pending().await };
    tokio::select! {
        failure = policy::until_denied(&downstream.worker, |snapshot| may(downstream, snapshot)) => failure,
        reason = downstream.until_refused() => reason.into(),
    }
}

impl Drop for Upgraded {
    fn drop(&mut self) {
        if let Some(failure) = &self.failure {
            self.exchange.fails(failure);
        }
        self.exchange.carried(self.moved.to_upstream.get(), self.moved.to_downstream.get());
    }
}
