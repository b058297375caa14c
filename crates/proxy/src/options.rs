//! What a proxy is told on its command line. Never a secret: the join token comes from a file or stdin.

use clap::Args;
use model::BindAddress;
use model::capture_scope::{self, AddressBlock};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Most worker threads.
pub const WORKERS_MAX: usize = 256;

/// Options of `leno proxy` and `leno-proxy`.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Control plane of the local cluster, HOST:PORT
    #[arg(long, value_name = "ADDR")]
    pub control: Option<String>,
    /// File with the join token; `-` reads standard input
    #[arg(long, value_name = "PATH")]
    pub join_token_file: Option<PathBuf>,
    /// Number of worker threads [default: one per core]
    #[arg(long, value_name = "N")]
    pub workers: Option<usize>,
    /// Own address in its network (repeatable) [default: the one that packets to the control plane leave from]
    ///
    /// Others call the first one. Whoever calls past the mesh may call each of them, where plaintext is taken.
    #[arg(long = "address", value_name = "IP", value_parser = own_address)]
    pub addresses: Vec<IpAddr>,
    /// Admin port on 127.0.0.1; 0 opens none
    #[arg(long, value_name = "PORT", default_value_t = model::address::PORT_ADMIN)]
    pub admin_port: u16,
    /// Where the admin page is instead, unix:PATH or an address on loopback
    ///
    /// On loopback every user of the host may read it, and with it which service calls which. A Unix socket is for
    /// root and for the user that this process runs as.
    #[arg(long, value_name = "ADDR", conflicts_with = "admin_port")]
    pub admin: Option<BindAddress>,
    /// Address on which metrics are served
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub metrics_address: IpAddr,
    /// Port of the metrics; 0 opens none
    #[arg(long, value_name = "PORT", default_value_t = model::address::PORT_METRICS)]
    pub metrics_port: u16,
    /// A gateway: no captured traffic and no DNS
    #[arg(long)]
    pub no_capture: bool,
    /// Destinations that capture leaves alone on this host: applications are told no mesh-only address in them
    ///
    /// Others of IPv6 are told where the host has a route to them. What annotations of the workload group exclude is known
    /// without this.
    #[arg(long, value_name = "CIDRS", default_value = "", value_parser = capture_scope::blocks)]
    pub exclude_outbound_ip_ranges: BTreeSet<AddressBlock>,
    /// An inherited listening socket that stands for the gateway's listener PORT (repeatable)
    #[arg(long, value_name = "PORT=FD")]
    pub inherit_listener: Vec<InheritedListener>,
    /// Run the program of an `exec` probe, which the control plane names, as the user of this proxy
    ///
    /// Without it, such a probe fails and says so.
    #[arg(long, conflicts_with = "inherit_listener")]
    pub allow_exec_probes: bool,
    /// Write a line of JSON for each request to this file; `-` is standard output
    #[arg(long, value_name = "PATH")]
    pub access_log: Option<PathBuf>,
    /// Directory for the last good configuration (never a key); none is kept without it
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Log level or filter, as in LENO_LOG
    #[arg(long, value_name = "LEVEL")]
    pub log: Option<String>,
    /// Longest time for requests in flight when stopping, in seconds
    #[arg(long, value_name = "S", default_value_t = 20)]
    pub drain_seconds: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            control: None,
            join_token_file: None,
            workers: None,
            addresses: Vec::new(),
            admin_port: model::address::PORT_ADMIN,
            admin: None,
            metrics_address: IpAddr::from([127, 0, 0, 1]),
            metrics_port: model::address::PORT_METRICS,
            no_capture: false,
            exclude_outbound_ip_ranges: BTreeSet::new(),
            inherit_listener: Vec::new(),
            allow_exec_probes: false,
            access_log: None,
            state_dir: None,
            log: None,
            drain_seconds: 20,
        }
    }
}

impl Options {
    /// How many workers to start: at least 1, at most [`WORKERS_MAX`].
    pub fn worker_count(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.workers.unwrap_or_else(cores).clamp(1, WORKERS_MAX)
    }

    /// Where the admin page is, if anywhere.
    pub fn admin_address(&self) -> Option<BindAddress> {
        let of_port = || SocketAddr::from((Ipv4Addr::LOCALHOST, self.admin_port)).into();
        self.admin.clone().or_else(|| (self.admin_port != 0).then(of_port))
    }

    /// Longest time for requests in flight when stopping.
    pub fn drain_timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.drain_seconds))
    }
}

/// An address by which others on the network can call this host.
fn own_address(text: &str) -> Result<IpAddr, String> {
    let address: IpAddr = text.parse().map_err(|_| format!("`{text}` is not an IP address"))?;
    let is_on_link = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    if address.is_unspecified() || address.is_multicast() || is_on_link {
        return Err(format!("`{text}` is not an address that other hosts can call this one by"));
    }
    Ok(address.to_canonical())
}

/// `PORT=FD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InheritedListener {
    /// The gateway listener's port that the socket stands for.
    pub port: u16,
    /// The inherited descriptor.
    pub fd: RawFd,
}

impl FromStr for InheritedListener {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=').and_then(|(port, fd)| Some((port.parse().ok()?, fd.parse().ok()?)));
        match parts {
            Some((port, fd)) if port != 0 && fd > 2 => Ok(Self { port, fd }),
            _ => Err(format!("`{text}` is not PORT=FD with a descriptor above 2")),
        }
    }
}
