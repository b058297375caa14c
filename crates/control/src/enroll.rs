//! Joining, renewing, leaving: who gets a certificate, and for which name.
//!
//! Names in a CSR count for nothing: a joining proxy is who its token's WorkloadGroup says, a renewing one
//! who its certificate says, down to the registration (also when it has expired, for a while: decision 0005): replicas have one identity, and none may renew,
//! withdraw or stream as another. A token is spent, durably, before the certificate is handed out.

use crate::authority::Authority;
use crate::metrics::Metrics;
use crate::presence::{ADDRESSES_MAX, Registration, Standing, StreamRefusal, Validity, put, seconds};
use crate::task::{Ended, Handle};
use crate::tokens::{CheckedToken, TokenError, Tokens, random_hex};
use apiserver::{Store, StoreError};
use ca::{IssueError, SignError};
use daemon::clock::Clock;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use identity::{CertificateDer, rotate};
use model::SpiffeId;
use model::time::{rfc3339, span};
use model::trust::Proof;
use planes::rate::{Bucket, CallerBuckets, Take};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use translate::{CompiledGroup, LocalCluster};
use xds::grpc::{CallingPeer, Enrollment, Join, Joined, Signed, WithdrawalOutcome};
use xds::{Code, Status};

/// Joins that may come at once.
const JOIN_BURST: u32 = 512;
/// Joins each second after that; more are refused and may be tried later.
const JOINS_PER_SECOND: u32 = 20;
/// The same for one source of calls. It is asked first, so that strangers cannot use up what is there for all.
const SOURCE_BURST: u32 = 256;
/// See [`SOURCE_BURST`].
const SOURCE_PER_SECOND: u32 = 10;
/// A failed join counts as this many for its source, so that guessing is slow.
const FAILURE_COST: u32 = 16;
/// Renewals that may come at once, and each second after that.
const SIGN_BURST: u32 = 2048;
/// See [`SIGN_BURST`].
const SIGNS_PER_SECOND: u32 = 200;
/// The same for one registration; renewal is due once in a certificate's life.
const REGISTRATION_BURST: u32 = 16;
/// See [`REGISTRATION_BURST`].
const REGISTRATION_PER_SECOND: u32 = 1;
/// Longest that a withdrawal waits.
const WITHDRAW_MAX: Duration = Duration::from_secs(60);

/// Everything that enrollment needs.
pub struct EnrollerDeps {
    /// The plane.
    pub handle: Handle,
    /// Who signs.
    pub authority: Authority,
    /// Join tokens.
    pub tokens: Tokens,
    /// Where registrations go.
    pub store: Arc<dyn Store>,
    /// What is counted.
    pub metrics: Metrics,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Life of the certificates.
    pub ttl: Duration,
}

/// The enrollment service of one cluster.
pub struct Enroller {
    parts: EnrollerDeps,
    joins: Mutex<Bucket>,
    sources: Mutex<CallerBuckets<IpAddr>>,
    signs: Mutex<Bucket>,
    registrations: Mutex<CallerBuckets<Arc<str>>>,
}

impl Enroller {
    /// Open for business.
    pub fn new(parts: EnrollerDeps) -> Self {
        let now = parts.clock.now();
        let joins = Mutex::new(Bucket::new(JOIN_BURST, JOINS_PER_SECOND, now));
        let sources = Mutex::new(CallerBuckets::new(SOURCE_BURST, SOURCE_PER_SECOND, now));
        let signs = Mutex::new(Bucket::new(SIGN_BURST, SIGNS_PER_SECOND, now));
        let registrations = Mutex::new(CallerBuckets::new(REGISTRATION_BURST, REGISTRATION_PER_SECOND, now));
        Self { parts, joins, sources, signs, registrations }
    }

    fn now(&self) -> Instant {
        self.parts.clock.now()
    }

    /// Counts and logs a refusal.
    fn refused(&self, call: &str, peer: &CallingPeer, status: Status) -> Status {
        self.parts.metrics.refusals.inc();
        let id = peer.proof.as_ref().or(peer.expired.as_ref()).map(|proof| proof.id.to_string());
        tracing::warn!(call, peer = %peer.address, id, reason = %status.message, "enrollment refused");
        status
    }

    async fn try_join(&self, source: IpAddr, join: Join) -> Result<Joined, Status> {
        pass(locked(&self.sources).take(source, 1, self.now()))?;
        let tokens = self.parts.tokens.clone();
        let token = join.token.clone();
        let bad_token = |error| self.bad_token(source, error);
        let checked = blocking(move || tokens.check(&token)).await?.map_err(bad_token)?;
        pass(locked(&self.joins).take(1, self.now()))?;
        let (group, place, identity) = self.group_of(&checked).await?;
        let random = random_hex::<6>().map_err(|error| Status::new(Code::Internal, error.to_string()))?;
        let uid = model::id::uid(&place.cluster, &group.namespace, &group.name, &random);
        let signed = self
            .parts
            .authority
            .sign(&join.csr, &identity, &uid, self.parts.ttl)
            .await
            .map_err(not_signed)?;
        let registration = Registration {
            uid: uid.as_str().into(),
            identity: identity.to_string().into(),
            namespace: group.namespace.clone(),
            group: group.name.clone(),
            expires_s: Some(expiry(&signed)?),
            addresses: join.addresses.into_iter().take(ADDRESSES_MAX).collect(),
            standing: Standing::Joined,
            assumed_s: None,
            used: None,
            unready: None,
            gone_s: None,
        };
        let EnrollerDeps { tokens, store, handle, .. } = &self.parts;
        let (tokens, store, handle) = (tokens.clone(), store.clone(), handle.clone());
        let joined = blocking(move || {
            tokens.spend(&checked)?;
            store.commit(&[put(&registration)]).map_err(TokenError::Store)?;
            Ok(handle.run_blocking(move |plane, _| plane.join(registration)))
        });
        joined.await?.map_err(bad_token)?.map_err(stopping)?;
        self.parts.metrics.joins.inc();
        let locality = match group.locality.region.is_empty() {
            true => place.locality,
            false => group.locality,
        };
        Ok(Joined {
            chain: signed.chain,
            bundles: signed.bundles,
            uid,
            namespace: group.namespace.to_string(),
            group: group.name.to_string(),
            cluster: place.cluster.to_string(),
            network: place.network.to_string(),
            locality,
        })
    }

    /// What a token lets in, as the configuration says at this moment.
    async fn group_of(
        &self,
        checked: &CheckedToken,
    ) -> Result<(CompiledGroup, LocalCluster, SpiffeId), Status> {
        let binding = checked.binding.clone();
        let found = self.parts.handle.run(move |plane, _| {
            if !plane.has_room() {
                return Err(Status::new(Code::ResourceExhausted, "too many registrations"));
            }
            let world = &plane.world;
            let group = world.group(&binding.namespace, &binding.group);
            let identity = world.identity(&binding.namespace, &binding.group);
            let gone = || {
                let text = format!("WorkloadGroup/{}.{} is gone", binding.group, binding.namespace);
                Status::new(Code::FailedPrecondition, text)
            };
            Ok((group.ok_or_else(gone)?, world.local_cluster(), identity.ok_or_else(gone)?))
        });
        found.await.map_err(stopping)?
    }

    fn bad_token(&self, source: IpAddr, error: TokenError) -> Status {
        match &error {
            TokenError::Invalid | TokenError::Expired | TokenError::Spent => {
                locked(&self.sources).charge(source, FAILURE_COST, self.now());
                Status::new(Code::Unauthenticated, error.to_string())
            }
            TokenError::TooMany => Status::new(Code::ResourceExhausted, error.to_string()),
            TokenError::Store(cause) => unstored(cause),
            TokenError::Random => Status::new(Code::Internal, error.to_string()),
        }
    }

    async fn try_sign(&self, peer: &CallingPeer, csr: &[u8]) -> Result<Signed, Status> {
        let late = peer.proof.is_none();
        let proof = peer.proof.as_ref().or(peer.expired.as_ref()).cloned().ok_or_else(|| peer.unproved())?;
        let uid = proof.uid.clone().ok_or(StreamRefusal::OtherRegistration).map_err(denied)?;
        let (id, expired, shown) = (proof.id.clone(), proof.expires, Validity::of(&proof));
        let claimed = uid.clone();
        let admitted = self.parts.handle.run(move |plane, now| match late {
            false => plane.admit(&claimed, &proof).and_then(|registration| registration.renewable()),
            true => plane.admit_expired(&claimed, &proof, now.wall).map(drop),
        });
        admitted.await.map_err(stopping)?.map_err(denied)?;
        // Its own first: one proxy alone cannot use up what all need.
        pass(locked(&self.registrations).take(uid.clone(), 1, self.now()))?;
        pass(locked(&self.signs).take(1, self.now()))?;
        let signed = self.parts.authority.sign(csr, &id, &uid, self.parts.ttl).await.map_err(not_signed)?;
        let expires_s = expiry(&signed)?;
        let renewed = uid.clone();
        let kept = self.parts.handle.run(move |plane, _| plane.renew(&renewed, shown, expires_s));
        kept.await.map_err(stopping)?.map_err(denied)?;
        match late {
            false => self.parts.metrics.renewals.inc(),
            true => {
                self.parts.metrics.late_renewals.inc();
                let ago = self.parts.clock.wall().duration_since(expired).unwrap_or_default();
                let (peer, expired) = (peer.address, rfc3339(expired));
                tracing::warn!(%peer, %id, %uid, expired, "renewed a certificate that had expired {} ago", span(ago));
            }
        }
        Ok(Signed { chain: signed.chain, bundles: signed.bundles })
    }

    async fn try_withdraw(
        &self,
        peer: &CallingPeer,
        uid: String,
        deadline: Duration,
    ) -> Result<WithdrawalOutcome, Status> {
        let proof = proved(peer)?;
        let (reply, answer) = tokio::sync::oneshot::channel();
        let begun = self.parts.handle.run(move |plane, now| {
            let registration = plane.admit(&uid, &proof)?;
            let deadline = now.instant + deadline.min(WITHDRAW_MAX);
            plane.withdraw(&registration.uid, deadline, now.instant, reply);
            Ok::<(), StreamRefusal>(())
        });
        begun.await.map_err(stopping)?.map_err(denied)?;
        let withdrawn = answer.await.map_err(|_| stopping(Ended))?;
        Ok(WithdrawalOutcome { acknowledged: withdrawn.acknowledged, outstanding: withdrawn.outstanding })
    }
}

impl Enrollment for Enroller {
    fn join(&self, peer: CallingPeer, join: Join) -> BoxFuture<'_, Result<Joined, Status>> {
        let work = async move {
            let done = self.try_join(model::address::source(peer.address.ip()), join).await;
            done.map_err(|status| self.refused("join", &peer, status))
        };
        work.boxed()
    }

    fn sign(&self, peer: CallingPeer, csr: Vec<u8>) -> BoxFuture<'_, Result<Signed, Status>> {
        async move { self.try_sign(&peer, &csr).await.map_err(|status| self.refused("sign", &peer, status)) }
            .boxed()
    }

    fn withdraw(
        &self,
        peer: CallingPeer,
        uid: String,
        deadline: Duration,
    ) -> BoxFuture<'_, Result<WithdrawalOutcome, Status>> {
        let work = async move {
            let done = self.try_withdraw(&peer, uid, deadline).await;
            done.map_err(|status| self.refused("withdraw", &peer, status))
        };
        work.boxed()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pass(taken: Take) -> Result<(), Status> {
    match taken {
        Take::Granted => Ok(()),
        Take::Refused => {
            Err(Status::new(Code::ResourceExhausted, "too many calls; try again in a few seconds"))
        }
    }
}

fn denied(stranger: StreamRefusal) -> Status {
    let code = match stranger {
        // Its old stream may not be noticed to have ended yet.
        StreamRefusal::InUse => Code::Unavailable,
        _ => Code::PermissionDenied,
    };
    Status::new(code, stranger.to_string())
}

fn proved(peer: &CallingPeer) -> Result<Proof, Status> {
    peer.proof.clone().ok_or_else(|| peer.unproved())
}

/// When what was signed expires, in seconds since the epoch.
fn expiry(signed: &rotate::SignedLeaf) -> Result<u64, Status> {
    let leaf: Vec<_> =
        signed.chain.first().map(|der| CertificateDer::from(der.as_slice())).into_iter().collect();
    let unreadable = || Status::new(Code::Internal, "the signed certificate cannot be read");
    let expires = identity::leaf(&leaf).ok_or_else(unreadable)?.not_after;
    Ok(seconds(expires))
}

fn not_signed(error: IssueError) -> Status {
    let code = match &error {
        IssueError::Sign(SignError::TooLarge(_) | SignError::Request(_) | SignError::KeyKind) => {
            Code::InvalidArgument
        }
        IssueError::Sign(SignError::OtherDomain { .. }) => Code::PermissionDenied,
        IssueError::Sign(SignError::Expired)
        | IssueError::Connect { .. }
        | IssueError::Stream(_)
        | IssueError::Silent(_) => Code::Unavailable,
        IssueError::Sign(_)
        | IssueError::Refused { .. }
        | IssueError::Malformed(_)
        | IssueError::Proof(_) => Code::Internal,
    };
    Status::new(code, error.to_string())
}

fn stopping(error: Ended) -> Status {
    Status::new(Code::Unavailable, error.to_string())
}

fn unstored(cause: &StoreError) -> Status {
    tracing::error!(error = %cause, "the store does not work");
    Status::new(Code::Unavailable, "the store does not work")
}

/// Runs store work where it may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Status> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Status::new(Code::Internal, "the store's thread failed"))
}
