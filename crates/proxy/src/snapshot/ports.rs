//! Whether a gateway's listeners can be opened, asked before their configuration is put in force: what cannot
//! be opened must not replace what is open. The workers open them; read `start::listeners` next.

use model::listener::GatewayListener;
use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;

/// Takes ports for a configuration that is about to be in force.
pub trait Ports: Send {
    /// Makes sure that listeners can be opened at `address`; does nothing for one that is reserved already.
    ///
    /// # Errors
    /// Why they cannot.
    fn reserve(&mut self, address: SocketAddr) -> io::Result<()>;

    /// Only these are needed from now on.
    fn keep_only(&mut self, wanted: &HashSet<SocketAddr>);
}

/// Where nothing is listened on.
pub(crate) struct Unasked;

impl Ports for Unasked {
    fn reserve(&mut self, _: SocketAddr) -> io::Result<()> {
        Ok(())
    }

    fn keep_only(&mut self, _: &HashSet<SocketAddr>) {}
}

/// Where a gateway's listener listens.
pub(crate) fn place(listener: &GatewayListener) -> SocketAddr {
    listener.place()
}
