//! Joining the mesh: a token for a certificate, once.
//!
//! The token names the root's hash, so the control plane is known before anything is believed. The key is
//! made here and stays in memory; the request for the certificate names nobody. The token is never logged.

use super::control::dialer;
use crate::snapshot::LocalNode;
use codec::dial;
use daemon::clock::Clock;
use decide::Dice;
use decide::balance::ProxyLocality;
use identity::{Expect, Identity, Key, KeyError, Svid, SvidError};
use model::Backoff;
use model::trust::TrustBundle;
use std::error::Error;
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;
use xds::grpc::{Channel, Join, Joined};
use xds::{Code, Status};

/// Longest token text; longer files are none.
const TOKEN_BYTES_MAX: u64 = 1024;
/// How long a control plane that cannot be reached is tried.
const PATIENCE: Duration = Duration::from_secs(120);
/// One attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// First wait between attempts; doubles up to [`RETRY_WAIT_MAX`], with jitter.
const RETRY_WAIT_FIRST: Duration = Duration::from_millis(500);
/// Longest wait between attempts.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(8);

/// Why a proxy could not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The file with the token.
    #[error("read the join token")]
    Token(#[source] io::Error),
    /// The text is no token.
    #[error("the join token is not of the form lj1.ID.SECRET.SHA256")]
    Form,
    /// The address of the control plane.
    #[error("find the address of the control plane `{0}`")]
    Resolve(String, #[source] io::Error),
    /// No own address was given and none could be found.
    #[error("find the local address; give one with --address")]
    Address(#[source] io::Error),
    /// The key could not be made.
    #[error("make a key")]
    Key(#[from] KeyError),
    /// The control plane said no, or was not there in time.
    #[error("join at the control plane")]
    Refused(#[source] Status),
    /// What came back is not for our key.
    #[error("use the certificate that the control plane sent")]
    Svid(#[from] SvidError),
}

impl JoinError {
    /// Whether it may pass by itself: a host that boots has no network, no route and no names yet.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Resolve(_, cause) => cause.kind() != io::ErrorKind::InvalidInput,
            Self::Address(_) => true,
            Self::Refused(status) => {
                matches!(status.code, Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted)
            }
            Self::Token(_) | Self::Form | Self::Key(_) | Self::Svid(_) => false,
        }
    }
}

/// A join token. Not `Debug`: it is a secret until it is spent.
pub(super) struct Token {
    text: String,
    pin: [u8; 32],
}

impl Token {
    /// Reads it from a file, or from standard input for `-`.
    pub(super) fn read(path: &Path) -> Result<Self, JoinError> {
        let mut text = String::new();
        let source: Box<dyn Read> = if path.as_os_str() == "-" {
            Box::new(io::stdin())
        } else {
            Box::new(File::open(path).map_err(JoinError::Token)?)
        };
        source.take(TOKEN_BYTES_MAX).read_to_string(&mut text).map_err(JoinError::Token)?;
        Self::parse(text.trim()).ok_or(JoinError::Form)
    }

    /// `lj1.<id, 16 hex>.<secret, 32 hex>.<SHA-256 of the root, 64 hex>`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('.').collect();
        let ["lj1", id, secret, root] = parts.as_slice() else { return None };
        let is_hex =
            |part: &str, digits: usize| part.len() == digits && part.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_hex(id, 16) || !is_hex(secret, 32) || !is_hex(root, 64) {
            return None;
        }
        let mut pin = [0; 32];
        for (byte, digits) in pin.iter_mut().zip(root.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self { text: text.to_owned(), pin })
    }

    #[cfg(test)]
    pub(super) fn pin(&self) -> [u8; 32] {
        self.pin
    }
}

/// The addresses that packets to the control plane leave from, one for each family that it has addresses of; the first is
/// the one that others will call, of IPv4 if there is one. Nothing is sent.
pub(super) fn own_addresses(control: &[SocketAddr]) -> io::Result<Vec<IpAddr>> {
    let (v4, v6): (Vec<SocketAddr>, Vec<SocketAddr>) = control.iter().partition(|to| to.is_ipv4());
    let own = [v4.first(), v6.first()].into_iter().flatten().map(|to| own_address(*to));
    let (found, failed): (Vec<_>, Vec<_>) = own.partition(Result::is_ok);
    let found: Vec<IpAddr> = found.into_iter().flatten().collect();
    match failed.into_iter().find_map(Result::err) {
        Some(error) if found.is_empty() => Err(error),
        _ => Ok(found),
    }
}

fn own_address(control: SocketAddr) -> io::Result<IpAddr> {
    let any = if control.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(control)?;
    Ok(socket.local_addr()?.ip())
}

/// Joins: afterwards `identity` has a certificate and trust.
pub(super) async fn join(
    control: &str,
    token: &Token,
    own: &[IpAddr],
    identity: &Identity,
    clock: &dyn Clock,
    dice: &mut dyn Dice,
) -> Result<LocalNode, JoinError> {
    let key = Key::generate()?;
    let csr = key.csr()?;
    let until = clock.now() + PATIENCE;
    let mut backoff = Backoff::new(RETRY_WAIT_FIRST, RETRY_WAIT_MAX);
    let (joined, own) = loop {
        let attempt = attempt(control, token, own, &csr, identity);
        let failed = match tokio::time::timeout(ATTEMPT_TIMEOUT, attempt).await {
            Ok(Ok(joined)) => break joined,
            Ok(Err(failed)) => failed,
            Err(_) => JoinError::Refused(Status::new(Code::DeadlineExceeded, "no answer in time")),
        };
        if !failed.may_pass() || clock.now() >= until {
            return Err(failed);
        }
        tracing::warn!(error = %failed, cause = failed.source(), "cannot join yet");
        tokio::time::sleep(backoff.next_wait((dice.next_u64() % 1000) as f64 / 1000.0)).await;
    };
    install(identity, Svid::new(key, joined.chain)?, joined.bundles);
    Ok(LocalNode {
        uid: joined.uid.into(),
        namespace: joined.namespace.into(),
        group: joined.group.into(),
        network: joined.network.into(),
        place: ProxyLocality { cluster: joined.cluster.into(), locality: joined.locality },
        addresses: own,
    })
}

fn install(identity: &Identity, svid: Svid, trust: Vec<TrustBundle>) {
    identity.set_trust(trust);
    identity.install(svid);
}

/// One attempt; also the addresses that we gave as ours.
async fn attempt(
    control: &str,
    token: &Token,
    own: &[IpAddr],
    csr: &[u8],
    identity: &Identity,
) -> Result<(Joined, Vec<IpAddr>), JoinError> {
    let addresses =
        dial::resolve(control).await.map_err(|cause| JoinError::Resolve(control.to_owned(), cause))?;
    let own = match own {
        [] => own_addresses(&addresses).map_err(JoinError::Address)?,
        given => given.to_vec(),
    };
    let joined = ask(addresses, token, &own, csr.to_vec(), identity).await.map_err(JoinError::Refused)?;
    Ok((joined, own))
}

async fn ask(
    control: Vec<SocketAddr>,
    token: &Token,
    own: &[IpAddr],
    csr: Vec<u8>,
    identity: &Identity,
) -> Result<Joined, Status> {
    let config = identity.client_config(Expect::PinnedRoot(token.pin), &[b"h2"]);
    let channel = Channel::connect_via(dialer(control), Some(config)).await?;
    let join = Join {
        token: token.text.clone(),
        csr,
        addresses: own.to_vec(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    channel.join(&join).await
}
