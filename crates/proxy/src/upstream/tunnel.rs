//! Opaque bytes to some endpoint of a service: straight TCP, or CONNECT through the mesh. Until the tunnel
//! stands nothing of the application's was sent, so every failure may be followed by another attempt.

use crate::accept::{Reader, dial};
use crate::failure;
use crate::peer::Peer;
use crate::snapshot::Active;
use crate::upstream::attempt::{AttemptError, EndpointVerdict, address};
use crate::upstream::http1_pool::{Age, connect_reason};
use crate::upstream::retry_state::{CONNECT, RetryState};
use crate::upstream::{CONNECT_TIMEOUT, Target, http2_pool, record_result};
use crate::worker::Worker;
use codec::{BoxIo, SendError, SendErrorKind};
use decide::retry::{Next, Outcome};
use http::HeaderMap;
use model::Reason;
use model::service::{Endpoint, Reach};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::timeout;

/// For the callee's proxy to answer a CONNECT; it connects to its application first. Longer: another endpoint.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// An open way to an endpoint.
pub(crate) struct Opened {
    /// The bytes.
    pub(crate) io: BoxIo,
    /// Which endpoint.
    pub(crate) index: usize,
    /// Who proved to be there; `None`: plaintext.
    pub(crate) peer: Option<Rc<Peer>>,
    /// Counts as in flight while it is held.
    pub(crate) active: Active,
}

/// How an opening went, with the number of attempts made and the endpoint tried last.
pub(crate) struct Opening {
    /// The way, or why there is none.
    pub(crate) result: Result<Opened, Reason>,
    /// From 0.
    pub(crate) attempts: u32,
    /// Where to.
    pub(crate) last: Option<SocketAddr>,
    /// What kept it from a further attempt.
    pub(crate) limited: Option<Reason>,
}

/// Opens a tunnel to any endpoint.
pub(crate) async fn open(worker: &Rc<Worker>, target: &Target) -> Opening {
    let mut retries = RetryState::begin(worker, &target.entry);
    let mut opening = Opening { result: Err(Reason::NoEndpoint), attempts: 0, last: None, limited: None };
    while let Some(index) = retries.choose() {
        let (Some(endpoint), Some(state)) =
            (target.entry.endpoints.get(index), target.entry.states.get(index))
        else {
            break;
        };
        opening.attempts += 1;
        opening.last = Some(address(endpoint, target));
        let active = state.begin();
        let outcome = one(worker, target, endpoint).await;
        record_result(worker, &target.entry, index, &outcome);
        let reason = match outcome {
            Ok((io, peer)) => {
                opening.result = Ok(Opened { io, index, peer, active });
                break;
            }
            Err(ref error) => error.reason,
        };
        opening.result = Err(reason);
        match retries.next(index, CONNECT, Outcome::Failed(reason), &outcome) {
            Next::Again { after } => tokio::time::sleep(after).await,
            Next::GiveUp => break,
            Next::Limited(by) => {
                opening.limited = Some(by);
                break;
            }
        }
    }
    opening
}

async fn one(
    worker: &Rc<Worker>,
    target: &Target,
    endpoint: &Endpoint,
) -> Result<(BoxIo, Option<Rc<Peer>>), AttemptError> {
    let host = &target.entry.service.host;
    match endpoint.reach {
        Reach::Plain => {
            let dialed =
                dial(address(endpoint, target), Reader::Anyone, worker.mark(), CONNECT_TIMEOUT).await;
            let tcp = dialed.map_err(|error| connect_reason(&error))?;
            Ok((Box::new(tcp), None))
        }
        Reach::Native | Reach::Gateway => {
            let leased = http2_pool::Pool::lease(worker, endpoint, host, target.port)
                .await
                .map_err(|failure| failure.reason)?;
            let authority = match endpoint.reach {
                Reach::Gateway => format!("{host}:{}", target.port),
                _ => address(endpoint, target).to_string(),
            };
            let opening = leased.connection.sender.tunnel(&authority, HeaderMap::new());
            match timeout(ANSWER_TIMEOUT, opening).await {
                Err(_) => Err(Reason::ConnectTimeout.into()),
                Ok(Ok(tunnel)) => Ok((Box::new(tunnel), leased.connection.peer.clone())),
                Ok(Err(error)) => {
                    let is_stale = leased.age == Age::Reused && leased.connection.is_closed();
                    Err(refused(&error, is_stale))
                }
            }
        }
        Reach::Hbone => Err(Reason::ConnectFailed.into()),
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
