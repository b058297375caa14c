//! What is kept of a proxy across restarts, and how long.

use super::StreamRefusal;
use apiserver::{Change, Table};
use model::service::EndpointState;
use model::trust::{EXPIRED_GRACE, Proof, RENEWAL_GRACE};
use model::{Locality, SpiffeId};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What is known of a proxy across restarts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// Name of this registration, unique in the mesh.
    pub uid: Arc<str>,
    /// Its SPIFFE ID.
    pub identity: Arc<str>,
    /// Namespace of its WorkloadGroup.
    pub namespace: Arc<str>,
    /// Name of its WorkloadGroup.
    pub group: Arc<str>,
    /// Its own addresses, as it told; empty before its first stream.
    pub addresses: Vec<IpAddr>,
    /// Whether it counted when this was written.
    pub standing: Standing,
    /// When its last certificate expires that is known of, issued or shown, in seconds since the epoch.
    #[serde(default)]
    pub expires_s: Option<u64>,
    /// Until when a later one may last that an earlier run issued, because renewals of a proxy with a stream are not
    /// stored one by one; in seconds since the epoch. Nothing is forgotten before, and nothing is reported.
    #[serde(default)]
    pub assumed_s: Option<u64>,
    /// The newest certificate that it has used here; `None`: none yet. An older one may be in other hands, and is
    /// not renewed once it has expired.
    #[serde(default)]
    pub used: Option<Validity>,
    /// Since when it is known not to be there, in seconds since the epoch; `None`: it is, or may come back any
    /// moment.
    #[serde(default)]
    pub gone_s: Option<u64>,
    /// Why its application is not ready, as its proxy told last; `None`: it is, or nobody asks it.
    #[serde(default)]
    pub unready: Option<Arc<str>>,
}

/// From when until when a certificate is good: enough to tell an older one of a registration from a newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validity {
    /// In seconds since the epoch.
    pub begins_s: u64,
    /// In seconds since the epoch.
    pub expires_s: u64,
}

impl Validity {
    /// Of the certificate that was shown.
    pub fn of(proof: &Proof) -> Self {
        Self { begins_s: seconds(proof.begins), expires_s: seconds(proof.expires) }
    }

    /// Whether it was surely issued earlier. One end alone does not tell: all that are signed late in the signing
    /// certificate's life end with it, and one that lives longer is dated back further.
    pub(super) fn is_older(self, other: Self) -> bool {
        self.begins_s < other.begins_s && self.expires_s <= other.expires_s
    }
}

impl Registration {
    /// As the world wants it; `None` without an address or a readable identity.
    pub(crate) fn workload(&self, state: EndpointState) -> Option<translate::JoinedWorkload> {
        Some(translate::JoinedWorkload {
            uid: self.uid.clone(),
            namespace: self.namespace.clone(),
            group: self.group.clone(),
            address: *self.addresses.first()?,
            identity: SpiffeId::parse(&self.identity)?,
            locality: Locality::default(),
            state,
        })
    }

    /// Notes that a certificate was used.
    pub(super) fn uses(&mut self, shown: Validity) {
        self.expires_s = self.expires_s.max(Some(shown.expires_s));
        if self.used.is_none_or(|used| !shown.is_older(used)) {
            self.used = Some(shown);
        }
    }

    /// Whether its certificate is renewed: not once it was withdrawn, so that its key ends with its certificate.
    pub fn renewable(&self) -> Result<(), StreamRefusal> {
        match self.standing {
            Standing::Withdrawn => Err(StreamRefusal::Withdrawn),
            _ => Ok(()),
        }
    }
}

/// How long the certificates of a cluster live, and registrations with them.
#[derive(Clone, Copy, Debug)]
pub struct Lives {
    /// Of a certificate.
    pub certificate: Duration,
    /// How long after its end a certificate is still good for its renewal (decision 0005).
    pub renewal_grace: Duration,
}

impl Default for Lives {
    fn default() -> Self {
        Self { certificate: Duration::from_secs(600), renewal_grace: RENEWAL_GRACE }
    }
}

impl Lives {
    /// How long a registration is kept after its last certificate expired, in seconds: as long as that one can
    /// be renewed, or a connection with it may go on. Then nobody can ever speak for it again, and it is
    /// forgotten.
    pub(super) fn kept_expired_s(&self, standing: Standing) -> u64 {
        match standing {
            // Never renewed again. Hosts that come and go in good order must not fill the table.
            Standing::Withdrawn => EXPIRED_GRACE.as_secs(),
            _ => self.renewal_grace.max(EXPIRED_GRACE).as_secs(),
        }
    }
}

/// Whether a registration counts as an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// Joined, no stream yet.
    Joined,
    /// Counts.
    Present,
    /// Counted, and its grace is over.
    Gone,
    /// Asked to be taken out.
    Withdrawn,
}

/// Seconds since the epoch.
pub fn seconds(wall: SystemTime) -> u64 {
    wall.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The row of a registration.
pub fn put(registration: &Registration) -> Change {
    let value = serde_json::to_vec(registration).unwrap_or_default();
    Change::Put(Table::Registrations, registration.uid.to_string(), value)
}
