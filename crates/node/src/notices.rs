//! What a proxy tells of itself, as it would tell a service manager (`sd_notify(3)`); nobody else is listened to.

use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, setsockopt, sockopt::PassCred};
use std::io::{self, IoSliceMut};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram as StdDatagram};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::io::Interest;
use tokio::net::UnixDatagram;

/// Longest message; of one that is longer the rest is lost, and it has no reading.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// How a proxy tells what of its mesh bears on capture.
const CAPTURE: &str = "X_LENO_CAPTURE=";

/// What a proxy tells.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// It serves.
    Ready,
    /// What of its mesh bears on capture, in JSON.
    Capture(String),
}

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

    /// Waits for the next that the process `from` tells and that concerns us.
    pub(crate) async fn next(&self, from: Option<u32>) -> io::Result<Notice> {
        loop {
            let (sender, text) = self.socket.async_io(Interest::READABLE, || self.receive()).await?;
            if sender != from {
                continue;
            }
            if let Some(told) = text.strip_prefix(CAPTURE) {
                return Ok(Notice::Capture(told.to_owned()));
            }
            if text.lines().any(|line| line == "READY=1") {
                return Ok(Notice::Ready);
            }
        }
    }

    /// The next message and the process that sent it.
    fn receive(&self) -> io::Result<(Option<u32>, String)> {
        let mut bytes = vec![0; MESSAGE_BYTES_MAX];
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
