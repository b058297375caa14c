//! Who signs: the seam between programs that need certificates and whoever holds a key for them.
//!
//! A [`RootIssuer`] signs a cluster's intermediate, a [`LeafIssuer`] the leaf of a workload. A further
//! root issuer is a file here and a row of [`SCHEMES`]. There is one leaf issuer so far, [`intermediate`]; the
//! control plane's `authority` makes it. Names in requests mean nothing to any of them. Read `exchange` and `serve`
//! next, which are the two ends of one stream.

pub mod check;
mod exchange;
mod frame;
pub mod intermediate;
pub mod plugged;
pub mod serve;
pub mod socket;
pub mod tls;
pub mod unix;
pub mod vault;

use crate::grant::GrantError;
use crate::sign::SignError;
use futures_util::future::BoxFuture;
use identity::Identity;
use identity::rotate::SignedLeaf;
use model::trust::TrustBundle;
use model::{SpiffeId, TrustDomain};
use serde::{Deserialize, Serialize};
use socket::SocketOptions;
use std::io;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use vault::VaultOptions;

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
    /// The holder was not reached.
    #[error("reach the holder of the root at {place}")]
    Connect {
        /// Where.
        place: String,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// The stream to the holder failed.
    #[error("ask the holder of the root")]
    Stream(#[source] io::Error),
    /// It took the question and gave no answer.
    #[error("the holder of the root gave no answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// The holder said no.
    #[error("the holder of the root refused: {reason}")]
    Refused {
        /// Which kind of refusal.
        code: RefusalCode,
        /// In its words.
        reason: String,
    },
    /// The answer makes no sense.
    #[error("malformed answer: {0}")]
    Malformed(&'static str),
    /// What is to prove who asks does not fit, or is not there.
    #[error("{0}")]
    Proof(String),
    /// The intermediate here did not sign.
    #[error(transparent)]
    Sign(SignError),
}

impl IssueError {
    /// Whether asking again is of no use.
    pub fn is_final(&self) -> bool {
        use RefusalCode::{GrantExpired, GrantInvalid, GrantSpent};
        match self {
            Self::Refused { code, .. } => matches!(code, GrantInvalid | GrantExpired | GrantSpent),
            Self::Proof(_) => true,
            _ => false,
        }
    }
}

/// Why a holder refuses, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// Not a question of the protocol.
    Malformed,
    /// A later version of the protocol than the holder's.
    Version,
    /// The asker may not have that.
    NotGranted,
    /// The grant is none that the holder knows.
    GrantInvalid,
    /// The grant is too old.
    GrantExpired,
    /// The grant was used before.
    GrantSpent,
    /// Too many questions or connections; later.
    TooMany,
    /// The request for a certificate cannot be used.
    Request,
    /// Any other; also of a holder that knows more of them.
    #[serde(other)]
    Other,
}

/// A plane's question.
#[derive(Clone, Copy, Debug)]
pub struct CertificateRequest<'a> {
    /// PKCS #10 in DER; only its key counts.
    pub csr: &'a [u8],
    /// Who asks, where it has been certified before: a renewal. It proves so to holders that ask for proof.
    pub caller: Option<&'a Identity>,
}

/// Signs for a plane; implementations hold a root or ask who holds it.
pub trait RootIssuer: Send + Sync + 'static {
    /// An intermediate CA for the caller's cluster, which it names.
    fn sign_intermediate<'a>(
        &'a self,
        cluster: &'a str,
        request: CertificateRequest<'a>,
    ) -> BoxFuture<'a, Result<Issued, IssueError>>;
    /// A leaf for the management plane, by the root itself.
    fn sign_leaf<'a>(&'a self, request: CertificateRequest<'a>) -> BoxFuture<'a, Result<Issued, IssueError>>;
    /// What an issuer has to do meanwhile, for ever; most have nothing to do.
    fn keep(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
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
    /// Who signs this plane's certificate: unix:PATH, the socket of `leno root` on this host; tls://HOST:PORT, that
    /// of one on another host; or vault:https://HOST:PORT/MOUNT, the pki engine of Vault or OpenBao
    #[arg(long, value_name = "ADDRESS", conflicts_with = "issuer_fd")]
    pub issuer: Option<String>,
    /// File with the grant for tls://, as `leno root grant` printed it; `-` reads standard input
    #[arg(long, value_name = "PATH", requires = "issuer")]
    pub issuer_token_file: Option<PathBuf>,
    /// For a certificate that somebody makes who does not know of meshes: whom it vouches for, the part of identities
    /// behind spiffe://
    #[arg(long, value_name = "NAME", value_parser = parse_trust_domain)]
    pub trust_domain: Option<TrustDomain>,
    /// Vault.
    #[command(flatten)]
    pub vault: VaultOptions,
    /// A socket to the holder of the root.
    #[command(flatten)]
    pub socket: SocketOptions,
}

/// Why there is no issuer.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// None was given.
    #[error(
        "no issuer of certificates is given. Two commands make one: `leno root --listen unix:/run/leno/root.sock` \
         holds a root, and this command with `--issuer unix:/run/leno/root.sock` asks it. For a root on another host, \
         or a certificate that was made elsewhere, see --help and docs/issuers.md"
    )]
    NotGiven,
    /// The address is of no form that is known.
    #[error("--issuer {address}: {fault}")]
    Address {
        /// As given.
        address: String,
        /// What is wrong with it, and what would do.
        fault: String,
    },
    /// A token where none is asked for.
    #[error("--issuer-token-file is for tls:// alone, {0} does not ask for it")]
    TokenUnused(String),
    /// Options of Vault with another issuer.
    #[error("--trust-domain and --vault-… are for vault: alone: the holder of the root at {0} knows its own")]
    VaultUnused(String),
    /// None where one is needed.
    #[error(
        "tls:// needs a grant for the first certificate: print one with `leno root grant` and pass it with --issuer-token-file"
    )]
    TokenMissing,
    /// The file with the token.
    #[error("read the grant from {path}")]
    TokenFile {
        /// As given.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// What is in it.
    #[error("the grant in {path}: {fault}")]
    Token {
        /// As given.
        path: PathBuf,
        /// What is wrong with it.
        fault: GrantError,
    },
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

/// Opens an issuer by what follows the scheme.
type OpenIssuer = fn(&str, &IssuerOptions) -> Result<Arc<dyn RootIssuer>, OpenError>;

/// What an address begins with, and who reads the rest.
const SCHEMES: &[(&str, OpenIssuer)] =
    &[("unix:", unix::open), ("tls://", tls::open), ("vault:", vault::open)];

/// Opens the issuer that is given.
///
/// # Errors
/// When none is given, or it cannot be used.
pub fn open(options: &IssuerOptions) -> Result<Arc<dyn RootIssuer>, OpenError> {
    let is_vault_given = options.vault.is_given() || options.trust_domain.is_some();
    if let Some(fd) = options.socket.issuer_fd {
        if is_vault_given {
            return Err(OpenError::VaultUnused(format!("descriptor {fd}")));
        }
        return socket::open(fd);
    }
    let address = options.issuer.as_deref().ok_or(OpenError::NotGiven)?;
    let found = SCHEMES.iter().find_map(|(scheme, open)| Some((address.strip_prefix(scheme)?, open)));
    let Some((rest, open)) = found else {
        let known: Vec<&str> = SCHEMES.iter().map(|(scheme, _)| *scheme).collect();
        let fault = format!("begins with none of {}", known.join(", "));
        return Err(OpenError::Address { address: address.to_owned(), fault });
    };
    if is_vault_given && !address.starts_with("vault:") {
        return Err(OpenError::VaultUnused(address.to_owned()));
    }
    open(rest, options)
}

/// Reads an option that is a trust domain.
///
/// # Errors
/// With what is wrong.
pub fn parse_trust_domain(text: &str) -> Result<TrustDomain, String> {
    let fault = "is no trust domain: lower-case letters, digits, `.`, `-` and `_`";
    TrustDomain::parse(text).ok_or_else(|| format!("`{text}` {fault}"))
}

#[cfg(test)]
mod tests;
