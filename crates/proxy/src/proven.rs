//! What peers have proved lately in handshakes, for connections that outlive the certificate they were opened with:
//! one record for each peer, shared by all connections to and from it on all workers, and gone with the last of them.
//! `mesh_tls` writes it at each handshake; nothing is written or read for a request. What follows from it is decided by
//! `decide::reauthentication`; why so, decision 0006.

#[cfg(test)]
mod tests;

use decide::reauthentication::{OpenStreams, Shown, is_handshake_due, open_streams};
use model::SpiffeId;
use model::trust::{Proof, Voucher};
use rustls::pki_types::CertificateDer;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::time::Instant;

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
    /// A handshake has proved this.
    pub(crate) fn record(&self, proof: &Proof, shown: Handshake) -> PeerValidity {
        let expires = shown.expires;
        let peer = match PeerKey::of(proof) {
            Some(key) => self.peer(key, shown),
            // Nothing that is shown later counts for it.
            None => Arc::new(ProvenPeer::new(proof.id.clone(), None, shown)),
        };
        PeerValidity { expires, peer }
    }

    fn peer(&self, key: PeerKey, shown: Handshake) -> Arc<ProvenPeer> {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = remembered.by_key.get(&key).and_then(Weak::upgrade) {
            known.newest().update(shown);
            return known;
        }
        if remembered.by_key.len() >= remembered.sweep_at.max(SWEPT_AT_LEAST) {
            remembered.by_key.retain(|_, peer| peer.strong_count() > 0);
            remembered.sweep_at = remembered.by_key.len().saturating_mul(2);
        }
        let fresh = Arc::new(ProvenPeer::new(key.id.clone(), Some(key.uid.clone()), shown));
        remembered.by_key.insert(key, Arc::downgrade(&fresh));
        fresh
    }
}

/// What a peer has shown in a handshake.
pub(crate) struct Handshake {
    /// Its certificates, leaf first.
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    /// When the leaf ends.
    pub(crate) expires: Instant,
    /// Under which trust it was believed, counted by `Identity::trust_changes`.
    pub(crate) trust: u64,
}

/// One peer, and the newest that it and this proxy have shown each other.
pub(crate) struct ProvenPeer {
    id: SpiffeId,
    /// `None`: this is of one connection alone.
    uid: Option<Arc<str>>,
    newest: Mutex<Newest>,
}

struct Newest {
    shown: Shown,
    certificates: Vec<CertificateDer<'static>>,
    /// Under which trust they were judged last.
    trust: u64,
    is_trusted: bool,
}

impl Newest {
    fn update(&mut self, Handshake { certificates, expires, trust }: Handshake) {
        let theirs = expires.into_std();
        // One that is trusted counts more than one that lasts longer and is not, or not by what is trusted today.
        let is_newer_trust = !self.is_trusted || trust > self.trust;
        if is_newer_trust || theirs > self.shown.theirs {
            self.shown.theirs = theirs;
            (self.certificates, self.trust, self.is_trusted) = (certificates, trust, true);
        }
    }
}

impl ProvenPeer {
    fn new(id: SpiffeId, uid: Option<Arc<str>>, shown: Handshake) -> Self {
        let Handshake { certificates, expires, trust } = shown;
        // Of ours nothing is known to have been accepted yet.
        let shown = Shown { theirs: expires.into_std(), ours: Instant::now().into_std() };
        Self { id, uid, newest: Mutex::new(Newest { shown, certificates, trust, is_trusted: true }) }
    }

    /// Who it is.
    pub(crate) fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// Its registration.
    pub(crate) fn uid(&self) -> Option<&Arc<str>> {
        self.uid.as_ref()
    }

    /// Whether a caller is to shake hands with it anew, when what it would show expires at `own`.
    pub(crate) fn is_handshake_due(&self, own: Instant) -> bool {
        is_handshake_due(self.newest().shown, own.into_std(), Instant::now().into_std())
    }

    fn newest(&self) -> MutexGuard<'_, Newest> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long the other end of one connection is let in.
#[derive(Clone)]
pub(crate) struct PeerValidity {
    expires: Instant,
    peer: Arc<ProvenPeer>,
}

impl PeerValidity {
    /// When the certificate ends that the connection was opened with.
    pub(crate) fn expires(&self) -> Instant {
        self.expires
    }

    /// Whose handshakes count for it.
    pub(crate) fn peer(&self) -> &Arc<ProvenPeer> {
        &self.peer
    }

    /// The peer has accepted a certificate of ours that is good until `ours`.
    pub(crate) fn was_shown(&self, ours: Instant) {
        let mut newest = self.peer.newest();
        newest.shown.ours = newest.shown.ours.max(ours.into_std());
    }

    /// Whether the newest that the peer has shown is trusted still, under the trust of this number: `judge` is asked
    /// once for each.
    pub(crate) fn is_trusted(
        &self,
        trust: u64,
        judge: impl FnOnce(&[CertificateDer<'static>]) -> bool,
    ) -> bool {
        let newest = &mut *self.peer.newest();
        if newest.trust != trust {
            (newest.trust, newest.is_trusted) = (trust, judge(&newest.certificates));
        }
        newest.is_trusted
    }

    /// What becomes of what is open on it.
    pub(crate) fn open_streams(&self) -> OpenStreams {
        open_streams(self.peer.newest().shown.theirs, Instant::now().into_std())
    }
}
