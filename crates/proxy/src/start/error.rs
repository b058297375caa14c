//! Why a proxy does not start.

use super::join::JoinError;
use crate::snapshot::ClosedListener;
use daemon::local::LocalListenError;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a proxy did not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A needed option is missing.
    #[error("option {0} is needed")]
    Option(&'static str),
    /// The access log cannot be written.
    #[error("open the access log {0}")]
    AccessLog(PathBuf, #[source] io::Error),
    /// A port is taken or not ours to take.
    #[error("listen on {0}")]
    Bind(SocketAddr, #[source] io::Error),
    /// The admin page would be open to other hosts.
    #[error("--admin={0}: the admin page is for this host alone; name an address on loopback, or unix:PATH")]
    AdminAddress(SocketAddr),
    /// The Unix socket of the admin page cannot be had.
    #[error("--admin")]
    AdminSocket(#[source] LocalListenError),
    /// A port that the first configuration of a proxy outside of a mesh names is taken or not ours to take.
    #[error("listen on {} for listener {} of Gateway {}/{}: {}", .0.address, .0.name, .0.namespace, .0.gateway, .0.why)]
    Listen(ClosedListener),
    /// All of the first configuration of a proxy outside of a mesh was refused.
    #[error("there is nothing to serve: what is configured was refused, see above")]
    NothingToServe,
    /// Not let in.
    #[error("join the mesh")]
    Join(#[source] JoinError),
    /// The embedded control plane did not start.
    #[error("start the embedded control plane")]
    Embedded(#[source] Box<dyn Error + Send + Sync>),
    /// The system refused a thread, a runtime or a signal handler.
    #[error("start {0}")]
    System(&'static str, #[source] io::Error),
}
