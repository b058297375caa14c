//! Join tokens: issued for one WorkloadGroup, good once, for a short time.
//!
//! The store keeps a hash of the secret, never the secret. A token is spent durably before the certificate
//! that it buys is handed out, so no crash makes it good twice.

use apiserver::{Change, Store, StoreError, Swap, Table};
use aws_lc_rs::rand;
use ca::JoinToken;
use daemon::clock::Clock;
use model::hex::hex;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use thiserror::Error;

/// How long a token is good.
pub const TTL: Duration = Duration::from_secs(10 * 60);
/// Tokens kept at most, spent ones included until they expire; more are not issued.
pub const TOKENS_MAX: usize = 10_000;

/// Which group a token lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Namespace of the WorkloadGroup.
    pub namespace: Arc<str>,
    /// Its name.
    pub group: Arc<str>,
}

/// A fresh token.
#[derive(Clone)]
pub struct IssuedToken {
    /// `lj1.<id>.<secret>.<hash of the root>`.
    pub text: String,
    /// When it expires, in seconds since the epoch.
    pub expires_s: u64,
}

/// A token that is good and not yet spent.
#[derive(Debug)]
pub struct CheckedToken {
    /// Whom it lets in.
    pub binding: Binding,
    id: String,
    row: Vec<u8>,
}

/// Why a token is not good, or the work could not be done.
#[derive(Debug, Error)]
pub enum TokenError {
    /// Not a token, unknown, or with a wrong secret: not told apart to the caller.
    #[error("the join token is not valid")]
    Invalid,
    /// Too old.
    #[error("the join token has expired; issue a new one")]
    Expired,
    /// Used before.
    #[error("the join token was used before; issue a new one")]
    Spent,
    /// [`TOKENS_MAX`] are outstanding.
    #[error("too many join tokens are outstanding")]
    TooMany,
    /// The store failed.
    #[error("use the token table")]
    Store(#[source] StoreError),
    /// No randomness to be had.
    #[error("no randomness")]
    Random,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    hash: String,
    namespace: String,
    group: String,
    expires_s: u64,
    spent_s: Option<u64>,
}

/// The tokens of a cluster. Calls block on the store.
#[derive(Clone)]
pub struct Tokens {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

impl Tokens {
    /// Tokens kept in `store`.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// Seconds since the epoch, by the clock of the plane.
    pub(crate) fn now_s(&self) -> u64 {
        self.clock.wall().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    /// A new token for `binding` that pins the root with this SHA-256.
    pub fn issue(&self, binding: &Binding, root_sha256: [u8; 32]) -> Result<IssuedToken, TokenError> {
        self.forget_expired()?;
        let token = JoinToken::generate(root_sha256).map_err(|_| TokenError::Random)?;
        let kept = Kept {
            hash: token.hash(),
            namespace: binding.namespace.to_string(),
            group: binding.group.to_string(),
            expires_s: self.now_s() + TTL.as_secs(),
            spent_s: None,
        };
        let change = Change::Put(Table::Tokens, token.id().to_owned(), encode(&kept));
        self.store.commit(&[change]).map_err(TokenError::Store)?;
        Ok(IssuedToken { text: token.text(), expires_s: kept.expires_s })
    }

    /// Looks at a token without spending it.
    pub fn check(&self, text: &str) -> Result<CheckedToken, TokenError> {
        let token = JoinToken::parse(text).map_err(|_| TokenError::Invalid)?;
        let row = self.store.row(Table::Tokens, token.id()).map_err(TokenError::Store)?;
        let row = row.ok_or(TokenError::Invalid)?.value;
        let kept: Kept = serde_json::from_slice(&row).map_err(|_| TokenError::Invalid)?;
        if !token.is_hash(&kept.hash) {
            return Err(TokenError::Invalid);
        }
        if kept.spent_s.is_some() {
            return Err(TokenError::Spent);
        }
        if self.now_s() >= kept.expires_s {
            return Err(TokenError::Expired);
        }
        let binding = Binding { namespace: kept.namespace.into(), group: kept.group.into() };
        Ok(CheckedToken { binding, id: token.id().to_owned(), row })
    }

    /// Spends a token; only the first of several callers succeeds. Durable when this returns.
    pub fn spend(&self, checked: &CheckedToken) -> Result<(), TokenError> {
        let mut kept: Kept = serde_json::from_slice(&checked.row).map_err(|_| TokenError::Invalid)?;
        kept.spent_s = Some(self.now_s());
        let swap = self.store.swap(Table::Tokens, &checked.id, &checked.row, &encode(&kept));
        match swap.map_err(TokenError::Store)? {
            Swap::Done => Ok(()),
            Swap::Differs => Err(TokenError::Spent),
        }
    }

    /// Expired tokens are refused whatever else is known of them, so their rows can go.
    fn forget_expired(&self) -> Result<(), TokenError> {
        let now = self.now_s();
        let rows = self.store.rows(Table::Tokens).map_err(TokenError::Store)?;
        let expired =
            |value: &[u8]| serde_json::from_slice::<Kept>(value).map_or(true, |kept| kept.expires_s <= now);
        let (gone, live): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| expired(&row.value));
        if live.len() >= TOKENS_MAX {
            return Err(TokenError::TooMany);
        }
        if gone.is_empty() {
            return Ok(());
        }
        let changes: Vec<_> = gone.into_iter().map(|row| Change::Delete(Table::Tokens, row.key)).collect();
        self.store.commit(&changes).map(|_| ()).map_err(TokenError::Store)
    }
}

fn encode(kept: &Kept) -> Vec<u8> {
    serde_json::to_vec(kept).unwrap_or_default()
}

/// `N` random bytes as hex.
pub(crate) fn random_hex<const N: usize>() -> Result<String, TokenError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| TokenError::Random)?;
    Ok(hex(&bytes))
}

#[cfg(test)]
pub(crate) mod tests;
