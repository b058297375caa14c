#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
use super::*;
use crate::resources::{ProxyKey, members, resource, visible};
use model::{Locality, Resource, ResourceKey, TrustDomain};

mod http_filters;
mod backend_tls;
mod client_traffic;
mod conflicts;
mod corpus;
mod istio;
mod gateway_tls;
mod grpc_routes;
mod external;
mod mtls;
mod policies;
mod ports;
mod property;
mod routes;
mod scale;
mod table;
mod workload_host;

/// A world of cluster `west` in trust domain `leno.test`, with these documents in file `f.yaml`.
fn world(documents: &str) -> World {
    let mut world = World::new(place());
    add(&mut world, documents);
    world
}

fn add(world: &mut World, documents: &str) {
    let (objects, findings) = api::parse::documents(documents, "f.yaml");
    assert!(findings.is_empty(), "{findings:?}");
    for object in objects {
        world.apply(WorldChange::Object(Arc::new(object)));
    }
}

fn place() -> LocalCluster {
    LocalCluster {
        cluster: "west".into(),
        network: "west".into(),
        locality: Locality { region: "eu".into(), zone: "a".into() },
        trust_domain: TrustDomain::parse("leno.test").unwrap(),
    }
}

fn workload(uid: &str, namespace: &str, group: &str, state: EndpointState) -> JoinedWorkload {
    let identity = SpiffeId::parse(&format!("spiffe://leno.test/ns/{namespace}/sa/{group}")).unwrap();
    JoinedWorkload {
        uid: uid.into(),
        namespace: namespace.into(),
        group: group.into(),
        address: "10.0.0.1".parse().unwrap(),
        identity,
        locality: Locality::default(),
        state,
    }
}

fn remote(cluster: &str, weight: u32, hosts: &[&str]) -> RemoteCluster {
    let identity = SpiffeId::parse("spiffe://leno.test/ns/default/sa/gateway").unwrap();
    RemoteCluster {
        cluster: cluster.into(),
        network: cluster.into(),
        locality: Locality::default(),
        gateways: vec![RemoteGateway {
            address: "172.30.0.5".parse().unwrap(),
            port: 15008,
            identity: identity.clone(),
        }],
        exports: hosts
            .iter()
            .map(|host| Export {
                host: Hostname::parse(host).unwrap(),
                ports: vec![model::service::ServicePort {
                    port: 80,
                    target_port: 8080,
                    protocol: model::service::Protocol::Http1,
                    name: "http".into(),
                }],
                weight,
                identities: vec![identity.clone()],
            })
            .collect(),
    }
}
