//! The shells that put streams and calls on the network: gRPC over HTTP/2, with or without mutual TLS.

mod client;
mod server;

use crate::proto::leno::mesh::v1 as p;
use crate::status::{Code, Status};
use crate::wire;
use bytes::Bytes;
use model::Locality;
use model::trust::TrustBundle;
use std::net::IpAddr;
use std::time::Duration;

pub use client::{Channel, Dial, Reporting};
pub use server::{
    CallingPeer, Discovery, Enrollment, Federation, HandshakeObserver, Prove, ReportEnd, Services, Tls, Wall,
    serve,
};

/// A peer that does not answer pings for this long after [`PING_INTERVAL`] is dead.
pub const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// Time between pings.
pub const PING_INTERVAL: Duration = Duration::from_secs(4);
/// TCP and TLS together take at most this long.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest response that a client takes, in bytes: a whole mesh in one message.
pub const RESPONSE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Largest request that a server takes, in bytes: all versions that a client holds.
pub const REQUEST_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Largest enrollment message, in bytes.
pub const ENROLLMENT_BYTES_MAX: usize = 64 * 1024;

/// A workload wants in.
#[derive(Clone, Default, PartialEq)]
pub struct Join {
    /// Token text; see `ca::token`.
    pub token: String,
    /// PKCS #10, DER.
    pub csr: Vec<u8>,
    /// The workload's own addresses.
    pub addresses: Vec<IpAddr>,
    /// Version of its program.
    pub version: String,
}

/// The answer to [`Join`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Joined {
    /// DER, leaf first.
    pub chain: Vec<Vec<u8>>,
    /// Whom to trust.
    pub bundles: Vec<TrustBundle>,
    /// Name of this registration; goes into `ProxyNode.uid`.
    pub uid: String,
    /// Namespace of the workload group.
    pub namespace: String,
    /// Its name.
    pub group: String,
    /// Cluster.
    pub cluster: String,
    /// Network.
    pub network: String,
    /// Where it runs.
    pub locality: Locality,
}

/// A renewed certificate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Signed {
    /// DER, leaf first.
    pub chain: Vec<Vec<u8>>,
    /// Whom to trust.
    pub bundles: Vec<TrustBundle>,
}

/// The answer to a withdrawal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WithdrawalOutcome {
    /// Streams that hold the endpoint and confirmed the change.
    pub acknowledged: u32,
    /// Streams that did not in time.
    pub outstanding: u32,
}

/// Without the token: whoever reads it in a log could join with it.
impl std::fmt::Debug for Join {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Join").field("addresses", &self.addresses).field("version", &self.version).finish()
    }
}

impl Join {
    fn to_wire(&self) -> p::JoinRequest {
        p::JoinRequest {
            token: self.token.clone(),
            csr: Bytes::copy_from_slice(&self.csr),
            addresses: self.addresses.iter().map(IpAddr::to_string).collect(),
            version: self.version.clone(),
        }
    }

    fn from_wire(join: p::JoinRequest) -> Result<Self, Status> {
        let address = |text: &String| {
            text.parse().map_err(|_| Status::new(Code::InvalidArgument, format!("not an address: {text:?}")))
        };
        Ok(Self {
            addresses: join.addresses.iter().map(address).collect::<Result<_, _>>()?,
            token: join.token,
            csr: join.csr.to_vec(),
            version: join.version,
        })
    }
}

impl Joined {
    fn to_wire(&self) -> p::JoinReply {
        p::JoinReply {
            chain: chain_out(&self.chain),
            bundles: self.bundles.iter().map(wire::trust_out).collect(),
            uid: self.uid.clone(),
            namespace: self.namespace.clone(),
            group: self.group.clone(),
            cluster: self.cluster.clone(),
            network: self.network.clone(),
            region: self.locality.region.to_string(),
            zone: self.locality.zone.to_string(),
        }
    }

    fn from_wire(reply: p::JoinReply) -> Result<Self, Status> {
        Ok(Self {
            chain: chain_in(&reply.chain),
            bundles: bundles_in(reply.bundles)?,
            uid: reply.uid,
            namespace: reply.namespace,
            group: reply.group,
            cluster: reply.cluster,
            network: reply.network,
            locality: Locality { region: reply.region.into(), zone: reply.zone.into() },
        })
    }
}

impl Signed {
    fn to_wire(&self) -> p::SignReply {
        p::SignReply {
            chain: chain_out(&self.chain),
            bundles: self.bundles.iter().map(wire::trust_out).collect(),
        }
    }

    fn from_wire(reply: p::SignReply) -> Result<Self, Status> {
        Ok(Self { chain: chain_in(&reply.chain), bundles: bundles_in(reply.bundles)? })
    }
}

fn chain_out(chain: &[Vec<u8>]) -> Vec<Bytes> {
    chain.iter().map(|der| Bytes::copy_from_slice(der)).collect()
}

fn chain_in(chain: &[Bytes]) -> Vec<Vec<u8>> {
    chain.iter().map(|der| der.to_vec()).collect()
}

fn bundles_in(bundles: Vec<p::TrustBundle>) -> Result<Vec<TrustBundle>, Status> {
    let bundles: Result<_, _> = bundles.into_iter().map(wire::trust_in).collect();
    bundles.map_err(|error| Status::new(Code::Internal, format!("trust bundle: {error}")))
}

/// An error with its causes on one line; TLS errors hide several levels deep.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
