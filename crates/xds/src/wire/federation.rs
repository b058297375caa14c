//! Remote clusters.

use super::service::{port_in, port_out};
use super::{DecodeError, host, ip_in, ip_out, list, small, spiffe};
use crate::proto::leno::mesh::v1 as p;
use model::federation::{Export, RemoteCluster, RemoteGateway};
use model::{Locality, SpiffeId};

pub(crate) fn cluster_out(cluster: &RemoteCluster) -> p::RemoteCluster {
    let gateway = |gateway: &RemoteGateway| p::RemoteGateway {
        address: ip_out(gateway.address),
        port: gateway.port.into(),
        identity: gateway.identity.to_string(),
    };
    let export = |export: &Export| p::Export {
        host: export.host.to_string(),
        ports: export.ports.iter().map(port_out).collect(),
        weight: export.weight,
        identities: export.identities.iter().map(SpiffeId::to_string).collect(),
    };
    p::RemoteCluster {
        cluster: cluster.cluster.to_string(),
        network: cluster.network.to_string(),
        region: cluster.locality.region.to_string(),
        zone: cluster.locality.zone.to_string(),
        gateways: cluster.gateways.iter().map(gateway).collect(),
        exports: cluster.exports.iter().map(export).collect(),
    }
}

pub(crate) fn cluster_in(cluster: p::RemoteCluster) -> Result<RemoteCluster, DecodeError> {
    let gateway = |gateway: &p::RemoteGateway| {
        Ok(RemoteGateway {
            address: ip_in("address", &gateway.address)?,
            port: small("port", gateway.port)?,
            identity: spiffe("identity", &gateway.identity)?,
        })
    };
    let export = |export: &p::Export| {
        Ok(Export {
            host: host("host", &export.host)?,
            ports: list("ports", &export.ports, port_in)?,
            weight: export.weight,
            identities: list("identities", &export.identities, |text| spiffe("", text))?,
        })
    };
    Ok(RemoteCluster {
        gateways: list("gateways", &cluster.gateways, gateway)?,
        exports: list("exports", &cluster.exports, export)?,
        cluster: cluster.cluster.into(),
        network: cluster.network.into(),
        locality: Locality { region: cluster.region.into(), zone: cluster.zone.into() },
    })
}
