//! What clusters tell each other through the management plane.

use crate::id::{Hostname, Locality, SpiffeId};
use crate::service::ServicePort;
use std::net::IpAddr;
use std::sync::Arc;

/// One cluster as the others see it. It changes when services are exported or emptied, not with single
/// workloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteCluster {
    /// Name.
    pub cluster: Arc<str>,
    /// Addresses are valid within one network only.
    pub network: Arc<str>,
    /// Where it is.
    pub locality: Locality,
    /// Its east-west gateways, as reachable from other networks.
    pub gateways: Vec<RemoteGateway>,
    /// What it exports, sorted by host.
    pub exports: Vec<Export>,
}

/// An east-west gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteGateway {
    /// Address reachable from other networks.
    pub address: IpAddr,
    /// Its mesh port, usually 15008.
    pub port: u16,
    /// Who must answer the outer handshake.
    pub identity: SpiffeId,
}

/// An exported service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Global name.
    pub host: Hostname,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// Number of ready endpoints; 0: none, do not come.
    pub weight: u32,
    /// Whom the inner handshake may show.
    pub identities: Vec<SpiffeId>,
}
