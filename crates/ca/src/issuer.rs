//! Who signs: the seam between programs that need certificates and whoever holds a key for them.
//!
//! A [`RootIssuer`] signs a cluster's intermediate, a [`LeafIssuer`] the leaf of a workload. A further
//! root issuer is a file here with its options, a field of [`IssuerOptions`] and a row of [`ISSUERS`]. There is one leaf
//! issuer so far, [`intermediate`]; the control plane's `authority` makes it.
//! Names in requests mean nothing to any of them. Read `socket` and `serve` next, which are the two ends of one stream.

mod frame;
pub mod intermediate;
pub mod serve;
pub mod socket;

use crate::sign::SignError;
use futures_util::future::BoxFuture;
use identity::rotate::SignedLeaf;
use model::trust::TrustBundle;
use model::{SpiffeId, TrustDomain};
use socket::SocketOptions;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

/// What was signed.
#[derive(Clone, Debug, PartialEq)]
pub struct Issued {
    /// DER; what was certified first, the root last.
    pub chain: Vec<Vec<u8>>,
    /// Trust bundles of all domains that the holder knows.
    pub bundles: Vec<TrustBundle>,
    /// The leaf's SPIFFE id; `None` for an intermediate.
    pub id: Option<SpiffeId>,
    /// The trust domain.
    pub trust_domain: TrustDomain,
}

/// Why nothing was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The stream to the holder failed.
    #[error("ask the holder of the root")]
    Stream(#[source] io::Error),
    /// The holder said no.
    #[error("the holder of the root refused: {0}")]
    Refused(String),
    /// The answer makes no sense.
    #[error("malformed answer: {0}")]
    Malformed(&'static str),
    /// The intermediate here did not sign.
    #[error(transparent)]
    Sign(SignError),
}

/// Signs for a plane; implementations hold a root or ask who holds it.
pub trait RootIssuer: Send + Sync + 'static {
    /// An intermediate CA for the caller's cluster. `csr` is PKCS #10 in DER.
    fn sign_intermediate<'a>(&'a self, csr: &'a [u8]) -> BoxFuture<'a, Result<Issued, IssueError>>;
    /// A leaf for the caller's own program.
    fn sign_leaf<'a>(&'a self, csr: &'a [u8]) -> BoxFuture<'a, Result<Issued, IssueError>>;
}

/// A leaf that somebody was granted.
#[derive(Clone, Copy, Debug)]
pub struct LeafRequest<'a> {
    /// PKCS #10, DER: only its key counts.
    pub csr: &'a [u8],
    /// The identity in the request.
    pub id: &'a SpiffeId,
    /// Of the registration, which stands in the leaf (`model::trust::Proof`); none for programs of the mesh itself.
    pub uid: Option<&'a str>,
    /// How long from now it shall be valid; see [`crate::sign::LEAF_TTL_MIN`] and [`crate::sign::LEAF_TTL_MAX`].
    pub ttl: Duration,
}

/// Signs leaves for workloads; implementations hold a signing certificate or ask somebody for each leaf.
pub trait LeafIssuer: Send + Sync + 'static {
    /// Certifies the key in a request, for exactly the identity that is named beside it.
    fn sign<'a>(&'a self, request: LeafRequest<'a>) -> BoxFuture<'a, Result<SignedLeaf, IssueError>>;
}

/// Which issuer a plane asks: exactly one is to be given.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct IssuerOptions {
    /// A socket to the holder of the root.
    #[command(flatten)]
    pub socket: SocketOptions,
}

/// Why there is no issuer.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// None was given.
    #[error("no issuer of certificates: set --issuer-fd")]
    NotGiven,
    /// More than one was given.
    #[error("several issuers are given; give one")]
    Several,
    /// The descriptor is not one of a socket.
    #[error("use inherited descriptor {fd} as the issuer's socket")]
    Socket {
        /// The descriptor.
        fd: RawFd,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// Opens an issuer if its options are given.
type OpenIssuer = fn(&IssuerOptions) -> Option<Result<Arc<dyn RootIssuer>, OpenError>>;

/// All issuers.
const ISSUERS: &[OpenIssuer] = &[socket::open];

/// Opens the issuer that is given.
///
/// # Errors
/// When none or more than one is given, or it cannot be used.
pub fn open(options: &IssuerOptions) -> Result<Arc<dyn RootIssuer>, OpenError> {
    let mut given = ISSUERS.iter().filter_map(|open| open(options));
    match (given.next(), given.next()) {
        (Some(issuer), None) => issuer,
        (None, _) => Err(OpenError::NotGiven),
        (Some(_), Some(_)) => Err(OpenError::Several),
    }
}

#[cfg(test)]
mod tests;
