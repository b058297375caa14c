//! What a failed attempt says about its endpoint.

use model::Reason;

/// An attempt that failed.
#[derive(Clone, Debug)]
pub(crate) struct AttemptError {
    /// Why.
    pub(crate) reason: Reason,
    /// What it says about the endpoint.
    pub(crate) verdict: EndpointVerdict,
}

/// What a failed attempt says about the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndpointVerdict {
    /// Nothing against it.
    Neutral,
    /// It could not be reached or refused: eject it for a while.
    Failed,
    /// Only that an old connection to it had ended: try the same endpoint over a new one.
    StaleConnection,
}

impl From<Reason> for AttemptError {
    fn from(reason: Reason) -> Self {
        use Reason::{ConnectFailed, ConnectTimeout, GatewayRefused, Refused, TlsFailed, UpstreamSilent};
        let is_suspect = matches!(
            reason,
            ConnectFailed | ConnectTimeout | GatewayRefused | Refused | TlsFailed | UpstreamSilent
        );
        Self { reason, verdict: if is_suspect { EndpointVerdict::Failed } else { EndpointVerdict::Neutral } }
    }
}
