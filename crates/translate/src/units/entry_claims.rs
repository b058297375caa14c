//! By what services of `ServiceEntry`s are meant beside mesh-only addresses: made when somebody asks, of the hosts' outputs.

use super::WorldReader;
use super::host::wildcard;
use super::service_entry::precedent;
use model::Hostname;
use model::authz::Cidr;
use model::external::{AddressClaim, NameClaim};
use model::route::HostMatch;

/// What means services of `ServiceEntry`s that applications call by other addresses than mesh-only ones, but for hosts that
/// something else has. Not noted.
pub(crate) fn claims(read: &WorldReader<'_>) -> (Vec<AddressClaim>, Vec<NameClaim>) {
    let (mut addresses, mut names) = (Vec::new(), Vec::new());
    for (host, entry) in &read.outputs().entry_host {
        let Some(external) = &entry.service.external else { continue };
        if precedent(host, read).is_some() {
            continue;
        }
        let visible_in = &external.visible_in;
        let mut ports: Vec<u16> = entry.service.ports.iter().map(|port| port.port).collect();
        ports.sort_unstable();
        let block = |block: &Cidr| AddressClaim {
            block: *block,
            ports: ports.clone(),
            host: host.clone(),
            visible_in: visible_in.clone(),
        };
        addresses.extend(external.addresses.iter().map(block));
        let name = match wildcard(host) {
            Some(below) => Hostname::parse(below).map(HostMatch::Suffix),
            None => Some(HostMatch::Exact(host.clone())),
        };
        let visible_in = visible_in.clone();
        names.extend(name.map(|name| NameClaim { name, ports, host: host.clone(), visible_in }));
    }
    // Exact ones first, longer before shorter.
    names.sort_by_key(|claim| match &claim.name {
        HostMatch::Exact(_) => (false, 0),
        HostMatch::Ending(ending) => (true, usize::MAX - ending.len()),
        HostMatch::Suffix(below) => (true, usize::MAX - below.as_str().len()),
    });
    // Smaller blocks before larger ones.
    addresses.sort_by_key(|claim| std::cmp::Reverse(claim.block.prefix));
    (addresses, names)
}
