//! Which name server a captured query was meant for.
//!
//! Capture rewrites a query's destination. For TCP the socket tells the original one; for UDP only the
//! kernel's connection tracking knows it, and is asked over netlink (`nfnetlink_conntrack.h`). Needs
//! `CAP_NET_ADMIN` in the network namespace, as capture itself does.

use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};

const AF_NETLINK: i32 = 16;
const NETLINK_NETFILTER: i32 = 12;
/// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET`; the answer is `IPCTNL_MSG_CT_NEW`.
const CT_GET: u16 = 0x0101;
const CT_NEW: u16 = 0x0100;
const NLM_F_REQUEST: u16 = 1;
const NETLINK_HEADER_BYTES: usize = 16;
/// `struct nfgenmsg`, behind the netlink header.
const NETFILTER_HEADER_BYTES: usize = 4;
const NLA_F_NESTED: u16 = 0x8000;
const NLA_TYPE_MASK: u16 = 0x3fff;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;
const IPPROTO_UDP: u8 = 17;
/// One entry of the table with all its attributes; a longer answer is cut off and not read.
const ENTRY_BYTES_MAX: usize = 4096;

/// Where a datagram from `client`, which arrived at `local`, was sent to; `None`: it was sent to `local`, or
/// the kernel does not tell.
pub(super) fn of_datagram(client: SocketAddr, local: SocketAddr) -> Option<SocketAddr> {
    match look_up(client, local) {
        Ok(original) => original.filter(|original| *original != local),
        Err(error) => {
            tracing::debug!(%error, "ask the kernel where a DNS query was sent");
            None
        }
    }
}

fn look_up(client: SocketAddr, local: SocketAddr) -> io::Result<Option<SocketAddr>> {
    let mut socket =
        Socket::new(Domain::from(AF_NETLINK), Type::RAW, Some(Protocol::from(NETLINK_NETFILTER)))?;
    // The kernel answers within `send`, so there is nothing to wait for.
    socket.set_nonblocking(true)?;
    socket.send(&request(client, local))?;
    let mut entry = [0; ENTRY_BYTES_MAX];
    let length = socket.read(&mut entry)?;
    Ok(entry.get(..length).and_then(original_of))
}

/// The entry whose answers go from `local` to `client`.
fn request(client: SocketAddr, local: SocketAddr) -> Vec<u8> {
    let (source, destination) = match client {
        SocketAddr::V4(_) => (CTA_IP_V4_SRC, CTA_IP_V4_DST),
        SocketAddr::V6(_) => (CTA_IP_V6_SRC, CTA_IP_V6_DST),
    };
    let ip = [attribute(source, &octets(local)), attribute(destination, &octets(client))].concat();
    let protocol = [
        attribute(CTA_PROTO_NUM, &[IPPROTO_UDP]),
        attribute(CTA_PROTO_SRC_PORT, &local.port().to_be_bytes()),
        attribute(CTA_PROTO_DST_PORT, &client.port().to_be_bytes()),
    ];
    let tuple = [
        attribute(CTA_TUPLE_IP | NLA_F_NESTED, &ip),
        attribute(CTA_TUPLE_PROTO | NLA_F_NESTED, &protocol.concat()),
    ];
    let tuple = attribute(CTA_TUPLE_REPLY | NLA_F_NESTED, &tuple.concat());
    let length = NETLINK_HEADER_BYTES + NETFILTER_HEADER_BYTES + tuple.len();
    let mut message = Vec::with_capacity(length);
    message.extend_from_slice(&u32::try_from(length).unwrap_or_default().to_ne_bytes());
    message.extend_from_slice(&CT_GET.to_ne_bytes());
    message.extend_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    message.extend_from_slice(&[0; 8]); // sequence, port: one question on a socket of its own
    message.extend_from_slice(&[family(client), 0, 0, 0]);
    message.extend_from_slice(&tuple);
    message
}

fn family(address: SocketAddr) -> u8 {
    match address {
        SocketAddr::V4(_) => 2,
        SocketAddr::V6(_) => 10,
    }
}

fn octets(address: SocketAddr) -> Vec<u8> {
    match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// Length, type, value, padded to four bytes.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or_default();
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// The destination before it was rewritten. `None` also for an error message: there is no such entry.
fn original_of(message: &[u8]) -> Option<SocketAddr> {
    let kind = u16::from_ne_bytes(*message.get(4..)?.first_chunk()?);
    if kind != CT_NEW {
        return None;
    }
    let attributes = message.get(NETLINK_HEADER_BYTES + NETFILTER_HEADER_BYTES..)?;
    let tuple = find(attributes, CTA_TUPLE_ORIG)?;
    let addresses = find(tuple, CTA_TUPLE_IP)?;
    let ip = match (find(addresses, CTA_IP_V4_DST), find(addresses, CTA_IP_V6_DST)) {
        (Some(v4), _) => IpAddr::from(*v4.first_chunk::<4>()?),
        (None, Some(v6)) => IpAddr::from(*v6.first_chunk::<16>()?),
        (None, None) => return None,
    };
    let port = find(find(tuple, CTA_TUPLE_PROTO)?, CTA_PROTO_DST_PORT)?;
    Some(SocketAddr::new(ip, u16::from_be_bytes(*port.first_chunk()?)))
}

/// The value of the first attribute of a kind.
fn find(mut attributes: &[u8], kind: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(*attributes.first_chunk()?));
        let found = u16::from_ne_bytes(*attributes.get(2..)?.first_chunk()?) & NLA_TYPE_MASK;
        let value = attributes.get(4..length)?;
        if found == kind {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

// That the kernel takes the question and knows the answer is looked at where there is capture: the end-to-end test
// of names asks name servers of its own.
#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel says of a query to 192.0.2.9:53 that was redirected to 127.0.0.1:15053 (put together as
    /// ctnetlink does: original tuple, reply tuple, and more).
    fn entry(original: SocketAddr) -> Vec<u8> {
        let tuple = |ip: Vec<u8>, port: u16, kind: u16| {
            let ip = attribute(CTA_TUPLE_IP | NLA_F_NESTED, &ip);
            let port = attribute(CTA_PROTO_DST_PORT, &port.to_be_bytes());
            let proto = [attribute(CTA_PROTO_NUM, &[IPPROTO_UDP]), port].concat();
            attribute(kind | NLA_F_NESTED, &[ip, attribute(CTA_TUPLE_PROTO | NLA_F_NESTED, &proto)].concat())
        };
        let destination = if original.is_ipv4() { CTA_IP_V4_DST } else { CTA_IP_V6_DST };
        let addresses = attribute(destination, &octets(original));
        let mut message = vec![0; NETLINK_HEADER_BYTES + NETFILTER_HEADER_BYTES];
        message[4..6].copy_from_slice(&CT_NEW.to_ne_bytes());
        message.extend(attribute(9, &[1, 2, 3]));
        message.extend(tuple(addresses, original.port(), CTA_TUPLE_ORIG));
        message.extend(tuple(attribute(CTA_IP_V4_DST, &[127, 0, 0, 1]), 4711, CTA_TUPLE_REPLY));
        message
    }

    #[test]
    fn the_original_destination_is_read() {
        for original in ["192.0.2.9:53", "[2001:db8::9]:53"] {
            let original: SocketAddr = original.parse().unwrap();
            assert_eq!(original_of(&entry(original)), Some(original));
        }
    }

    #[test]
    fn what_is_cut_off_or_an_error_is_nothing() {
        let whole = entry("192.0.2.9:53".parse().unwrap());
        for length in 0..whole.len() - 40 {
            assert_eq!(original_of(&whole[..length]), None, "{length} bytes");
        }
        let mut error = whole;
        error[4..6].copy_from_slice(&2u16.to_ne_bytes());
        assert_eq!(original_of(&error), None);
        assert_eq!(find(&[0, 0, 0, 0], 1), None, "an attribute without a length");
    }
}
