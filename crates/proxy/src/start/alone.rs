//! A proxy outside of a mesh, and its first configuration.

use super::StartError;
use crate::listening::ListenPlace;
use crate::snapshot::ClosedListener;
use std::collections::HashSet;
use tokio::sync::oneshot;

/// The first configuration of a proxy outside of a mesh must be one that it can serve: whoever started it looks on,
/// and nobody else would send a better one.
pub(super) struct Alone {
    /// Takes why the proxy must end; `None`: that is over.
    refused: Option<oneshot::Sender<StartError>>,
    /// Part of the configuration was not taken: if it is all, that is no empty directory.
    has_refusals: bool,
}

impl Alone {
    /// `refused` gets why the proxy must end.
    pub(super) fn new(refused: oneshot::Sender<StartError>, has_refusals: bool) -> Self {
        Self { refused: Some(refused), has_refusals }
    }

    /// What can be listened on of the configuration, and what cannot.
    pub(super) fn set_listening(&mut self, open: &HashSet<ListenPlace>, closed: &[ClosedListener]) {
        let Some(refused) = self.refused.take() else { return };
        let error = match closed.first() {
            Some(listener) => StartError::Listen(listener.clone()),
            None if open.is_empty() && self.has_refusals => StartError::NothingToServe,
            None => return,
        };
        // Whoever waited for it is ending already.
        let _ = refused.send(error);
    }
}
