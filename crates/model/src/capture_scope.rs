//! Which of a host's traffic is captured: by port, address, user, group and cgroup, as flags or as Istio's annotations.
//!
//! Only values that were read here reach a rule of a host: numbers, address blocks, and paths of cgroups. The kind
//! `WorkloadGroup` has the annotations, `node` the flags and the rules; the proxy tells applications no address that is
//! not captured.

use crate::address::{MeshPrefix, PORT_SSH};
use crate::authz::Cidr;
use crate::port_list::{self, PortListError, SKIP_INBOUND_PORTS, SKIP_OUTBOUND_PORTS};
use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// Entries of one list.
const ENTRIES_MAX: usize = 256;

/// What annotations of Istio's begin with.
const ANNOTATION_PREFIX: &str = "traffic.sidecar.istio.io/";

/// Whether an annotation of a workload is about capture.
pub fn is_about_capture(annotation: &str) -> bool {
    annotation.starts_with(ANNOTATION_PREFIX)
        || [SKIP_INBOUND_PORTS, SKIP_OUTBOUND_PORTS].contains(&annotation)
}

/// What is captured. The default: everything, but for SSH inbound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaptureScope {
    /// Inbound ports that are captured.
    pub inbound_ports: Included<u16>,
    /// Inbound ports that are not.
    pub exclude_inbound_ports: BTreeSet<u16>,
    /// Outbound ports that are captured, wherever they lead.
    pub outbound_ports: BTreeSet<u16>,
    /// Outbound ports that are not.
    pub exclude_outbound_ports: BTreeSet<u16>,
    /// Destinations that are captured beside mesh-only addresses.
    pub outbound_ip_ranges: Included<AddressBlock>,
    /// Destinations that are not, mesh-only addresses among them.
    pub exclude_outbound_ip_ranges: BTreeSet<AddressBlock>,
    /// Where mesh-only addresses of IPv6 lie.
    pub mesh_prefix: MeshPrefix,
    /// Users whose processes are left alone, DNS included.
    pub exclude_users: BTreeSet<u32>,
    /// Groups whose processes are left alone.
    pub exclude_groups: BTreeSet<u32>,
    /// Cgroups (v2) whose processes are left alone.
    pub exclude_cgroups: BTreeSet<CgroupPath>,
}

/// A list of what is included, of which `*` means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Included<T> {
    /// `*`.
    #[default]
    All,
    /// These alone; an empty list includes nothing.
    These(BTreeSet<T>),
}

/// What is wrong with a scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// An entry has no reading.
    #[error("`{entry}` is not {expected}")]
    Entry {
        /// As it was written.
        entry: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A list is too long.
    #[error("a list of {0} entries; at most {ENTRIES_MAX} are taken")]
    TooMany(usize),
    /// A list of Linkerd's.
    #[error(transparent)]
    Ports(#[from] PortListError),
    /// An annotation has a value without a reading.
    #[error("{name}: {cause}")]
    Annotation {
        /// Its name.
        name: String,
        /// What is wrong.
        cause: Box<ScopeError>,
    },
}

/// An address block as nftables reads it: the first address of the block and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AddressBlock {
    first: IpAddr,
    bits: u8,
}

impl AddressBlock {
    /// Whether it is of IPv4.
    pub fn is_v4(&self) -> bool {
        self.first.is_ipv4()
    }

    fn contains(&self, ip: IpAddr) -> bool {
        Cidr { address: self.first, prefix: self.bits }.contains(ip)
    }
}

impl fmt::Display for AddressBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

impl FromStr for AddressBlock {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let expected = "an address or an address block, as in 10.0.0.0/8";
        let Cidr { address, prefix } =
            Cidr::parse(text).ok_or_else(|| ScopeError::Entry { entry: text.to_owned(), expected })?;
        let first = match address {
            IpAddr::V4(v4) => {
                IpAddr::V4((v4.to_bits() & u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)).into())
            }
            IpAddr::V6(v6) => IpAddr::V6(
                (v6.to_bits() & u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)).into(),
            ),
        };
        Ok(Self { first, bits: prefix })
    }
}

/// A cgroup by its path below the mount of cgroup v2, as `system.slice/ssh.service`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CgroupPath(String);

impl CgroupPath {
    /// How deep it lies: what nftables compares.
    pub fn level(&self) -> usize {
        self.0.split('/').count()
    }
}

impl fmt::Display for CgroupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for CgroupPath {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let path = text.trim_matches('/');
        let is_name = |name: &str| {
            let is_plain =
                |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | ':' | '\\');
            !name.is_empty() && name != "." && name != ".." && name.chars().all(is_plain)
        };
        if path.len() <= 512 && path.split('/').all(is_name) {
            return Ok(Self(path.to_owned()));
        }
        Err(ScopeError::Entry {
            entry: text.to_owned(),
            expected: "the path of a cgroup, as in system.slice/ssh.service",
        })
    }
}

/// Ports, each a number from 1 to 65535, separated by commas.
///
/// # Errors
/// The first entry without a reading.
pub fn ports(text: &str) -> Result<BTreeSet<u16>, ScopeError> {
    list(text, |entry| {
        let port = entry.parse().ok().filter(|port| *port != 0);
        port.ok_or_else(|| ScopeError::Entry { entry: entry.to_owned(), expected: "a port from 1 to 65535" })
    })
}

/// As [`ports`], or `*`.
///
/// # Errors
/// The first entry without a reading.
pub fn included_ports(text: &str) -> Result<Included<u16>, ScopeError> {
    if text.trim() == "*" { Ok(Included::All) } else { ports(text).map(Included::These) }
}

/// Address blocks, separated by commas.
///
/// # Errors
/// The first entry without a reading.
pub fn blocks(text: &str) -> Result<BTreeSet<AddressBlock>, ScopeError> {
    list(text, str::parse)
}

/// As [`blocks`], or `*`.
///
/// # Errors
/// The first entry without a reading.
pub fn included_blocks(text: &str) -> Result<Included<AddressBlock>, ScopeError> {
    if text.trim() == "*" { Ok(Included::All) } else { blocks(text).map(Included::These) }
}

fn list<T: Ord>(text: &str, read: impl Fn(&str) -> Result<T, ScopeError>) -> Result<BTreeSet<T>, ScopeError> {
    let entries: Vec<&str> = text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).collect();
    if entries.len() > ENTRIES_MAX {
        return Err(ScopeError::TooMany(entries.len()));
    }
    entries.into_iter().map(read).collect()
}

impl CaptureScope {
    /// Whether connections to `port` of this host are captured.
    pub fn takes_inbound(&self, port: u16) -> bool {
        let is_included = match &self.inbound_ports {
            Included::All => port != PORT_SSH,
            Included::These(ports) => ports.contains(&port),
        };
        is_included && !self.exclude_inbound_ports.contains(&port)
    }

    /// Whether connections to this destination are captured, ports and users apart.
    pub fn takes_outbound(&self, ip: IpAddr) -> bool {
        let is_included = match &self.outbound_ip_ranges {
            Included::All => true,
            Included::These(blocks) => blocks.iter().chain(&self.mesh_only()).any(|block| block.contains(ip)),
        };
        is_included && !self.exclude_outbound_ip_ranges.iter().any(|block| block.contains(ip))
    }

    /// Where mesh-only addresses lie. No list of what is captured needs to name them: nobody else answers there.
    pub fn mesh_only(&self) -> BTreeSet<AddressBlock> {
        let v4 = AddressBlock { first: Ipv4Addr::new(240, 0, 0, 0).into(), bits: 4 };
        let v6 = AddressBlock { first: self.mesh_prefix.first().into(), bits: 48 };
        [v4, v6].into()
    }

    /// Inbound ports that are left alone where all others are captured.
    pub fn left_inbound(&self) -> BTreeSet<u16> {
        let mut left = self.exclude_inbound_ports.clone();
        if self.inbound_ports == Included::All {
            left.insert(PORT_SSH);
        }
        left
    }

    /// What is captured on a host whose owner says `self`, and of whose group the annotations say more.
    ///
    /// The owner has the last word to leave something alone: what either excludes is excluded, and where the owner lists
    /// what to capture, that list holds. SSH is captured by the owner's list alone: an annotation must not lock him out.
    ///
    /// # Errors
    /// See [`CaptureScope::annotate`].
    pub fn annotated<'a>(
        &self,
        annotations: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, ScopeError> {
        let (mut scope, mut asked) = (self.clone(), Self::default());
        asked.annotate(annotations)?;
        scope.exclude_inbound_ports.append(&mut asked.exclude_inbound_ports);
        scope.exclude_outbound_ports.append(&mut asked.exclude_outbound_ports);
        scope.exclude_outbound_ip_ranges.append(&mut asked.exclude_outbound_ip_ranges);
        // Where the owner says which destinations are captured, nobody adds to them, by a port either.
        if scope.outbound_ip_ranges == Included::All {
            scope.outbound_ip_ranges = asked.outbound_ip_ranges;
            scope.outbound_ports.append(&mut asked.outbound_ports);
        }
        if let (Included::All, Included::These(mut ports)) = (&scope.inbound_ports, asked.inbound_ports) {
            ports.remove(&PORT_SSH);
            scope.inbound_ports = Included::These(ports);
        }
        Ok(scope)
    }

    /// Takes in annotations of a workload with Istio's or Linkerd's names; others are none of ours.
    ///
    /// # Errors
    /// The first one without a reading; nothing of the others is lost, but the scope should not be used.
    pub fn annotate<'a>(
        &mut self,
        annotations: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), ScopeError> {
        for (name, value) in annotations {
            let annotated = match name {
                SKIP_INBOUND_PORTS => port_list::parse(value)
                    .map(|mut ports| self.exclude_inbound_ports.append(&mut ports))
                    .map_err(ScopeError::from),
                SKIP_OUTBOUND_PORTS => port_list::parse(value)
                    .map(|mut ports| self.exclude_outbound_ports.append(&mut ports))
                    .map_err(ScopeError::from),
                _ => match name.strip_prefix(ANNOTATION_PREFIX) {
                    Some(what) => self.annotate_one(what, value),
                    None => Ok(()),
                },
            };
            annotated
                .map_err(|cause| ScopeError::Annotation { name: name.to_owned(), cause: Box::new(cause) })?;
        }
        Ok(())
    }

    fn annotate_one(&mut self, what: &str, value: &str) -> Result<(), ScopeError> {
        match what {
            "includeInboundPorts" => self.inbound_ports = included_ports(value)?,
            "excludeInboundPorts" => self.exclude_inbound_ports.append(&mut ports(value)?),
            "includeOutboundPorts" => self.outbound_ports.append(&mut ports(value)?),
            "excludeOutboundPorts" => self.exclude_outbound_ports.append(&mut ports(value)?),
            "includeOutboundIPRanges" => self.outbound_ip_ranges = included_blocks(value)?,
            "excludeOutboundIPRanges" => self.exclude_outbound_ip_ranges.append(&mut blocks(value)?),
            _ => {
                return Err(ScopeError::Entry {
                    entry: what.to_owned(),
                    expected: "one of includeInboundPorts, excludeInboundPorts, includeOutboundPorts, \
                               excludeOutboundPorts, includeOutboundIPRanges, excludeOutboundIPRanges",
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
