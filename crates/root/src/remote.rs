//! Who asks over TLS: whoever shows a certificate of this root, or a grant.
//!
//! A control plane shows the certificate that its own intermediate signed, so it has that intermediate's key; the
//! name of its cluster in the intermediate was written by this root. Names in questions count for nothing.

use crate::askers::{intermediate, manager, system_id};
use crate::grants::Grants;
use crate::limits::SigningRate;
use ca::issuer::serve::{Grant, Granting, SigningRefusal, Wish, WishedCertificate};
use ca::{GrantSubject, GrantToken, RefusalCode};
use identity::{CONTROL_ACCOUNT, MANAGER_ACCOUNT};
use model::TrustDomain;
use model::trust::{Proof, Voucher};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

/// A wrong grant counts as this many questions, so that guessing is slow.
const FAILURE_COST: u32 = 8;

/// One connection's other end.
pub(crate) struct RemoteAsker {
    pub(crate) address: SocketAddr,
    /// What its certificate proves, if it showed one.
    pub(crate) proof: Option<Proof>,
    pub(crate) trust_domain: TrustDomain,
    pub(crate) grants: Arc<Grants>,
    pub(crate) rate: Arc<SigningRate<IpAddr>>,
    /// Id of the grant that it came with last.
    pub(crate) grant_id: Mutex<Option<String>>,
}

impl RemoteAsker {
    /// Whom it proved to be, by certificate or by grant.
    fn subject(&self, wish: Wish<'_>) -> Result<GrantSubject, SigningRefusal> {
        let refuse = |reason: String| SigningRefusal::new(RefusalCode::NotGranted, reason);
        if let Some(proof) = &self.proof {
            let is = |account| proof.id == system_id(&self.trust_domain, account);
            return match &proof.voucher {
                Voucher::Cluster(cluster) if is(CONTROL_ACCOUNT) => {
                    Ok(GrantSubject::Cluster(cluster.clone()))
                }
                Voucher::Root if is(MANAGER_ACCOUNT) => Ok(GrantSubject::Manager),
                voucher => {
                    let who = format!("{}, vouched for by {voucher:?},", proof.id);
                    Err(refuse(format!("{who} may have nothing signed here; planes alone may")))
                }
            };
        }
        let Some(text) = wish.token else {
            return Err(refuse(
                "neither a certificate nor a grant was shown; print one with `leno root grant`".into(),
            ));
        };
        let source = model::address::source(self.address.ip());
        let spent = match GrantToken::parse(text) {
            Ok(token) => {
                let mut id = self.grant_id.lock().unwrap_or_else(PoisonError::into_inner);
                *id = Some(token.id().to_owned());
                self.grants.spend(&token, wish.csr, SystemTime::now())
            }
            Err(error) => Err(SigningRefusal::new(RefusalCode::GrantInvalid, error.to_string())),
        };
        if spent.is_err() {
            self.rate.charge(source, FAILURE_COST, Instant::now());
        }
        spent
    }
}

impl Granting for RemoteAsker {
    fn who(&self) -> String {
        let address = self.address;
        let grant_id = self.grant_id.lock().unwrap_or_else(PoisonError::into_inner);
        match (&self.proof, grant_id.as_deref()) {
            (Some(proof), _) => format!("{address} {} of {:?}", proof.id, proof.voucher),
            (None, Some(id)) => format!("{address} grant {id}"),
            (None, None) => address.to_string(),
        }
    }

    fn grant(&self, wish: Wish<'_>) -> Result<Grant, SigningRefusal> {
        self.rate.ask(model::address::source(self.address.ip()), Instant::now())?;
        let subject = self.subject(wish)?;
        self.rate.sign(Instant::now())?;
        match (&subject, wish.certificate) {
            (GrantSubject::Cluster(own), WishedCertificate::Intermediate(named))
                if named.is_none_or(|named| *named == **own) =>
            {
                Ok(intermediate(&self.trust_domain, own))
            }
            (GrantSubject::Manager, WishedCertificate::Leaf) => Ok(manager(&self.trust_domain)),
            (_, wished) => {
                let reason = format!("{wished:?} was asked for by what is good for {subject} alone");
                Err(SigningRefusal::new(RefusalCode::NotGranted, reason))
            }
        }
    }
}
