//! Whom to trust, and what a handshake proved.

use crate::id::{SpiffeId, TrustDomain};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Trust anchors of one trust domain. Never holds a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustBundle {
    /// The domain that they vouch for, and no other.
    pub trust_domain: TrustDomain,
    /// DER certificates of the roots.
    pub roots: Vec<Vec<u8>>,
}

/// What a handshake proved of the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Who it is.
    pub id: SpiffeId,
    /// Who signed for that.
    pub voucher: Voucher,
    /// The registration that the certificate was issued to; means something to the voucher's cluster only.
    pub uid: Option<Arc<str>>,
    /// From when its certificate is good.
    pub begins: SystemTime,
    /// When its certificate ends: it proves nothing after that.
    pub expires: SystemTime,
}

/// What the certificate that a client showed is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// It is good now.
    Valid(Proof),
    /// It was good until it expired. Who shows it has its key and may have the same registration certified anew
    /// (decision 0005); it proves nothing else, to nobody.
    Expired(Proof),
}

/// How long after its end a certificate may still be shown to have the same registration certified anew, unless
/// a control plane is told otherwise (`--renewal-grace-s`): a control plane that was away over night takes its
/// proxies back.
pub const RENEWAL_GRACE: Duration = Duration::from_secs(24 * 3600);

/// How long what began before goes on when the certificate that proved it has expired: a tunnel between
/// proxies, unless its peer proves itself anew (decision 0006), and a client's connection to a plane. There a client
/// that could not renew because nobody signed can still do so without a new handshake; later see [`RENEWAL_GRACE`].
pub const EXPIRED_GRACE: Duration = Duration::from_secs(3600);

/// Who signed a peer's certificate. A cluster can sign any identity of its trust domain, so an identity
/// that matters beyond one cluster needs this beside it (decision 0003).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Voucher {
    /// The root itself.
    Root,
    /// The signing certificate of this cluster; the name was set by the holder of the root.
    Cluster(Arc<str>),
    /// A signing certificate that names no cluster.
    Nameless,
}

impl Proof {
    /// The cluster that vouches, if one does.
    pub fn cluster(&self) -> Option<&Arc<str>> {
        match &self.voucher {
            Voucher::Cluster(cluster) => Some(cluster),
            Voucher::Root | Voucher::Nameless => None,
        }
    }
}
