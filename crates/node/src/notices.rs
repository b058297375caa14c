//! What a proxy tells of itself, as it would tell a service manager (`sd_notify(3)`); nobody else is listened to.

use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, setsockopt, sockopt::PassCred};
use std::io::{self, IoSliceMut};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram as StdDatagram};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::io::Interest;
use tokio::net::UnixDatagram;

/// Longest message.
const MESSAGE_BYTES_MAX: usize = 1024;

/// The socket for these messages. Its name has no permissions, so senders are looked at.
pub(crate) struct Notices {
    socket: UnixDatagram,
    name: String,
}

impl Notices {
    /// Under a name that nobody can take before.
    pub(crate) fn open() -> io::Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let name = format!("leno-join-{}-{now}", std::process::id());
        let socket = StdDatagram::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        setsockopt(&socket, PassCred, &true)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket: UnixDatagram::from_std(socket)?, name })
    }

    /// What `NOTIFY_SOCKET` is for the proxy.
    pub(crate) fn address(&self) -> String {
        format!("@{}", self.name)
    }

    /// Waits until the process `from` says that it is ready.
    pub(crate) async fn ready(&self, from: Option<u32>) -> io::Result<()> {
        loop {
            let (sender, text) = self.socket.async_io(Interest::READABLE, || self.receive()).await?;
            if sender == from && text.lines().any(|line| line == "READY=1") {
                return Ok(());
            }
        }
    }

    /// The next message and the process that sent it.
    fn receive(&self) -> io::Result<(Option<u32>, String)> {
        let mut bytes = [0; MESSAGE_BYTES_MAX];
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let mut control = nix::cmsg_space!(nix::sys::socket::UnixCredentials);
        let flags = MsgFlags::MSG_DONTWAIT;
        let message = recvmsg::<UnixAddr>(self.socket.as_raw_fd(), &mut slices, Some(&mut control), flags)?;
        let sender = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::ScmCredentials(credentials) => u32::try_from(credentials.pid()).ok(),
            _ => None,
        });
        let len = message.bytes;
        Ok((sender, String::from_utf8_lossy(bytes.get(..len).unwrap_or_default()).into_owned()))
    }
}

#[cfg(test)]
mod tests;
