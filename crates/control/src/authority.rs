//! The signing certificate of this cluster: made anew at each start, key in memory only, renewed in time.
//!
//! Whoever holds the root signs it (`ca::issuer`); this keeps asking until it is there.

use crate::task::Handle;
use ca::issuer::LeafRequest;
use ca::issuer::intermediate::IntermediateIssuer;
use ca::{IssueError, LeafIssuer, RootIssuer, SignError, Signer};
use daemon::clock::Clock;
use identity::freshness::CertificateValidity;
use identity::rotate::{SignedLeaf, jitter};
use identity::{CONTROL_ACCOUNT, Identity, Key, SYSTEM_NAMESPACE};
use model::trust::TrustBundle;
use model::{Backoff, SpiffeId, TrustDomain};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};
use thiserror::Error;

/// First wait after the holder of the root did not sign; doubles up to [`RETRY_WAIT_MAX`].
const RETRY_WAIT_FIRST: Duration = Duration::from_millis(100);
/// Longest wait between attempts.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(10);
/// Longest sleep: the wall clock may be set, or the machine suspended, while we sleep.
const NAP_MAX: Duration = Duration::from_secs(30);
/// Life of the control plane's own certificate.
const OWN_TTL: Duration = Duration::from_secs(600);

/// Why there is no signing certificate yet.
#[derive(Debug, Error)]
pub enum AuthorityError {
    /// No key.
    #[error("make a signing key")]
    Key(#[source] identity::KeyError),
    /// The holder of the root did not sign.
    #[error("have the signing certificate signed")]
    Issue(#[source] IssueError),
    /// What came back cannot be used.
    #[error("use the signing certificate")]
    Sign(#[source] SignError),
    /// The holder of the root binds us to another cluster, so the management plane would refuse us.
    #[error("the signing certificate is for cluster {}, this is {cluster}", found.as_deref().unwrap_or("(none)"))]
    OtherCluster {
        /// The cluster that it names.
        found: Option<Arc<str>>,
        /// This one.
        cluster: Arc<str>,
    },
}

/// The signing certificate of now.
pub(crate) struct Current {
    held: IntermediateIssuer,
    since: SystemTime,
}

/// The cluster's signing CA. Copies share it.
#[derive(Clone)]
pub struct Authority {
    issuer: Arc<dyn RootIssuer>,
    cluster: Arc<str>,
    clock: Arc<dyn Clock>,
    current: Arc<RwLock<Arc<Current>>>,
}

pub(crate) async fn obtain(
    issuer: &dyn RootIssuer,
    cluster: &Arc<str>,
    clock: &dyn Clock,
) -> Result<Current, AuthorityError> {
    let key = Key::generate().map_err(AuthorityError::Key)?;
    let csr = key.csr().map_err(AuthorityError::Key)?;
    let since = clock.wall();
    let issued = issuer.sign_intermediate(&csr).await.map_err(AuthorityError::Issue)?;
    let signer = Signer::new(issued.trust_domain, key, issued.chain).map_err(AuthorityError::Sign)?;
    match signer.cluster() {
        Some(found) if found == *cluster => {}
        found => return Err(AuthorityError::OtherCluster { found, cluster: cluster.clone() }),
    }
    Ok(Current { held: IntermediateIssuer { signer, bundles: issued.bundles }, since })
}

/// Asks until it is answered.
async fn obtain_in_the_end(issuer: &dyn RootIssuer, cluster: &Arc<str>, clock: &dyn Clock) -> Current {
    let mut backoff = Backoff::new(RETRY_WAIT_FIRST, RETRY_WAIT_MAX);
    loop {
        match obtain(issuer, cluster, clock).await {
            Ok(current) => return current,
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "no signing certificate yet; trying again");
            }
        }
        tokio::time::sleep(backoff.next_wait(jitter())).await;
    }
}

impl Authority {
    /// Waits for the first signing certificate, which must be for `cluster`.
    pub async fn start(issuer: Arc<dyn RootIssuer>, cluster: &str, clock: Arc<dyn Clock>) -> Self {
        let cluster = cluster.into();
        let current = obtain_in_the_end(&*issuer, &cluster, &*clock).await;
        Self { issuer, cluster, clock, current: Arc::new(RwLock::new(Arc::new(current))) }
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
        loop {
            let current = self.current();
            let life = current.held.signer.not_after().duration_since(current.since).unwrap_or_default();
            let due = current.since + life / 2;
            while let Ok(left) = due.duration_since(self.clock.wall())
                && !left.is_zero()
            {
                tokio::time::sleep(left.min(NAP_MAX)).await;
            }
            let next = obtain_in_the_end(&*self.issuer, &self.cluster, &*self.clock).await;
            let bundles = next.held.bundles.clone();
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
            tracing::info!("signing certificate renewed");
            identity.set_trust(bundles.clone());
            if handle.run(move |plane, _| plane.trust(bundles)).await.is_err() {
                return;
            }
            // A certificate that is due again at once must not make this a busy loop.
            tokio::time::sleep(Duration::from_secs(1)).await;
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
