//! Which registered proxies are there, as far as can be known. Time is an argument.
//!
//! A proxy counts from its first stream on; when its stream breaks it counts for a grace, so that a
//! hiccup moves no traffic; after a start of the control plane those that counted before count again until
//! they are back or the longer grace of a start is over. One that withdrew is draining until it leaves.

mod registration;

use apiserver::{Change, Row, Table};
use model::service::EndpointState;
use model::time::{rfc3339, span};
use model::trust::Proof;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use registration::{Lives, Registration, Standing, Validity, put, seconds};

/// How long a proxy counts after its stream broke.
pub const GRACE: Duration = Duration::from_secs(10);
/// How long registrations from the store count after a start without their proxy being back.
pub const START_GRACE: Duration = Duration::from_secs(30);
/// Registrations kept at most; more are refused at joining.
pub const REGISTRATIONS_MAX: usize = 100_000;
/// The longest life of a certificate, in seconds: assumed of a proxy that may have renewed since its row was
/// stored.
pub const CERTIFICATE_LIFE_MAX_S: u64 = 24 * 60 * 60;
/// How long a proxy that joined may take until its first stream, in seconds; later it is missed.
const FIRST_STREAM_S: u64 = 30;
/// Own addresses taken from one proxy at most.
pub const ADDRESSES_MAX: usize = 8;

#[derive(Debug)]
struct PresenceEntry {
    registration: Registration,
    streams: u32,
    /// Without streams: counts until then.
    until: Option<Instant>,
    /// Whether an earlier run may have issued a certificate that its row does not tell of.
    is_stale: bool,
}

impl PresenceEntry {
    fn new(registration: Registration) -> Self {
        Self { registration, streams: 0, until: None, is_stale: false }
    }

    fn counts(&self) -> bool {
        self.streams > 0 || self.until.is_some()
    }

    fn present(&self) -> Option<(&Registration, EndpointState)> {
        let state = match self.registration.standing {
            Standing::Withdrawn => EndpointState::Draining,
            _ if self.registration.unready.is_some() => EndpointState::Unready,
            _ => EndpointState::Ready,
        };
        self.counts().then_some((&self.registration, state))
    }
}

/// All registrations of a cluster.
#[derive(Debug, Default)]
pub struct Presence {
    entries: BTreeMap<Arc<str>, PresenceEntry>,
    /// Not later than the earliest `until` of all entries.
    next: Option<Instant>,
    /// How long things last here.
    pub lives: Lives,
}

/// A registration that should be there and is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// Its stream broke a moment ago; it still counts.
    Away,
    /// It counts no more.
    Gone {
        /// Since then, in seconds since the epoch; `None`: not known yet.
        since_s: Option<u64>,
    },
}

/// Why a proxy's stream is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamRefusal {
    /// No such registration.
    #[error("the registration is not known here; join again with a new token")]
    Unknown,
    /// The certificate belongs to somebody else.
    #[error("the registration belongs to another identity")]
    OtherIdentity,
    /// The certificate belongs to a sibling, or was issued before registrations stood in certificates.
    #[error("the certificate was issued to another registration; join again with a new token")]
    OtherRegistration,
    /// Another cluster signed the certificate.
    #[error("another cluster vouches for the certificate")]
    OtherCluster,
    /// It expired before the grace.
    #[error(
        "the certificate expired {} ago, and is renewed for {} after its end at most; join again with a new token",
        span(*.0), span(*.1)
    )]
    TooLate(Duration, Duration),
    /// It was taken out; whoever comes with its old certificate is no proxy that was cut off.
    #[error("the registration was withdrawn; join again with a new token")]
    Withdrawn,
    /// Whoever has the registration has had a newer certificate, and used it.
    #[error("a newer certificate of the registration has been in use; join again with a new token")]
    Superseded,
    /// Its proxy is here with a good certificate, so whoever comes with an expired one is another.
    #[error("the registration is in use; an expired certificate cannot be renewed meanwhile")]
    InUse,
    /// What its identity came from is no more.
    #[error("its WorkloadGroup is gone or has another identity now; join again with a new token")]
    NoGroup,
}

impl Presence {
    /// What the store held; nobody counts before [`Presence::begin`].
    pub fn load(rows: &[Row]) -> Self {
        let read = |row: &Row| serde_json::from_slice::<Registration>(&row.value).ok();
        let entry = |registration: Registration| (registration.uid.clone(), PresenceEntry::new(registration));
        Self { entries: rows.iter().filter_map(read).map(entry).collect(), ..Self::default() }
    }

    /// From now on proxies can come back: those that counted before count for the grace of a start. Not
    /// earlier, because until there is a signing certificate no proxy gets through, however long that takes.
    pub fn begin(&mut self, now: Instant) {
        let until = now + START_GRACE;
        for entry in self.entries.values_mut() {
            if entry.registration.standing == Standing::Present && entry.streams == 0 {
                entry.until = Some(until);
                entry.is_stale = true;
                self.next = Some(until);
            }
        }
    }

    /// Number of registrations, those that left included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// A proxy joined.
    pub fn join(&mut self, registration: Registration) {
        self.entries.insert(registration.uid.clone(), PresenceEntry::new(registration));
    }

    /// A registration.
    pub fn find(&self, uid: &str) -> Option<&Registration> {
        self.entries.get(uid).map(|entry| &entry.registration)
    }

    /// Whether who proved this to `cluster` may act as `uid`. The identity is the whole group's, so the
    /// certificate must be the registration's own too, and signed here.
    pub fn admit(&self, uid: &str, proof: &Proof, cluster: &str) -> Result<&Registration, StreamRefusal> {
        if proof.cluster().is_none_or(|voucher| **voucher != *cluster) {
            return Err(StreamRefusal::OtherCluster);
        }
        let registration = self.find(uid).ok_or(StreamRefusal::Unknown)?;
        if *registration.identity != proof.id.to_string() {
            return Err(StreamRefusal::OtherIdentity);
        }
        match proof.uid.as_deref() == Some(uid) {
            true => Ok(registration),
            false => Err(StreamRefusal::OtherRegistration),
        }
    }

    /// Whether who showed an expired certificate, which proved this, may have `uid` certified anew: as in
    /// [`Presence::admit`], it is not long ago, and nothing speaks against it being the one that was cut off. Its
    /// certificate need not be the last that was issued: that one may have been lost on its way.
    pub fn admit_expired(
        &self,
        uid: &str,
        proof: &Proof,
        cluster: &str,
        now: SystemTime,
    ) -> Result<&Registration, StreamRefusal> {
        let registration = self.admit(uid, proof, cluster)?;
        let ago = now.duration_since(proof.expires).unwrap_or_default();
        registration.renewable()?;
        if ago > self.lives.renewal_grace {
            return Err(StreamRefusal::TooLate(ago, self.lives.renewal_grace));
        }
        if registration.used.is_some_and(|used| Validity::of(proof).is_older(used)) {
            return Err(StreamRefusal::Superseded);
        }
        match self.streams(uid) {
            0 => Ok(registration),
            _ => Err(StreamRefusal::InUse),
        }
    }

    /// The proxy gets another certificate for the one that it showed, unless it was withdrawn since it was admitted.
    /// A row only without a stream: the end of a stream stores it otherwise.
    pub fn renew(
        &mut self,
        uid: &str,
        shown: Validity,
        expires_s: u64,
    ) -> Result<Option<Change>, StreamRefusal> {
        let entry = self.entries.get_mut(uid).ok_or(StreamRefusal::Unknown)?;
        entry.registration.renewable()?;
        entry.registration.uses(shown);
        entry.registration.expires_s = entry.registration.expires_s.max(Some(expires_s));
        Ok((entry.streams == 0).then(|| put(&entry.registration)))
    }

    /// A stream of the proxy began, opened with this certificate.
    pub fn connect(&mut self, uid: &str, addresses: &[IpAddr], shown: Validity) -> Option<Change> {
        let entry = self.entries.get_mut(uid)?;
        let before = entry.registration.clone();
        entry.streams += 1;
        entry.until = None;
        entry.registration.gone_s = None;
        entry.registration.uses(shown);
        if !addresses.is_empty() {
            entry.registration.addresses = addresses.iter().take(ADDRESSES_MAX).copied().collect();
        }
        if entry.registration.standing != Standing::Withdrawn {
            entry.registration.standing = Standing::Present;
        }
        (before != entry.registration).then(|| put(&entry.registration))
    }

    /// Whether a proxy joined and had no stream yet.
    pub fn is_new(&self, uid: &str) -> bool {
        self.find(uid).is_some_and(|registration| registration.standing == Standing::Joined)
    }

    /// The proxy tells of its application; it holds until it tells otherwise, also when its stream has broken and after a
    /// start of the control plane. A row where the verdict is another: causes change more often.
    pub fn set_unready(&mut self, uid: &str, unready: Option<Arc<str>>) -> Option<Change> {
        let registration = &mut self.entries.get_mut(uid)?.registration;
        let before = std::mem::replace(&mut registration.unready, unready);
        (before.is_some() != registration.unready.is_some()).then(|| put(registration))
    }

    /// How many count whose application is not ready.
    pub fn unready(&self) -> usize {
        self.present().filter(|(_, state)| *state == EndpointState::Unready).count()
    }

    /// A stream of the proxy ended. The row after its last holds what renewals changed meanwhile.
    pub fn disconnect(&mut self, uid: &str, now: Instant) -> Option<Change> {
        let entry = self.entries.get_mut(uid)?;
        debug_assert!(entry.streams > 0, "a stream ended twice");
        entry.streams = entry.streams.saturating_sub(1);
        if entry.streams > 0 {
            return None;
        }
        let withdrawn = entry.registration.standing == Standing::Withdrawn;
        entry.until = (!withdrawn).then(|| now + GRACE);
        self.next = [self.next, entry.until].into_iter().flatten().min();
        Some(put(&entry.registration))
    }

    /// The proxy asks to be taken out.
    pub fn withdraw(&mut self, uid: &str) -> Option<Change> {
        let entry = self.entries.get_mut(uid)?;
        entry.registration.standing = Standing::Withdrawn;
        if entry.streams == 0 {
            entry.until = None;
        }
        Some(put(&entry.registration))
    }

    /// Takes out those whose grace is over, and forgets those that can never come back.
    pub fn expire(&mut self, now: Instant, now_s: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        let lives = self.lives;
        for entry in self.entries.values_mut() {
            if entry.until.is_some_and(|until| until <= now) {
                entry.until = None;
                entry.registration.standing = Standing::Gone;
                let Registration { uid, expires_s, .. } = &entry.registration;
                let certificate_until = expires_s.map(|at| rfc3339(UNIX_EPOCH + Duration::from_secs(at)));
                tracing::warn!(%uid, certificate_until, "a proxy is gone: it takes no traffic until it is back");
            }
            let is_missed = matches!(entry.registration.standing, Standing::Gone | Standing::Joined);
            if is_missed && !entry.counts() && entry.registration.gone_s.is_none() {
                entry.registration.gone_s = Some(now_s);
                changes.push(put(&entry.registration));
            }
        }
        self.entries.retain(|uid, entry| {
            let counts = entry.counts();
            let registration = &mut entry.registration;
            let is_unknown = registration.expires_s.or(registration.assumed_s).is_none();
            if !counts && (entry.is_stale || is_unknown) {
                entry.is_stale = false;
                registration.assumed_s = Some(now_s + CERTIFICATE_LIFE_MAX_S);
                changes.push(put(registration));
            }
            let last_s = registration.expires_s.max(registration.assumed_s);
            let keep =
                counts || last_s.is_some_and(|at| at + lives.kept_expired_s(registration.standing) > now_s);
            if !keep {
                changes.push(Change::Delete(Table::Registrations, uid.to_string()));
            }
            keep
        });
        self.next = self.entries.values().filter_map(|entry| entry.until).min();
        changes
    }

    /// When [`Presence::expire`] should be called next, at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// Number of open streams of a registration.
    pub fn streams(&self, uid: &str) -> u32 {
        self.entries.get(uid).map_or(0, |entry| entry.streams)
    }

    /// Those that count, with what they may be used for, by uid.
    pub fn present(&self) -> impl Iterator<Item = (&Registration, EndpointState)> {
        self.entries.values().filter_map(PresenceEntry::present)
    }

    /// Those that should be there and are not, until they are withdrawn or forgotten. One that another of its
    /// group replaced at the same address is not missed: its host is back under another registration.
    pub fn absent(&self, now_s: u64) -> impl Iterator<Item = (&Registration, Absence)> {
        let mut replaced = BTreeSet::new();
        for entry in self.entries.values().filter(|entry| entry.streams > 0) {
            let registration = &entry.registration;
            let place = |address| (&*registration.namespace, &*registration.group, address);
            replaced.extend(registration.addresses.iter().map(place));
        }
        self.entries.values().filter(|entry| entry.streams == 0).filter_map(move |entry| {
            let registration = &entry.registration;
            let is_replaced =
                |address| replaced.contains(&(&*registration.namespace, &*registration.group, address));
            let absence = match registration.standing {
                Standing::Withdrawn => return None,
                Standing::Present => Absence::Away,
                Standing::Gone => Absence::Gone { since_s: registration.gone_s },
                // It had not been there before; how long it has been awaited is looked at now and then.
                Standing::Joined => match registration.gone_s {
                    Some(since) if since + FIRST_STREAM_S <= now_s => Absence::Gone { since_s: Some(since) },
                    _ => return None,
                },
            };
            let is_missed = absence == Absence::Away || !registration.addresses.iter().any(is_replaced);
            is_missed.then_some((registration, absence))
        })
    }

    /// How many of those are gone.
    pub fn gone(&self, now_s: u64) -> usize {
        self.absent(now_s).filter(|(_, absence)| matches!(absence, Absence::Gone { .. })).count()
    }

    /// One of them.
    pub fn find_present(&self, uid: &str) -> Option<(&Registration, EndpointState)> {
        self.entries.get(uid)?.present()
    }
}

#[cfg(test)]
mod tests;
