//! The name server beside a captured application.

use super::StartError;
use crate::dns::{self, Captured, Dns, Forwarder};
use crate::shared::Shared;
use daemon::Tasks;
use model::address::PORT_DNS;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// Serves on `sockets`; none where nothing is captured. What is not the mesh's goes to `nameservers`.
pub(super) fn start(
    shared: &Shared,
    tasks: &Tasks,
    captured: Arc<Captured>,
    nameservers: Vec<SocketAddr>,
    sockets: Vec<dns::Sockets>,
) {
    let forward = Forwarder::new(nameservers);
    let store = Arc::clone(&shared.store);
    let answers = Dns::new(store, shared.lookup.clone(), forward, captured, dns::has_route);
    for sockets in sockets {
        tasks.spawn_local("dns", dns::serve(sockets, Arc::clone(&answers)));
    }
}

/// On loopback in both families: a wildcard would answer captured queries from the wrong source address.
pub(super) async fn bind() -> Result<Vec<dns::Sockets>, StartError> {
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT_DNS));
    let mut all = vec![dns::bind(v4).await.map_err(|cause| StartError::Bind(v4, cause))?];
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, PORT_DNS));
    match dns::bind(v6).await {
        Ok(sockets) => all.push(sockets),
        // A host without IPv6 captures none of it.
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            tracing::debug!(%error, address = %v6, "no DNS over IPv6");
        }
        Err(cause) => return Err(StartError::Bind(v6, cause)),
    }
    Ok(all)
}
