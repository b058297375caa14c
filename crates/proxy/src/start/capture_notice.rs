//! Tells those whom it concerns what of the mesh bears on capture: the prefix of its addresses, the group's annotations.
//!
//! They are the name server beside us and whoever started this proxy, and keeps the host's rules.

use crate::dns::Captured;
use crate::snapshot::Snapshot;
use daemon::notify::Supervisor;
use model::address::MeshPrefix;
use serde_json::json;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// Name of the message; its value is in JSON. `node` reads it.
const FIELD: &str = "X_LENO_CAPTURE";

/// By name.
type Annotations = Vec<(Arc<str>, Arc<str>)>;

/// See the module's head.
pub(super) struct CaptureNotice {
    supervisor: Rc<Supervisor>,
    captured: Arc<Captured>,
    /// As told last.
    told: RefCell<Option<(MeshPrefix, Annotations)>>,
}

impl CaptureNotice {
    /// Nothing was told.
    pub(super) fn new(supervisor: Rc<Supervisor>, captured: Arc<Captured>) -> Self {
        Self { supervisor, captured, told: RefCell::default() }
    }

    /// A configuration is in force. What was not heard is told again with the next one.
    pub(super) fn tell(&self, snapshot: &Snapshot) {
        let prefix = snapshot.settings.ipv6_prefix;
        let annotations = snapshot.inbound.as_ref().map_or(&[][..], |inbound| &inbound.capture);
        if self.told.borrow().as_ref().is_some_and(|told| told.0 == prefix && told.1 == annotations) {
            return;
        }
        self.captured.configure(prefix, annotations);
        let by_name: BTreeMap<&str, &str> =
            annotations.iter().map(|(name, value)| (&**name, &**value)).collect();
        let message = json!({"ipv6_prefix": prefix.to_string(), "annotations": by_name}).to_string();
        match self.supervisor.extension(FIELD, &message) {
            Ok(()) => *self.told.borrow_mut() = Some((prefix, annotations.to_vec())),
            Err(error) => tracing::warn!(%error, "what bears on capture was not told to this host"),
        }
    }
}

#[cfg(test)]
mod tests;
