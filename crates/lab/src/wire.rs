//! Frames with file descriptors over a Unix socket, for both sides of the lab's control socket.

use crate::protocol::FRAME_BYTES_MAX;
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};

/// Bytes of the length before each frame.
pub(crate) const HEADER_BYTES: usize = 4;

/// What may be sent to a command that runs: one byte after its `Started`, the number of the signal.
pub(crate) const PASSED_SIGNALS: [Signal; 2] = [Signal::SIGINT, Signal::SIGTERM];

/// The signal that a byte stands for.
pub(crate) fn passed_signal(byte: u8) -> Option<Signal> {
    PASSED_SIGNALS.into_iter().find(|signal| *signal as u8 == byte)
}

/// The abstract address of the lab `name` of the calling user. Abstract names are shared by all users of
/// a host, so the user id is a part; what is behind it is checked by credentials, not by name.
pub(crate) fn address(name: &str) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("leno/demo/{}/{name}", nix::unistd::geteuid()))
}

/// Header and body of one frame.
pub(crate) fn encode(message: &impl Serialize) -> Result<Vec<u8>> {
    let body = serde_json::to_vec(message).context("encode a message to the lab")?;
    ensure!(body.len() <= FRAME_BYTES_MAX, "message of {} bytes is too long for the lab", body.len());
    let mut frame = Vec::with_capacity(HEADER_BYTES + body.len());
    frame.extend_from_slice(&(body.len() as u32).to_be_bytes());
    frame.extend_from_slice(&body);
    Ok(frame)
}

/// The length that a header announces, checked against the limit.
pub(crate) fn body_length(header: [u8; HEADER_BYTES]) -> Result<usize> {
    let length = u32::from_be_bytes(header) as usize;
    ensure!(length <= FRAME_BYTES_MAX, "frame of {length} bytes is too long");
    Ok(length)
}

/// Sends one frame, blocking; the descriptors go along with its first byte.
pub(crate) fn send(mut stream: &UnixStream, message: &impl Serialize, fds: &[RawFd]) -> Result<()> {
    let frame = encode(message)?;
    let rights = [ControlMessage::ScmRights(fds)];
    let control: &[ControlMessage<'_>] = if fds.is_empty() { &[] } else { &rights };
    let sent = sendmsg::<()>(
        stream.as_raw_fd(),
        &[IoSlice::new(&frame[..HEADER_BYTES])],
        control,
        MsgFlags::MSG_NOSIGNAL,
        None,
    )
    .context("send to the lab")?;
    stream.write_all(&frame[sent..]).context("send to the lab")
}

/// Receives one frame, blocking. `None` when the other side has closed.
pub(crate) fn receive<M: DeserializeOwned>(mut stream: &UnixStream) -> Result<Option<M>> {
    let mut header = [0; HEADER_BYTES];
    match stream.read_exact(&mut header) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other.context("receive from the lab")?,
    }
    let mut body = vec![0; body_length(header)?];
    stream.read_exact(&mut body).context("receive from the lab")?;
    Ok(Some(serde_json::from_slice(&body).context("read the lab's answer")?))
}

/// One read of header bytes together with the descriptors that came along. `Ok((0, _))`: closed.
pub(crate) fn receive_header(stream: RawFd, into: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = nix::cmsg_space!([RawFd; 8]);
    let mut slices = [IoSliceMut::new(into)];
    let message = recvmsg::<()>(stream, &mut slices, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let mut fds = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(received) = control {
            fds.extend(received.into_iter().map(crate::raw::adopt));
        }
    }
    Ok((message.bytes, fds))
}
