//! Datagrams to some endpoint of a service: a socket of their own for each session. They go as they are; the mesh's
//! transport carries none.

use super::attempt_error::AttemptError;
use super::attempts::{self, AttemptLog, Attempted, Repeatable, Timeouts};
use super::retry_state::{CONNECT, Repeat, RetryState};
use super::{Target, Upstream};
use crate::snapshot::Active;
use model::Reason;
use model::service::Reach;
use std::net::SocketAddr;
use tokio::net::UdpSocket;
use tokio::time::Instant;

impl Upstream {
    /// A socket to any endpoint.
    ///
    /// # Errors
    /// The last attempt's.
    pub(crate) async fn open_datagrams(
        &self,
        target: &Target,
        log: &impl AttemptLog,
    ) -> Result<(UdpSocket, Option<Active>), Reason> {
        let mut retries = RetryState::begin(self, &target.entry);
        let opening = Opening { upstream: self, target };
        let Attempted { done, active, .. } =
            attempts::run(&opening, &mut retries, &Timeouts::NONE, log).await?;
        Ok((done, active))
    }
}

/// A session to a service.
struct Opening<'a> {
    upstream: &'a Upstream,
    target: &'a Target,
}

impl Repeatable for Opening<'_> {
    type Done = UdpSocket;

    async fn attempt(&self, index: usize, _until: Option<Instant>) -> Result<UdpSocket, AttemptError> {
        let Some(endpoint) = self.target.entry.endpoints.get(index) else {
            return Err(Reason::NoEndpoint.into());
        };
        // What is behind a gateway of another network is reached by the mesh's transport alone.
        if matches!(endpoint.reach, Reach::Gateway | Reach::Hbone) {
            return Err(Reason::ConnectFailed.into());
        }
        Ok(self.upstream.connector.datagrams(self.target.address(endpoint)).await?)
    }

    fn address(&self, index: usize) -> Option<SocketAddr> {
        self.target.entry.endpoints.get(index).map(|endpoint| self.target.address(endpoint))
    }

    fn repeat(&self) -> Repeat<'_> {
        CONNECT
    }
}
