//! Packet captures of a bridge, as pcap files that Wireshark and tcpdump read.
//!
//! Our own reader, because tcpdump insists on changing its user, which a namespace with one user id forbids.
//! Each frame is kept once: when a host sends it, or when the router itself sends it to the network.

use crate::namespace::Namespace;
use crate::network::{BRIDGE, CABLES};
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::socket::sockopt::{RcvBuf, ReceiveTimeout};
use nix::sys::socket::{
    AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, setsockopt, socket,
};
use nix::sys::time::{TimeVal, TimeValLike};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Longest frame; offloads hand over up to 64 KiB and headers in one.
const FRAME_BYTES_MAX: usize = 256 * 1024;
/// Bytes that the kernel keeps for us; it grants less where its limit is lower.
const QUEUE_BYTES: usize = 8 * 1024 * 1024;
/// Between two looks whether the capture is to end, when nothing arrives.
const IDLE_MS: i64 = 10;
/// Ethernet, in pcap's list of link types.
const LINKTYPE_ETHERNET: u32 = 1;

/// A capture that runs, in a thread of its own.
pub(crate) struct Capture {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    done: tokio::sync::oneshot::Receiver<Result<()>>,
}

impl Capture {
    /// Starts capturing on the bridge in `namespace`. From its return on, every frame is seen.
    pub(crate) async fn start(namespace: &Namespace, path: &Path) -> Result<Self> {
        let socket = namespace.run(open_socket).await?;
        let file = daemon::files::private()
            .create(true)
            .write(true)
            .truncate(true)
            .open(path)
            .with_context(|| format!("create {}", path.display()))?;
        let stop = Arc::new(AtomicBool::new(false));
        let (done, result) = tokio::sync::oneshot::channel();
        let asked = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("capture".into());
        thread
            .spawn(move || {
                let _ = done.send(record(&socket, file, &asked));
            })
            .context("start a thread")?;
        Ok(Self { path: path.to_owned(), stop, done: result })
    }

    /// Takes what has arrived so far, and ends; the finished file.
    pub(crate) async fn end(self) -> Result<PathBuf> {
        self.stop.store(true, Ordering::Release);
        self.done.await.context("the capture's thread ended early")??;
        Ok(self.path)
    }
}

fn open_socket() -> Result<OwnedFd> {
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)
        .context("open a packet socket")?;
    setsockopt(&socket, RcvBuf, &QUEUE_BYTES)?;
    setsockopt(&socket, ReceiveTimeout, &TimeVal::milliseconds(IDLE_MS))?;
    Ok(socket)
}

/// Writes frames until it is to stop and none is left.
fn record(socket: &OwnedFd, file: File, stop: &AtomicBool) -> Result<()> {
    let mut file = BufWriter::new(file);
    file.write_all(&file_header())?;
    let mut frame = vec![0; FRAME_BYTES_MAX];
    loop {
        // Before the look at the queue: what came before the order to stop is still taken.
        let is_last = stop.load(Ordering::Acquire);
        match recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut frame) {
            Ok((length, Some(from))) if is_sent_once(from.ifindex(), from.pkttype()) => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let length = length.min(frame.len());
                for number in [since.as_secs() as u32, since.subsec_micros(), length as u32, length as u32] {
                    file.write_all(&number.to_le_bytes())?;
                }
                file.write_all(&frame[..length])?;
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) if is_last => break,
            Err(Errno::EAGAIN) => {}
            Err(error) => return Err(error).context("read from a packet socket"),
        }
    }
    file.flush().context("write a capture")
}

/// A frame passes several interfaces of the bridge; true for exactly one of them.
fn is_sent_once(interface: usize, kind: u8) -> bool {
    let is_outgoing = kind == libc::PACKET_OUTGOING;
    if is_outgoing { interface == BRIDGE as usize } else { interface >= CABLES as usize }
}

fn file_header() -> [u8; 24] {
    let mut header = [0; 24];
    header[..4].copy_from_slice(&0xa1b2_c3d4_u32.to_le_bytes());
    header[4..6].copy_from_slice(&2_u16.to_le_bytes());
    header[6..8].copy_from_slice(&4_u16.to_le_bytes());
    header[16..20].copy_from_slice(&(FRAME_BYTES_MAX as u32).to_le_bytes());
    header[20..].copy_from_slice(&LINKTYPE_ETHERNET.to_le_bytes());
    header
}

#[cfg(test)]
mod tests;
