//! The signing certificate of this cluster: made anew at each start, key in memory only, renewed in time.
//!
//! Whoever holds the root signs it (`ca::issuer`); this keeps asking until it is there, and signs with the last good
//! one meanwhile.

use crate::task::Handle;
use ca::issuer::check::{self, UnfitIntermediate};
use ca::issuer::intermediate::IntermediateIssuer;
use ca::issuer::plugged::CertificateSource;
use ca::issuer::{CertificateRequest, LeafRequest};
use ca::{IssueError, LeafIssuer, RootIssuer};
use daemon::clock::Clock;
use identity::freshness::CertificateValidity;
use identity::rotate::{SignedLeaf, jitter};
use identity::{CONTROL_ACCOUNT, Identity, Key, SYSTEM_NAMESPACE};
use model::hex::hex;
use model::time::{rfc3339, span};
use model::trust::TrustBundle;
use model::{Backoff, SpiffeId, TrustDomain};
use std::error::Error;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

/// First wait after the holder of the root did not sign; doubles up to [`RETRY_WAIT_MAX`].
const RETRY_WAIT_FIRST: Duration = Duration::from_millis(100);
/// Longest wait between attempts.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(10);
/// Longest sleep: the wall clock may be set, or the machine suspended, while we sleep.
const NAP_MAX: Duration = Duration::from_secs(30);
/// After which parts of the life of a signing certificate that was given its end is told: at once, and when it nears.
const GIVEN_TOLD_AT: [f64; 5] = [0.0, 0.5, 0.8, 0.95, 1.0];
/// Life of the control plane's own certificate.
const OWN_TTL: Duration = Duration::from_secs(600);

/// Why there is no signing certificate yet.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// No key.
    #[error("make a signing key")]
    Key(#[source] identity::KeyError),
    /// The holder of the root did not sign.
    #[error("have the signing certificate signed")]
    Issue(#[source] IssueError),
    /// What came back is not signed with.
    #[error("use what the holder of the root signed")]
    Unfit(#[source] UnfitIntermediate),
    /// Proxies that trust the root of now would lose everybody who is certified from then on.
    #[error(
        "the holder of the root has another root now, with SHA-256 {found}; this cluster trusts {known}. If that \
         is meant, start this control plane anew, and with it the proxies"
    )]
    OtherRoot {
        /// The new one's.
        found: String,
        /// Ours.
        known: String,
    },
}

impl AuthorityError {
    fn is_final(&self) -> bool {
        matches!(self, Self::Issue(error) if error.is_final())
    }
}

/// The signing certificate of now.
pub(crate) struct Current {
    held: IntermediateIssuer,
    since: SystemTime,
}

/// The cluster's signing CA. Copies share it.
#[derive(Clone)]
pub struct Authority {
    /// Who renews; `None`: nobody, it was given.
    issuer: Option<Arc<dyn RootIssuer>>,
    cluster: Arc<str>,
    clock: Arc<dyn Clock>,
    current: Arc<RwLock<Arc<Current>>>,
}

/// Who asks whom for a signing certificate.
pub(crate) struct Asking<'a> {
    pub(crate) issuer: &'a dyn RootIssuer,
    pub(crate) cluster: &'a str,
    pub(crate) clock: &'a dyn Clock,
    /// Of this control plane, where it has been certified before.
    pub(crate) caller: Option<&'a Identity>,
    /// What is in force meanwhile.
    pub(crate) held: Option<&'a Current>,
}

impl Asking<'_> {
    /// Once.
    pub(crate) async fn ask(&self, key: &Key, csr: &[u8]) -> Result<Current, AuthorityError> {
        let since = self.clock.wall();
        let request = CertificateRequest { csr, caller: self.caller };
        let issued = self.issuer.sign_intermediate(self.cluster, request).await;
        let issued = issued.map_err(AuthorityError::Issue)?;
        let held = check::intermediate(key.clone(), issued, self.cluster, self.clock.wall());
        let held = held.map_err(AuthorityError::Unfit)?;
        if let Some(before) = self.held {
            before.check_successor(&held)?;
        }
        Ok(Current { held, since })
    }

    /// Asks until it is answered, or asking is of no use. The request stays the same, so that a holder knows it again.
    async fn ask_in_the_end(&self) -> Result<Current, AuthorityError> {
        let key = Key::generate().map_err(AuthorityError::Key)?;
        let csr = key.csr().map_err(AuthorityError::Key)?;
        let mut backoff = Backoff::new(RETRY_WAIT_FIRST, RETRY_WAIT_MAX);
        loop {
            let error = match self.ask(&key, &csr).await {
                Ok(current) => return Ok(current),
                // With nothing in force whoever started this must hear of it at once.
                Err(error) if error.is_final() && self.held.is_none() => return Err(error),
                Err(error) => error,
            };
            let wait = backoff.next_wait(jitter());
            let (causes, in_force) = (causes(&error), self.in_force());
            tracing::warn!(%error, causes, in_force, again_in = ?wait, "no new signing certificate yet");
            tokio::time::sleep(wait).await;
        }
    }

    /// What this control plane signs with meanwhile.
    fn in_force(&self) -> String {
        let Some(current) = self.held else { return "none: nobody can join or renew".into() };
        let (end, now) = (current.held.signer.not_after(), self.clock.wall());
        match end.duration_since(now) {
            Ok(left) => format!("the last one, for another {} (until {})", span(left), rfc3339(end)),
            Err(_) => format!("none: the last one expired at {}; nobody can join or renew", rfc3339(end)),
        }
    }
}

/// What is behind an error, in one line.
pub(crate) fn causes(error: &dyn Error) -> String {
    let (mut texts, mut next) = (Vec::new(), error.source());
    while let Some(cause) = next {
        texts.push(cause.to_string());
        next = cause.source();
    }
    texts.join(": ")
}

impl Current {
    /// Whether everybody who trusts this one's root would trust the next one.
    fn check_successor(&self, next: &IntermediateIssuer) -> Result<(), AuthorityError> {
        let root = self.held.signer.root();
        let own = self.held.signer.trust_domain();
        let keeps = |bundle: &TrustBundle| {
            bundle.trust_domain == *own && bundle.roots.iter().any(|known| known == root)
        };
        if next.bundles.iter().any(keeps) {
            return Ok(());
        }
        let pin = |der| hex(&ca::token::pin_of(der));
        Err(AuthorityError::OtherRoot { found: pin(next.signer.root()), known: pin(root) })
    }
}

impl Authority {
    /// Waits for the first signing certificate, which must be for `cluster`.
    ///
    /// # Errors
    /// When waiting is of no use.
    pub async fn start(
        source: CertificateSource<IntermediateIssuer>,
        cluster: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, AuthorityError> {
        let (issuer, current) = match source {
            CertificateSource::Issued(issuer) => {
                let asking = Asking { issuer: &*issuer, cluster, clock: &*clock, caller: None, held: None };
                let current = asking.ask_in_the_end().await?;
                let until = rfc3339(current.held.signer.not_after());
                let trust_domain = current.held.signer.trust_domain();
                tracing::info!(cluster, %trust_domain, until, "signing certificate obtained");
                (Some(issuer), current)
            }
            CertificateSource::Plugged(held) => (None, Current { held, since: clock.wall() }),
        };
        let current = Arc::new(RwLock::new(Arc::new(current)));
        Ok(Self { issuer, cluster: cluster.into(), clock, current })
    }

    fn current(&self) -> Arc<Current> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whom it signs for.
    pub fn trust_domain(&self) -> TrustDomain {
        self.current().held.signer.trust_domain().clone()
    }

    /// Whom everybody should trust.
    pub fn bundles(&self) -> Vec<TrustBundle> {
        self.current().held.bundles.clone()
    }

    /// The certificates that this control plane lives on: the one it signs with, and its own.
    pub fn certificates(&self, own: &Identity) -> Vec<CertificateValidity> {
        let current = self.current();
        let signing = CertificateValidity {
            name: "signing certificate",
            not_before: current.since,
            not_after: current.held.signer.not_after(),
        };
        [Some(signing), own.held("own certificate")].into_iter().flatten().collect()
    }

    /// SHA-256 of the root: what join tokens pin.
    pub fn root_pin(&self) -> [u8; 32] {
        ca::token::pin_of(self.current().held.signer.root())
    }

    /// The identity of a program of the mesh's own in this trust domain.
    pub fn system_id(&self, account: &str) -> SpiffeId {
        SpiffeId {
            trust_domain: self.trust_domain(),
            namespace: SYSTEM_NAMESPACE.into(),
            service_account: account.into(),
        }
    }

    /// Certifies the key in `csr` for the registration `uid` of `id`.
    ///
    /// # Errors
    /// When the request is not usable, or whoever signs cannot.
    pub async fn sign(
        &self,
        csr: &[u8],
        id: &SpiffeId,
        uid: &str,
        ttl: Duration,
    ) -> Result<SignedLeaf, IssueError> {
        self.current().held.sign(LeafRequest { csr, id, uid: Some(uid), ttl }).await
    }

    async fn sign_own(&self, csr: &[u8]) -> Result<SignedLeaf, IssueError> {
        let id = self.system_id(CONTROL_ACCOUNT);
        self.current().held.sign(LeafRequest { csr, id: &id, uid: None, ttl: OWN_TTL }).await
    }

    /// Renews the signing certificate at half its life, for ever. New bundles go to `identity` and the plane.
    pub async fn renew(self, identity: Identity, handle: Handle) {
        let Some(issuer) = self.issuer.clone() else { return self.watch_given().await };
        loop {
            let current = self.current();
            let life = current.held.signer.not_after().duration_since(current.since).unwrap_or_default();
            let due = current.since + life / 2;
            self.sleep_until(due).await;
            let asking = Asking {
                issuer: &*issuer,
                cluster: &self.cluster,
                clock: &*self.clock,
                caller: Some(&identity),
                held: Some(&current),
            };
            let next = match asking.ask_in_the_end().await {
                Ok(next) => next,
                Err(error) => {
                    tracing::error!(%error, causes = causes(&error), "signing certificate not renewed");
                    tokio::time::sleep(NAP_MAX).await;
                    continue;
                }
            };
            let bundles = next.held.bundles.clone();
            let until = rfc3339(next.held.signer.not_after());
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
            tracing::info!(until, "signing certificate renewed");
            identity.set_trust(bundles.clone());
            if handle.run(move |plane, _| plane.trust(bundles)).await.is_err() {
                return;
            }
            // A certificate that is due again at once must not make this a busy loop.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Tells of the end of a signing certificate that was given, as often as there is reason.
    async fn watch_given(self) {
        let current = self.current();
        let (end, life) = {
            let end = current.held.signer.not_after();
            (end, end.duration_since(current.since).unwrap_or_default())
        };
        for part in GIVEN_TOLD_AT {
            self.sleep_until(current.since + life.mul_f64(part)).await;
            let left = span(end.duration_since(self.clock.wall()).unwrap_or_default());
            tracing::warn!(
                until = rfc3339(end),
                left,
                "the signing certificate was given and is not renewed; before it expires, start this control plane \
                 anew with another one"
            );
        }
    }

    async fn sleep_until(&self, due: SystemTime) {
        while let Ok(left) = due.duration_since(self.clock.wall())
            && !left.is_zero()
        {
            tokio::time::sleep(left.min(NAP_MAX)).await;
        }
    }

    /// What the issuer has to do meanwhile, for ever.
    pub async fn keep_issuer(self) {
        match &self.issuer {
            Some(issuer) => issuer.keep().await,
            None => std::future::pending().await,
        }
    }

    /// Keeps the control plane's own certificate fresh, for ever.
    pub async fn renew_own(self, identity: Identity) {
        let clock = self.clock.clone();
        let sign = move |csr: Vec<u8>| {
            let authority = self.clone();
            async move { authority.sign_own(&csr).await }
        };
        let on_event = |event| match event {
            identity::rotate::Event::Renewed { .. } => tracing::debug!("own certificate renewed"),
            identity::rotate::Event::Failed { error, .. } => {
                tracing::warn!(error, "own certificate not renewed")
            }
        };
        identity::rotate::run(identity, sign, move || clock.wall(), identity::rotate::jitter, on_event).await;
    }

    /// The control plane's first own certificate.
    pub async fn install_own(&self, identity: &Identity) -> Result<(), anyhow::Error> {
        let key = Key::generate()?;
        let signed = self.sign_own(&key.csr()?).await?;
        identity.install(identity::Svid::new(key, signed.chain)?);
        Ok(())
    }
}
