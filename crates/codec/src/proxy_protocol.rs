//! The PROXY protocol of HAProxy, versions 1 and 2 (`proxy-protocol.txt`, 2.8): by whom a connection was made that a load
//! balancer passes on. Sans-IO: bytes in, what they say out. Whose word is taken is for others to decide.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longest header of version 1, with its end (section 2.1).
const V1_BYTES_MAX: usize = 107;
/// How a header of version 1 begins.
const V1_BEGIN: &[u8] = b"PROXY ";
/// How a header of version 2 begins (section 2.2).
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The signature, version and command, family, length.
const V2_FIXED_BYTES: usize = 16;
/// Longest header of version 2 that is read, with its TLVs, in bytes; a longer one is malformed here. Those of clouds have
/// about 200, one with a client's certificate some 2,000.
pub const PROXY_HEADER_BYTES_MAX: usize = 4096;

/// The versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// Between whom the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxiedAddresses {
    /// Who made it.
    pub source: SocketAddr,
    /// Where it was made to.
    pub destination: SocketAddr,
}

/// What the first bytes of a connection say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeaderRead {
    /// They may become a header.
    NeedMore,
    /// A header of `len` bytes. `None`: the connection is the sender's own (LOCAL, as to check health), or it does not know
    /// (UNKNOWN), or the addresses are no IP addresses.
    Done {
        /// Bytes of the header; what follows is the connection's.
        len: usize,
        /// What it says.
        addresses: Option<ProxiedAddresses>,
    },
    /// They begin with something else.
    Absent,
    /// They begin as a header does and are none.
    Malformed(&'static str),
}

/// Reads what a connection begins with: all bytes that came so far.
pub fn read_proxy_header(bytes: &[u8]) -> ProxyHeaderRead {
    if begins(bytes, V2_SIGNATURE) {
        return match bytes.len() > V2_SIGNATURE.len() {
            true => read_v2(bytes),
            false => ProxyHeaderRead::NeedMore,
        };
    }
    match begins(bytes, V1_BEGIN) {
        true => read_v1(bytes),
        false => ProxyHeaderRead::Absent,
    }
}

/// Whether `bytes`, as far as they have come, are like `with`.
fn begins(bytes: &[u8], with: &[u8]) -> bool {
    bytes.iter().zip(with).all(|(a, b)| a == b)
}

fn read_v1(bytes: &[u8]) -> ProxyHeaderRead {
    let within = bytes.get(..V1_BYTES_MAX).unwrap_or(bytes);
    let Some(end) = within.windows(2).position(|pair| pair == b"\r\n") else {
        return match bytes.len() >= V1_BYTES_MAX {
            true => ProxyHeaderRead::Malformed("version 1: the line is longer than 107 bytes"),
            false => ProxyHeaderRead::NeedMore,
        };
    };
    let line = within.get(V1_BEGIN.len()..end).unwrap_or_default();
    let Ok(line) = std::str::from_utf8(line) else {
        return ProxyHeaderRead::Malformed("version 1: not ASCII");
    };
    // What follows UNKNOWN is to be ignored.
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return ProxyHeaderRead::Done { len: end + 2, addresses: None };
    }
    match v1_addresses(line) {
        Some(addresses) => ProxyHeaderRead::Done { len: end + 2, addresses: Some(addresses) },
        None => ProxyHeaderRead::Malformed("version 1: no protocol, two addresses and two ports"),
    }
}

/// `TCP4 SOURCE DESTINATION PORT PORT`, one blank between each.
fn v1_addresses(line: &str) -> Option<ProxiedAddresses> {
    let mut words = line.split(' ');
    let is_v4 = match words.next()? {
        "TCP4" => true,
        "TCP6" => false,
        _ => return None,
    };
    let mut address = || {
        let ip: IpAddr = words.next()?.parse().ok()?;
        (ip.is_ipv4() == is_v4).then_some(ip)
    };
    let (source, destination) = (address()?, address()?);
    let mut port = || {
        let word = words.next()?;
        let is_plain =
            word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
        word.parse::<u16>().ok().filter(|_| is_plain)
    };
    let (from, to) = (port()?, port()?);
    let addresses = ProxiedAddresses {
        source: SocketAddr::new(source, from),
        destination: SocketAddr::new(destination, to),
    };
    words.next().is_none().then_some(addresses)
}

fn read_v2(bytes: &[u8]) -> ProxyHeaderRead {
    const LOCAL: u8 = 0x20;
    const PROXY: u8 = 0x21;
    let is_local = match bytes.get(12) {
        None => return ProxyHeaderRead::NeedMore,
        Some(&LOCAL) => true,
        Some(&PROXY) => false,
        Some(_) => return ProxyHeaderRead::Malformed("version 2: the version or the command is unknown"),
    };
    let Some(&[family, high, low]) = bytes.get(13..V2_FIXED_BYTES) else { return ProxyHeaderRead::NeedMore };
    let body_len = usize::from(u16::from_be_bytes([high, low]));
    let len = V2_FIXED_BYTES + body_len;
    if len > PROXY_HEADER_BYTES_MAX {
        return ProxyHeaderRead::Malformed("version 2: the header is longer than 4096 bytes");
    }
    // Of what is the sender's own, the addresses say nothing.
    let addresses_len = match family {
        _ if is_local => 0,
        0x00 => 0,
        0x11 => 12,
        0x21 => 36,
        // Of UNIX sockets.
        0x31 => 216,
        0x12 | 0x22 | 0x32 => return ProxyHeaderRead::Malformed("version 2: of datagrams, on a connection"),
        _ => return ProxyHeaderRead::Malformed("version 2: the family or the transport is unknown"),
    };
    if body_len < addresses_len {
        return ProxyHeaderRead::Malformed("version 2: too short for its addresses");
    }
    let Some(body) = bytes.get(V2_FIXED_BYTES..len) else { return ProxyHeaderRead::NeedMore };
    ProxyHeaderRead::Done { len, addresses: v2_addresses(addresses_len, body) }
}

/// The addresses in front of the TLVs, which nobody here needs.
fn v2_addresses(addresses_len: usize, body: &[u8]) -> Option<ProxiedAddresses> {
    let (source, destination, ports): (IpAddr, IpAddr, _) = match addresses_len {
        12 => {
            let source = <[u8; 4]>::try_from(body.get(..4)?).ok()?;
            let destination = <[u8; 4]>::try_from(body.get(4..8)?).ok()?;
            (Ipv4Addr::from(source).into(), Ipv4Addr::from(destination).into(), body.get(8..12)?)
        }
        36 => {
            let source = <[u8; 16]>::try_from(body.get(..16)?).ok()?;
            let destination = <[u8; 16]>::try_from(body.get(16..32)?).ok()?;
            (Ipv6Addr::from(source).into(), Ipv6Addr::from(destination).into(), body.get(32..36)?)
        }
        _ => return None,
    };
    let [a, b, c, d] = <[u8; 4]>::try_from(ports).ok()?;
    Some(ProxiedAddresses {
        source: SocketAddr::new(source, u16::from_be_bytes([a, b])),
        destination: SocketAddr::new(destination, u16::from_be_bytes([c, d])),
    })
}

/// The header that says so. Where the two are of different families, both are written as IPv6.
pub fn write_proxy_header(version: ProxyVersion, addresses: ProxiedAddresses) -> Vec<u8> {
    let ProxiedAddresses { source, destination } = addresses;
    let both = (source.ip().to_canonical(), destination.ip().to_canonical());
    let ports = (source.port(), destination.port());
    match (version, both) {
        (ProxyVersion::V1, (IpAddr::V4(from), IpAddr::V4(to))) => {
            format!("PROXY TCP4 {from} {to} {} {}\r\n", ports.0, ports.1).into_bytes()
        }
        (ProxyVersion::V1, (from, to)) => {
            format!("PROXY TCP6 {} {} {} {}\r\n", as_v6(from), as_v6(to), ports.0, ports.1).into_bytes()
        }
        (ProxyVersion::V2, (IpAddr::V4(from), IpAddr::V4(to))) => {
            v2(0x11, &from.octets(), &to.octets(), ports)
        }
        (ProxyVersion::V2, (from, to)) => v2(0x21, &as_v6(from).octets(), &as_v6(to).octets(), ports),
    }
}

fn as_v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

fn v2(family: u8, from: &[u8], to: &[u8], ports: (u16, u16)) -> Vec<u8> {
    // At most 36.
    let len = (from.len() + to.len() + 4) as u16;
    let mut header = V2_SIGNATURE.to_vec();
    header.extend_from_slice(&[0x21, family]);
    header.extend_from_slice(&len.to_be_bytes());
    header.extend_from_slice(from);
    header.extend_from_slice(to);
    header.extend_from_slice(&ports.0.to_be_bytes());
    header.extend_from_slice(&ports.1.to_be_bytes());
    header
}

#[cfg(test)]
mod tests;
