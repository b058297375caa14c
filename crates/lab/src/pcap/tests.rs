#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
use super::*;

#[test]
fn each_frame_is_kept_once() {
    let check = |interface: u32, kind: u8, kept: bool| {
        assert_eq!(is_sent_once(interface as usize, kind), kept, "interface {interface}, kind {kind}");
    };
    // From one host to another: in through its cable, out through the other's.
    check(CABLES, libc::PACKET_OTHERHOST, true);
    check(CABLES + 1, libc::PACKET_OUTGOING, false);
    // From a host to the router: in through its cable, up to the bridge.
    check(BRIDGE, libc::PACKET_HOST, false);
    // From the router to a host: out through the bridge, out through the cable.
    check(BRIDGE, libc::PACKET_OUTGOING, true);
}

#[test]
fn the_file_header_is_that_of_pcap_2_4_over_ethernet() {
    let header = file_header();
    assert_eq!(header[..8], [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0]);
    assert_eq!(header[20..], [1, 0, 0, 0]);
}
