#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

fn setting(name: u16, value: u32) -> Vec<u8> {
    [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

fn read(payload: &[u8]) -> Result<PeerSettings, ErrorCode> {
    let mut settings = PeerSettings::first();
    settings.update(payload).map(|()| settings)
}

#[test]
fn the_last_of_several_counts_and_unknown_ones_do_not() {
    let payload =
        [setting(4, 1), setting(0x99, 7), setting(4, 2), setting(3, 5), setting(5, 20_000)].concat();
    let settings = read(&payload).unwrap();
    assert_eq!(
        (settings.stream_window, settings.streams_max, settings.frame_bytes_max),
        (2, Some(5), 20_000)
    );
}

#[test]
fn what_must_not_be_is_refused() {
    for (payload, code) in [
        (setting(2, 2), ErrorCode::PROTOCOL_ERROR),
        (setting(4, 1 << 31), ErrorCode::FLOW_CONTROL_ERROR),
        (setting(5, 16_383), ErrorCode::PROTOCOL_ERROR),
        (setting(5, 1 << 24), ErrorCode::PROTOCOL_ERROR),
        (setting(8, 2), ErrorCode::PROTOCOL_ERROR),
        ([setting(8, 1), setting(8, 0)].concat(), ErrorCode::PROTOCOL_ERROR),
        (vec![0; 7], ErrorCode::FRAME_SIZE_ERROR),
    ] {
        assert_eq!(read(&payload).unwrap_err(), code, "{payload:?}");
    }
}

/// As a peer would read them.
#[test]
fn ours_are_read_as_they_are_meant() {
    let ours = OwnSettings {
        stream_window: 256 * 1024,
        frame_bytes_max: 64 * 1024,
        header_bytes_max: 1000,
        streams_max: Some(9),
        takes_protocol: true,
    };
    let mut out = BytesMut::new();
    ours.write(&mut out);
    let settings = read(&out[frame::FRAME_HEAD_BYTES..]).unwrap();
    assert_eq!(
        (settings.stream_window, settings.frame_bytes_max, settings.streams_max),
        (256 * 1024, 64 * 1024, Some(9))
    );
    assert!(settings.takes_protocol);
    out.clear();
    OwnSettings { takes_protocol: false, ..ours }.write(&mut out);
    assert!(!read(&out[frame::FRAME_HEAD_BYTES..]).unwrap().takes_protocol);
    assert!(!out.ends_with(&[0; 6]), "nothing that was not meant: {out:?}");
}
