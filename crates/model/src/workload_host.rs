//! The host name of the workload at an address, under which a proxy asks for it whose application calls that address:
//! `ip-10-0-0-13.workload.leno`, or `ip6-` and eight groups.

use crate::Hostname;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const SUFFIX: &str = "workload.leno";

/// The host of whichever workload is at `ip`.
pub fn workload_host(ip: IpAddr) -> Option<Hostname> {
    let label = match ip.to_canonical() {
        IpAddr::V4(v4) => format!("ip-{}", v4.to_string().replace('.', "-")),
        IpAddr::V6(v6) => {
            let [a, b, c, d, e, f, g, h] = v6.segments();
            format!("ip6-{a:x}-{b:x}-{c:x}-{d:x}-{e:x}-{f:x}-{g:x}-{h:x}")
        }
    };
    Hostname::parse(&format!("{label}.{SUFFIX}"))
}

/// The address that a host of this form means.
pub fn workload_address(host: &Hostname) -> Option<IpAddr> {
    let label = host.as_str().strip_suffix(SUFFIX)?.strip_suffix('.')?;
    let ip = match label.strip_prefix("ip-") {
        Some(v4) => v4.replace('-', ".").parse::<Ipv4Addr>().ok()?.into(),
        None => label.strip_prefix("ip6-")?.replace('-', ":").parse::<Ipv6Addr>().ok()?.into(),
    };
    // One spelling alone, so that one workload has one name.
    (workload_host(ip).as_ref() == Some(host)).then_some(ip)
}

/// Whether a host has this form: its ports are those that the workload has, declared or not.
pub fn is_workload_host(host: &Hostname) -> bool {
    host.is_within(SUFFIX)
}

#[cfg(test)]
mod tests;
