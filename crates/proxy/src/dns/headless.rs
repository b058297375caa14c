//! Names of headless services: addresses of workloads in the place of a mesh-only one. Who calls such an address is led to
//! that workload by mutual TLS, as anybody who calls a workload's address.

use model::Hostname;
use model::service::{Endpoint, EndpointState, Headless, Reach};
use std::net::IpAddr;

const SERVICE_SUFFIX: &str = ".svc.cluster.local";
/// Addresses of one answer at most.
const TOLD_MAX: usize = 1000;

/// What the service's own name resolves to.
pub(super) fn addresses(endpoints: &[Endpoint], headless: Headless) -> Vec<IpAddr> {
    let told = endpoints.iter().filter(|endpoint| is_told(endpoint, headless));
    told.map(|endpoint| endpoint.address).take(TOLD_MAX).collect()
}

/// What the name of one of its workloads resolves to, `None`: there is no such workload. The name is the last part of its
/// registration's, as `leno status` shows it.
pub(super) fn address(endpoints: &[Endpoint], headless: Headless, workload: &str) -> Option<IpAddr> {
    let is_named = |endpoint: &&Endpoint| endpoint.uid.rsplit('/').next() == Some(workload);
    let mut named = endpoints.iter().filter(is_named);
    named.find(|endpoint| is_told(endpoint, headless)).map(|endpoint| endpoint.address)
}

/// `WORKLOAD.SERVICE.NAMESPACE.svc.cluster.local`: the workload and its service.
pub(super) fn workload_of(host: &Hostname) -> Option<(&str, Hostname)> {
    let (workload, service) = host.as_str().split_once('.')?;
    let name = service.strip_suffix(SERVICE_SUFFIX)?;
    let is_service = name.split('.').count() == 2;
    is_service.then(|| Hostname::parse(service)).flatten().map(|service| (workload, service))
}

/// Behind a gateway there is no address that this host could call.
fn is_told(endpoint: &Endpoint, headless: Headless) -> bool {
    let is_up = match endpoint.state {
        EndpointState::Ready => true,
        EndpointState::Unready => headless.publishes_unready,
        EndpointState::Draining => false,
    };
    is_up && endpoint.reach != Reach::Gateway
}
