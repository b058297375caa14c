//! What peers have proved lately in handshakes, for connections that outlive the certificate they were opened with:
//! one record for each peer, shared by all connections to and from it on all workers, and gone with the last of them.
//! `mesh_tls` writes it at each handshake; nothing is written or read for a request. What follows from it is decided by
//! `decide::reauthentication`; why so, decision 0006.

#[cfg(test)]
mod tests;

use decide::reauthentication::{OpenStreams, Shown, is_handshake_due, open_streams};
use model::SpiffeId;
use model::trust::{Proof, Voucher};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::time::{Instant, sleep_until};

/// Records of peers that are gone are swept once at least this many are held.
const SWEPT_AT_LEAST: usize = 64;

/// What makes two certificates those of one peer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct PeerKey {
    id: SpiffeId,
    voucher: Voucher,
    /// A registration: it stays the same as long as the workload's proxy runs, and no two workloads share one.
    uid: Arc<str>,
}

impl PeerKey {
    /// `None`: the certificate does not tell which workload has it, or nobody by name vouches for that.
    fn of(proof: &Proof) -> Option<Self> {
        let uid = proof.uid.clone()?;
        let is_named = proof.voucher != Voucher::Nameless;
        is_named.then(|| Self { id: proof.id.clone(), voucher: proof.voucher.clone(), uid })
    }
}

/// All peers to or from which this proxy has a connection: so there are no more of them than connections.
#[derive(Default)]
pub(crate) struct ProvenPeers(Mutex<Remembered>);

#[derive(Default)]
struct Remembered {
    by_key: HashMap<PeerKey, Weak<ProvenPeer>>,
    /// Swept when there are so many, which is rare enough to be cheap.
    sweep_at: usize,
}

impl ProvenPeers {
    /// A handshake has proved this, which holds until `expires`.
    pub(crate) fn record(&self, proof: &Proof, expires: Instant) -> PeerValidity {
        PeerValidity { expires, peer: PeerKey::of(proof).map(|key| self.peer(key, expires)) }
    }

    fn peer(&self, key: PeerKey, expires: Instant) -> Arc<ProvenPeer> {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = remembered.by_key.get(&key).and_then(Weak::upgrade) {
            known.saw(expires);
            return known;
        }
        if remembered.by_key.len() >= remembered.sweep_at.max(SWEPT_AT_LEAST) {
            remembered.by_key.retain(|_, peer| peer.strong_count() > 0);
            remembered.sweep_at = remembered.by_key.len().saturating_mul(2);
        }
        let fresh = Arc::new(ProvenPeer::new(key.clone(), expires));
        remembered.by_key.insert(key, Arc::downgrade(&fresh));
        fresh
    }
}

/// One peer: until when the newest certificates are good that it and this proxy have shown each other.
pub(crate) struct ProvenPeer {
    key: PeerKey,
    shown: Mutex<Shown>,
}

impl ProvenPeer {
    fn new(key: PeerKey, theirs: Instant) -> Self {
        // Of ours nothing is known to have been accepted yet.
        let shown = Shown { theirs: theirs.into_std(), ours: Instant::now().into_std() };
        Self { key, shown: Mutex::new(shown) }
    }

    /// Who it is.
    pub(crate) fn id(&self) -> &SpiffeId {
        &self.key.id
    }

    /// Its registration.
    pub(crate) fn uid(&self) -> &Arc<str> {
        &self.key.uid
    }

    /// Whether a caller is to shake hands with it anew, when what it would show expires at `own`.
    pub(crate) fn is_handshake_due(&self, own: Instant) -> bool {
        is_handshake_due(*self.shown(), own.into_std(), Instant::now().into_std())
    }

    fn saw(&self, theirs: Instant) {
        let mut shown = self.shown();
        shown.theirs = shown.theirs.max(theirs.into_std());
    }

    fn was_shown(&self, ours: Instant) {
        let mut shown = self.shown();
        shown.ours = shown.ours.max(ours.into_std());
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long the other end of one connection is let in.
#[derive(Clone)]
pub(crate) struct PeerValidity {
    expires: Instant,
    /// `None`: nothing that is shown later counts for it.
    peer: Option<Arc<ProvenPeer>>,
}

impl PeerValidity {
    /// When the certificate ends that the connection was opened with.
    pub(crate) fn expires(&self) -> Instant {
        self.expires
    }

    /// Whose fresh handshakes count for it.
    pub(crate) fn peer(&self) -> Option<&Arc<ProvenPeer>> {
        self.peer.as_ref()
    }

    /// The peer has accepted a certificate of ours that is good until `ours`.
    pub(crate) fn was_shown(&self, ours: Instant) {
        if let Some(peer) = &self.peer {
            peer.was_shown(ours);
        }
    }

    /// Waits until nothing of the connection may go on.
    pub(crate) async fn ended(&self) {
        loop {
            let proven = self.peer.as_ref().map(|peer| peer.shown().theirs);
            match open_streams(self.expires.into_std(), proven, Instant::now().into_std()) {
                OpenStreams::GoOn { until } => sleep_until(Instant::from_std(until)).await,
                OpenStreams::Cut => return,
            }
        }
    }
}
