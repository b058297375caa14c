//! Reads packet captures: TCP payloads, and whether any of them is plaintext HTTP.

/// One TCP segment with data.
pub(crate) struct Segment {
    pub source_port: u16,
    pub destination_port: u16,
    pub payload: Vec<u8>,
}

/// All TCP segments with data of a pcap file (Ethernet, IPv4). Panics when it is not one: an unreadable
/// capture must fail its test.
pub(crate) fn segments(file: &[u8]) -> Vec<Segment> {
    assert!(file.len() >= 24, "a capture file of {} bytes", file.len());
    let magic = u32::from_le_bytes(file[..4].try_into().expect("four bytes"));
    assert!(matches!(magic, 0xa1b2_c3d4 | 0xa1b2_3c4d), "not a little-endian pcap file: {magic:#x}");
    let link = u32::from_le_bytes(file[20..24].try_into().expect("four bytes"));
    assert_eq!(link, 1, "link type Ethernet expected");
    let mut found = Vec::new();
    let mut rest = &file[24..];
    while rest.len() >= 16 {
        let length = u32::from_le_bytes(rest[8..12].try_into().expect("four bytes")) as usize;
        let end = (16 + length).min(rest.len());
        found.extend(segment(&rest[16..end]));
        rest = &rest[end..];
    }
    found
}

fn segment(frame: &[u8]) -> Option<Segment> {
    let ip = frame.get(14..)?;
    if frame[12..14] != [0x08, 0x00] || *ip.get(9)? != 6 {
        return None;
    }
    let total = usize::from(u16::from_be_bytes([*ip.get(2)?, *ip.get(3)?]));
    let ip = ip.get(..total.min(ip.len()))?;
    let tcp = ip.get(usize::from(ip[0] & 15) * 4..)?;
    let payload = tcp.get(usize::from(*tcp.get(12)? >> 4) * 4..)?;
    let port = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
    (!payload.is_empty()).then(|| Segment {
        source_port: port(0),
        destination_port: port(2),
        payload: payload.to_vec(),
    })
}

/// What a person would recognise as HTTP or as this demo's data. TLS records never contain it by chance.
const TELLTALES: [&[u8]; 6] =
    [b"HTTP/1.", b"GET /", b"mesh.internal", b"\"hops\"", b"PRI * HTTP/2.0", b"x-leno-destination"];

/// The first segment that shows plaintext, described.
pub(crate) fn plaintext(segments: &[Segment]) -> Option<String> {
    segments.iter().find_map(|segment| {
        let telltale = TELLTALES
            .iter()
            .find(|telltale| segment.payload.windows(telltale.len()).any(|window| window == **telltale))?;
        Some(format!(
            "{} from port {} to port {}",
            String::from_utf8_lossy(telltale),
            segment.source_port,
            segment.destination_port
        ))
    })
}
