//! Lists of ports in annotations with Linkerd's names: which ports are opaque, and which ones go past the proxy.
//!
//! `translate` makes protocols of the former, `capture_scope` leaves the latter alone.

use std::collections::BTreeSet;

/// Annotation of a Service: its ports on which bytes are carried as they are, whatever their names say.
pub const OPAQUE_PORTS: &str = "config.linkerd.io/opaque-ports";
/// Annotation of a workload: inbound ports that are not captured.
pub const SKIP_INBOUND_PORTS: &str = "config.linkerd.io/skip-inbound-ports";
/// Annotation of a workload: outbound ports that are not captured.
pub const SKIP_OUTBOUND_PORTS: &str = "config.linkerd.io/skip-outbound-ports";

/// Ports that are opaque where nothing declares them: Linkerd's (SMTP, submission, MySQL, Galera, PostgreSQL, Redis,
/// Elasticsearch, memcached) and Istio's (SMTP, DNS, MySQL, MongoDB).
pub const OPAQUE_DEFAULT: &[u16] = &[25, 53, 587, 3306, 4444, 5432, 6379, 9300, 11211, 27017];

/// Ports of one list, each of a range counted.
const PORTS_MAX: usize = 4096;

/// Why a list has no reading.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortListError {
    /// An entry is neither.
    #[error("`{0}` is neither a port from 1 to 65535 nor a range of them, as in 8000-8010")]
    Entry(String),
    /// The list is too long.
    #[error("more than {PORTS_MAX} ports")]
    TooMany,
}

/// Ports and ranges, separated by commas, as in `25,8000-8010`.
///
/// # Errors
/// The first entry without a reading, or too many ports.
pub fn parse(text: &str) -> Result<BTreeSet<u16>, PortListError> {
    let mut ports = BTreeSet::new();
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let (first, last) = entry.split_once('-').unwrap_or((entry, entry));
        let port = |text: &str| text.trim().parse().ok().filter(|port: &u16| *port != 0);
        let range = port(first).zip(port(last)).filter(|(first, last)| first <= last);
        let (first, last) = range.ok_or_else(|| PortListError::Entry(entry.to_owned()))?;
        if ports.len() + usize::from(last - first) >= PORTS_MAX {
            return Err(PortListError::TooMany);
        }
        ports.extend(first..=last);
    }
    Ok(ports)
}

#[cfg(test)]
mod tests;
