//! Endpoints without a proxy: what kinds that describe them have in common.

use crate::world::inputs::LocalCluster;
use api::Object;
use model::service::{Endpoint, EndpointProfile, EndpointState, Reach};
use model::{Code, Finding, Hostname, Locality};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// On a `ServiceEntry` or `Backend`: name servers for its names, as `IP` or `IP:PORT`, with commas.
pub(crate) const RESOLVERS: &str = "leno.dev/resolvers";
const DNS_PORT: u16 = 53;

/// `REGION/ZONE`; empty: the cluster's.
pub(crate) fn locality(text: Option<&str>) -> Locality {
    let mut parts = text.unwrap_or_default().split('/');
    let mut part = || Arc::from(parts.next().unwrap_or_default());
    Locality { region: part(), zone: part() }
}

/// What endpoints without a proxy have in common.
pub(crate) fn plain_profile(place: Option<&str>, own: &LocalCluster) -> Arc<EndpointProfile> {
    Arc::new(EndpointProfile {
        reach: Reach::Plain,
        cluster: own.cluster.clone(),
        locality: if place.is_some() { locality(place) } else { own.locality.clone() },
        identities: Vec::new(),
        gateway_identity: None,
        plaintext_ports: Vec::new(),
    })
}

/// One of them.
pub(crate) fn plain(
    host: &Hostname,
    address: IpAddr,
    port: u16,
    weight: u32,
    profile: Arc<EndpointProfile>,
) -> Endpoint {
    let uid = format!("{host}/{}", SocketAddr::new(address, port)).into();
    Endpoint { uid, address, port, weight, state: EndpointState::Ready, profile }
}

/// The name servers that an annotation of the object names.
///
/// # Errors
/// What of it is no address.
pub(crate) fn resolvers(object: &Object) -> Result<Vec<SocketAddr>, String> {
    let Some(text) = object.meta.annotations.get(RESOLVERS) else { return Ok(Vec::new()) };
    let one = |text: &str| {
        let bare = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS_PORT));
        text.parse().or(bare).map_err(|_| text.to_owned())
    };
    text.split(',').map(str::trim).map(one).collect()
}

/// That it cannot be read.
pub(crate) fn unreadable_resolvers(object: &Object) -> Option<Finding> {
    let bad = resolvers(object).err()?;
    let cause = format!("annotation `{RESOLVERS}` names `{bad}`, which is no address, so it has no effect");
    let fix = "write IP or IP:PORT, with commas between several";
    Some(Finding::new(Code::BadValue, &object.at(0), cause, fix))
}
