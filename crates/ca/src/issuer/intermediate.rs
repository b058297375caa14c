//! Signs leaves in this process, by a cluster's intermediate whose key is here.

use super::{IssueError, LeafIssuer, LeafRequest};
use crate::sign::Signer;
use futures_util::future::BoxFuture;
use identity::rotate::SignedLeaf;
use model::trust::TrustBundle;

/// An intermediate, and the trust bundle for those that it certifies.
#[derive(Clone, Debug)]
pub struct IntermediateIssuer {
    /// The intermediate with its key.
    pub signer: Signer,
    /// Trust bundles of all domains that the holder of the root knows.
    pub bundles: Vec<TrustBundle>,
}

impl LeafIssuer for IntermediateIssuer {
    fn sign<'a>(&'a self, request: LeafRequest<'a>) -> BoxFuture<'a, Result<SignedLeaf, IssueError>> {
        let LeafRequest { csr, id, uid, ttl } = request;
        let chain = match uid {
            Some(uid) => self.signer.sign_registered(csr, id, uid, ttl),
            None => self.signer.sign(csr, id, ttl),
        };
        let signed = chain.map(|chain| SignedLeaf { chain, bundles: self.bundles.clone() });
        Box::pin(std::future::ready(signed.map_err(IssueError::Sign)))
    }
}
