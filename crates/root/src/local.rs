//! Who asks at the Unix socket: the user that the kernel names.

use crate::askers::{cluster_name, intermediate, manager};
use crate::grants::Grants;
use crate::limits::SigningRate;
use ca::issuer::serve::{Grant, Granting, SigningRefusal, Wish, WishedCertificate};
use ca::{GrantSubject, GrantToken, RefusalCode, Root};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Which users may ask.
#[derive(Clone, Debug)]
pub(crate) struct AllowedUsers(Arc<[u32]>);

impl AllowedUsers {
    /// Root, the user of this process, and further ones.
    pub(crate) fn new(further: &[u32]) -> Self {
        let own = nix::unistd::geteuid().as_raw();
        Self([0, own].into_iter().chain(further.iter().copied()).collect())
    }
}

/// One connection's other end.
pub(crate) struct LocalAsker {
    pub(crate) uid: u32,
    pub(crate) pid: Option<i32>,
    pub(crate) allowed: AllowedUsers,
    pub(crate) root: Root,
    pub(crate) grants: Arc<Grants>,
    pub(crate) rate: Arc<SigningRate<u32>>,
}

impl LocalAsker {
    fn check_allowed(&self) -> Result<(), SigningRefusal> {
        if self.allowed.0.contains(&self.uid) {
            return Ok(());
        }
        let uid = self.uid;
        let reason = format!("uid {uid} may not ask here; `leno root --allow-uid {uid}` lets it");
        Err(SigningRefusal::new(RefusalCode::NotGranted, reason))
    }

    fn take(&self) -> Result<(), SigningRefusal> {
        let now = Instant::now();
        self.rate.ask(self.uid, now)?;
        self.rate.sign(now)
    }
}

impl Granting for LocalAsker {
    fn who(&self) -> String {
        match self.pid {
            Some(pid) => format!("uid {} pid {pid}", self.uid),
            None => format!("uid {}", self.uid),
        }
    }

    fn grant(&self, wish: Wish<'_>) -> Result<Grant, SigningRefusal> {
        self.check_allowed()?;
        let grant = match wish.certificate {
            WishedCertificate::Intermediate(Some(cluster)) => {
                intermediate(self.root.trust_domain(), cluster_name(cluster)?)
            }
            WishedCertificate::Intermediate(None) => {
                return Err(SigningRefusal::new(RefusalCode::NotGranted, "the question names no cluster"));
            }
            WishedCertificate::Leaf => manager(self.root.trust_domain()),
        };
        self.take()?;
        Ok(grant)
    }

    fn make_grant(&self, subject: GrantSubject, ttl: Option<Duration>) -> Result<GrantToken, SigningRefusal> {
        self.check_allowed()?;
        if let GrantSubject::Cluster(name) = &subject {
            cluster_name(name)?;
        }
        self.take()?;
        self.grants.make(subject, ttl, self.root.pin(), SystemTime::now())
    }
}

#[cfg(test)]
mod tests;
