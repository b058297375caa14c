//! Certificates for the stories.

use crate::testing::id;
use fixtures::pki::TestAuthority;
use identity::{Identity, Key, Svid};
use model::TrustDomain;
use model::trust::TrustBundle;
use std::time::{Duration, SystemTime};

/// Signs for `leno.demo`.
pub(super) struct Authority(TestAuthority);

impl Authority {
    pub(super) fn new() -> Self {
        Self(TestAuthority::root("root"))
    }

    /// An identity in trust domain `leno.demo` with a certificate for `account`.
    pub(super) fn identity(&self, account: &str) -> Identity {
        let identity = Identity::new(vec![self.bundle()]);
        identity.install(self.svid(account));
        identity
    }

    /// Its root.
    pub(super) fn bundle(&self) -> TrustBundle {
        let trust_domain = TrustDomain::parse("leno.demo").unwrap();
        TrustBundle { trust_domain, roots: vec![self.0.root_der()] }
    }

    /// A certificate for `account` with its key.
    pub(super) fn svid(&self, account: &str) -> Svid {
        self.svid_for(account, Duration::from_secs(3600))
    }

    /// One that expires after this time; whole seconds.
    pub(super) fn svid_for(&self, account: &str, life: Duration) -> Svid {
        self.svid_from(SystemTime::now(), life, account, None)
    }

    /// One that was issued at another time, to the registration `uid`.
    pub(super) fn svid_from(
        &self,
        now: SystemTime,
        life: Duration,
        account: &str,
        uid: Option<&str>,
    ) -> Svid {
        let key = Key::generate().unwrap();
        let chain = self.0.leaf_for(&key, &id(account).to_string(), |leaf| {
            leaf.not_before = (now - Duration::from_secs(60)).into();
            leaf.not_after = (now + life).into();
            if let Some(uid) = uid {
                leaf.distinguished_name.push(rcgen::DnType::CommonName, uid);
            }
        });
        Svid::new(key, chain).unwrap()
    }

    /// The signing certificate of a cluster, by the same root.
    pub(super) fn of_cluster(&self, cluster: &str) -> Self {
        Self(self.0.of_cluster(cluster))
    }
}
