//! `leno node`: options of the crate `node`.

use ::node::guard;
use anyhow::Result;
use model::address::MeshPrefix;
use model::capture_scope::{self, AddressBlock, CaptureScope, CgroupPath, Included};
use std::collections::BTreeSet;
use std::time::Duration;

/// What to do on this host.
#[derive(clap::Subcommand)]
pub(crate) enum NodeCommand {
    /// Redirect this host's traffic to the proxy on it
    Capture {
        #[command(flatten)]
        scope: Box<ScopeOptions>,
        /// Print the rules instead of applying them
        #[arg(long)]
        print: bool,
        /// Stay, undo capture when no proxy has listened for so long, in seconds, and capture again when one does
        #[arg(long, value_name = "S", conflicts_with = "print", value_parser = clap::value_parser!(u64).range(1..=86_400))]
        undo_after: Option<u64>,
    },
    /// Undo capture: exactly its rules are removed
    Release,
}

/// Which traffic; the names are those of Istio's annotations.
#[derive(clap::Args, Clone)]
pub(crate) struct ScopeOptions {
    /// Inbound ports to capture; `*`: all but 22
    #[arg(long, value_name = "PORTS", default_value = "*", value_parser = capture_scope::included_ports)]
    include_inbound_ports: Included<u16>,
    /// Inbound ports not to capture
    #[arg(long, value_name = "PORTS", default_value = "", value_parser = capture_scope::ports)]
    exclude_inbound_ports: BTreeSet<u16>,
    /// Outbound ports to capture whatever the destination
    #[arg(long, value_name = "PORTS", default_value = "", value_parser = capture_scope::ports)]
    include_outbound_ports: BTreeSet<u16>,
    /// Outbound ports not to capture; with 53, DNS is not either
    #[arg(long, value_name = "PORTS", default_value = "", value_parser = capture_scope::ports)]
    exclude_outbound_ports: BTreeSet<u16>,
    /// Destinations to capture beside mesh-only addresses (240.0.0.0/4, and the mesh's /48 of IPv6), which need not be
    /// listed: nobody else answers there; `*`: all
    #[arg(long, value_name = "CIDRS", default_value = "*", value_parser = capture_scope::included_blocks)]
    include_outbound_ip_ranges: Included<AddressBlock>,
    /// Destinations not to capture, beside loopback and link-local addresses; applications are told no mesh-only address in
    /// them
    #[arg(long, value_name = "CIDRS", default_value = "", value_parser = capture_scope::blocks)]
    exclude_outbound_ip_ranges: BTreeSet<AddressBlock>,
    /// A user, by number, whose processes are left alone (repeatable)
    #[arg(long, value_name = "UID")]
    exclude_user: Vec<u32>,
    /// A group, by number, whose processes are left alone (repeatable)
    #[arg(long, value_name = "GID")]
    exclude_group: Vec<u32>,
    /// A cgroup (v2) whose processes are left alone, as system.slice/ssh.service (repeatable)
    #[arg(long, value_name = "PATH")]
    exclude_cgroup: Vec<CgroupPath>,
}

impl From<ScopeOptions> for CaptureScope {
    fn from(options: ScopeOptions) -> Self {
        Self {
            inbound_ports: options.include_inbound_ports,
            exclude_inbound_ports: options.exclude_inbound_ports,
            outbound_ports: options.include_outbound_ports,
            exclude_outbound_ports: options.exclude_outbound_ports,
            outbound_ip_ranges: options.include_outbound_ip_ranges,
            exclude_outbound_ip_ranges: options.exclude_outbound_ip_ranges,
            mesh_prefix: MeshPrefix::DEFAULT,
            exclude_users: options.exclude_user.into_iter().collect(),
            exclude_groups: options.exclude_group.into_iter().collect(),
            exclude_cgroups: options.exclude_cgroup.into_iter().collect(),
        }
    }
}

/// Does it.
pub(crate) fn run(command: NodeCommand) -> Result<()> {
    match command {
        NodeCommand::Capture { scope, print: true, .. } => {
            print!("{}", ::node::capture::ruleset(&(*scope).into()))
        }
        NodeCommand::Capture { scope, undo_after, .. } => {
            let scope = (*scope).into();
            ::node::capture::apply(&scope)?;
            if let Some(seconds) = undo_after {
                keep(&scope, Duration::from_secs(seconds))?;
            }
        }
        NodeCommand::Release => ::node::capture::release()?,
    }
    Ok(())
}

/// Looks after capture until the process is told to end.
fn keep(scope: &CaptureScope, undo_after: Duration) -> Result<()> {
    daemon::logging::init("leno-node");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stop = async { daemon::process::wait_for_stop().await.map(|_| ()) };
        Ok(guard::keep(scope, undo_after, stop).await?)
    })
}
