use super::ProxyHeaderRead::{Absent, Done, Malformed, NeedMore};
use super::{
    PROXY_HEADER_BYTES_MAX, ProxiedAddresses, ProxyHeaderRead, ProxyVersion, V2_SIGNATURE, read_proxy_header,
    write_proxy_header,
};
use proptest::collection::vec;
use proptest::prelude::{any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::{Just, Strategy};
use std::net::{IpAddr, SocketAddr};

fn between(source: &str, destination: &str) -> Option<ProxiedAddresses> {
    Some(ProxiedAddresses { source: source.parse().unwrap(), destination: destination.parse().unwrap() })
}

/// A header of version 2.
fn binary(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let mut header = V2_SIGNATURE.to_vec();
    header.extend_from_slice(&[command, family]);
    header.extend_from_slice(&u16::try_from(body.len()).unwrap().to_be_bytes());
    header.extend_from_slice(body);
    header
}

fn is_malformed(bytes: &[u8]) -> bool {
    matches!(read_proxy_header(bytes), Malformed(_))
}

#[test]
fn lines_of_text() {
    let check = |text: &str, addresses: Option<ProxiedAddresses>| {
        let len = text.find("\r\n").unwrap() + 2;
        assert_eq!(read_proxy_header(text.as_bytes()), Done { len, addresses }, "{text}");
    };
    check("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", between("192.0.2.1:56324", "198.51.100.1:443"));
    check("PROXY TCP6 2001:db8::1 ::1 1 65535\r\nGET /", between("[2001:db8::1]:1", "[::1]:65535"));
    check("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", between("0.0.0.0:0", "0.0.0.0:0"));
    check("PROXY UNKNOWN\r\nx", None);
    check("PROXY UNKNOWN ffff::f ffff::f 65535 65535\r\n", None);
    let refused = |text: &str| assert!(is_malformed(text.as_bytes()), "{text}");
    refused("PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n");
    refused("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 1\r\n");
    refused("PROXY TCP4 192.0.2.1  198.51.100.1 56324 443\r\n");
    refused("PROXY TCP4 2001:db8::1 ::1 1 2\r\n");
    refused("PROXY TCP6 192.0.2.1 198.51.100.1 1 2\r\n");
    refused("PROXY TCP4 192.0.2.1 198.51.100.1 056 443\r\n");
    refused("PROXY TCP4 192.0.2.1 198.51.100.1 +56 443\r\n");
    refused("PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n");
    refused("PROXY UDP4 192.0.2.1 198.51.100.1 1 2\r\n");
    refused("PROXY UNKNOWNS\r\n");
    refused("PROXY \r\n");
    refused(&format!("PROXY UNKNOWN {}", "x".repeat(107)));
    refused(&format!("PROXY UNKNOWN {}\r\n", "x".repeat(92)));
}

#[test]
fn binary_headers() {
    let v4 = [192, 0, 2, 1, 198, 51, 100, 1, 0x30, 0x39, 1, 187];
    let addresses = between("192.0.2.1:12345", "198.51.100.1:443");
    assert_eq!(read_proxy_header(&binary(0x21, 0x11, &v4)), Done { len: 28, addresses });
    // TLVs are skipped, whatever they say.
    let with_tlvs = [&v4[..], &[0x04, 0xff, 0xff]].concat();
    assert_eq!(read_proxy_header(&binary(0x21, 0x11, &with_tlvs)), Done { len: 31, addresses });
    // LOCAL: what stands in it is not looked at.
    assert_eq!(read_proxy_header(&binary(0x20, 0x11, &v4)), Done { len: 28, addresses: None });
    assert_eq!(read_proxy_header(&binary(0x20, 0x00, &[])), Done { len: 16, addresses: None });
    assert_eq!(read_proxy_header(&binary(0x21, 0x00, &[1, 2])), Done { len: 18, addresses: None });
    assert_eq!(read_proxy_header(&binary(0x21, 0x31, &[0; 216])), Done { len: 232, addresses: None });
    let refused = |bytes: &[u8]| assert!(is_malformed(bytes), "{bytes:?}");
    refused(&binary(0x21, 0x11, &v4[..11]));
    refused(&binary(0x21, 0x21, &[0; 35]));
    refused(&binary(0x21, 0x12, &v4));
    refused(&binary(0x21, 0x41, &v4));
    refused(&binary(0x22, 0x11, &v4));
    refused(&binary(0x11, 0x11, &v4));
    refused(&binary(0x20, 0x00, &[0; PROXY_HEADER_BYTES_MAX]));
}

#[test]
fn what_begins_otherwise_is_no_header() {
    for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"PRI * HTTP/2.0", b"PROXYx", b"\x16\x03\x01", b"\r\n\r\nG"] {
        assert_eq!(read_proxy_header(bytes), Absent, "{bytes:?}");
    }
    for bytes in [&b""[..], b"P", b"PR", b"PROXY", b"PROXY ", b"\r", b"\r\n\r\n\0"] {
        assert_eq!(read_proxy_header(bytes), NeedMore, "{bytes:?}");
    }
}

fn written() -> impl Strategy<Value = (Vec<u8>, ProxiedAddresses)> {
    let address = || (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port));
    let version = prop_oneof![Just(ProxyVersion::V1), Just(ProxyVersion::V2)];
    (version, address(), address()).prop_map(|(version, source, destination)| {
        let addresses = ProxiedAddresses { source, destination };
        (write_proxy_header(version, addresses), addresses)
    })
}

/// The same in the form that does not depend on how an address of IPv4 is written.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

proptest! {
    #[test]
    fn what_is_written_is_read(((header, addresses), after) in (written(), vec(any::<u8>(), 0..40))) {
        let all = [&header[..], &after].concat();
        let Done { len, addresses: Some(read) } = read_proxy_header(&all) else {
            return Err(proptest::test_runner::TestCaseError::fail(format!("{header:?}")));
        };
        prop_assert_eq!(len, header.len());
        prop_assert_eq!(plain(read.source), plain(addresses.source));
        prop_assert_eq!(plain(read.destination), plain(addresses.destination));
    }

    /// However a header is cut into pieces, each beginning of it asks for more, and its end says the same.
    #[test]
    fn beginnings_need_more((header, _) in written()) {
        for len in 0..header.len() {
            prop_assert_eq!(read_proxy_header(&header[..len]), NeedMore);
        }
    }

    /// Whatever comes, it is decided on at last, and a header is no longer than what came.
    #[test]
    fn anything_is_decided(
        begin in prop_oneof![Just(&b"PROXY "[..]), Just(&V2_SIGNATURE[..]), Just(&b""[..])],
        rest in vec(any::<u8>(), 0..64),
        filler in any::<u8>(),
    ) {
        let mut all = [begin, &rest].concat();
        match read_proxy_header(&all) {
            Done { len, .. } => prop_assert!(len <= all.len()),
            NeedMore => {
                all.resize(PROXY_HEADER_BYTES_MAX, filler);
                prop_assert!(read_proxy_header(&all) != ProxyHeaderRead::NeedMore);
            }
            Absent | Malformed(_) => {}
        }
    }
}
