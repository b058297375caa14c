//! Random bytes of HTTP/1 servers: mostly right, each part sometimes odd.

use crate::case::Case;
use crate::chance::Chance;
use crate::requests::chunked;

const STATUS_LINES: &[&[u8]] = &[
    b"HTTP/1.0 200 OK",
    b"HTTP/1.1 204 No Content",
    b"HTTP/1.1 304 Not Modified",
    b"HTTP/1.1 404 Not Found",
    b"HTTP/1.1 200",
    b"HTTP/1.1 200 ",
    b"HTTP/1.1  200 OK",
    b"HTTP/1.1 2000 OK",
    b"HTTP/1.1 20 OK",
    b"HTTP/1.1 099 X",
    b"HTTP/1.1 999 X",
    b"HTTP/1.2 200 OK",
    b"HTTP/2.0 200 OK",
    b"http/1.1 200 OK",
    b"HTTP/1.1 200 O\0K",
    b"HTTP/1.1 200 O\x80K",
    b"HTTP/1.1 200\tOK",
    b"ICY 200 OK",
    b"HTTP/1.1",
    b"HTTP/1.1 101 Switching Protocols",
    b"HTTP/1.1 205 Reset Content",
    b" HTTP/1.1 200 OK",
    b"HTTP/1.1 200 O\rK",
    b"HTTP/1.1 +20 OK",
    b"HTTP/1.1 102 X",
    b"HTTP/1.1 103 Early Hints",
    b"HTTP/1.1 1xx X",
    b"HTTP/1.1 200OK",
];
const INTERIM: &[&[u8]] = &[
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 102 Processing\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 100 Continue\n\n",
    b"\r\n",
    b"\n",
    b"HTTP/1.0 100 Continue\r\n\r\n",
];
const FIELDS: &[&[u8]] = &[
    b"Connection: close",
    b"Connection: keep-alive",
    b"Connection: close\x80",
    b"Connection: \x80, close",
    b"Connection: xclose",
    b"Connection: Content-Length",
    b"X: a\r\n b",
    b"X: a\0b",
    b"X: a\x80b",
    b"no colon",
    b": x",
    b"X : y",
    b" X: y",
    b"X\x80: y",
    b"X(: y",
    b"X\"Y: z",
    b"X:",
    b"X: a\x01b",
    b"X: a\x7fb",
    b"X: a\rb",
    b"Set-Cookie: a=b\r\nSet-Cookie: c=d",
    b"Upgrade: x\r\nConnection: upgrade",
    b"Trailer: T",
    b"Content-Encoding: gzip",
    b"Server: x",
    b"Content-Range: bytes 0-1/2",
];
const FRAMINGS: &[&[u8]] = &[
    b"Content-Length: 5\r\nContent-Length: 5",
    b"Content-Length: 5\r\nContent-Length: 6",
    b"Content-Length: 5, 5",
    b"Content-Length: +5",
    b"Content-Length: 05",
    b"Content-Length: 5 ",
    b"Content-Length:",
    b"Content-Length: -1",
    b"Content-Length : 5",
    b"Content-Length: 5\r\n 5",
    b"Content-Length: 18446744073709551621",
    b"Content-Length: 0x5",
    b"Content-Length: 4",
    b"Content-Length: 6",
    b"Content-Length: 5\x0b",
    b"Content-Length: 5\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: chunked, gzip",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding : chunked",
    b"Transfer_Encoding: chunked",
    b"Transfer-Encoding:",
    b"Transfer-Encoding: Chunked",
    b"X: y",
    b"Transfer-Encoding: gzip",
    b"Transfer-Encoding: \x0bchunked",
    b"Content-Length: 0",
    b"content-length:5",
    b"Content-Length\t: 5",
];
const LINE_ENDS: &[&[u8]] = &[b"\n", b"\n", b"\r", b"\r\r\n", b"\n\r", b" \r\n"];
const BETWEEN: &[&[u8]] = &[b"\r\n", b"\n", b"x", b"\0", b"HTTP/1.1 200 OK\r\n\r\n"];

/// Bytes of a random server, of one to three responses.
pub(crate) fn random(dice: &mut Chance) -> Case {
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    let rarity = dice.one_of(&[&[6_usize][..], &[15], &[40]])[0];
    for _ in 0..=dice.below(3) {
        response(dice, rarity, &mut bytes);
        bytes.extend_from_slice(dice.mostly(b"", 20, BETWEEN));
        // Sometimes the next one comes although nobody asked.
        if !dice.once_in(10) {
            ends.push(bytes.len());
        }
    }
    let mut case = Case::of_responses(bytes, ends).spoiled(dice);
    case.is_head = dice.once_in(8);
    case
}

fn response(dice: &mut Chance, rarity: usize, bytes: &mut Vec<u8>) {
    let end_of_line = |dice: &mut Chance| dice.mostly(b"\r\n", rarity * 5, LINE_ENDS);
    bytes.extend_from_slice(dice.mostly(b"", rarity, INTERIM));
    bytes.extend_from_slice(dice.mostly(b"HTTP/1.1 200 OK", rarity / 2, STATUS_LINES));
    bytes.extend_from_slice(end_of_line(dice));
    let body =
        dice.one_of(&[&b"hello"[..], b"", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"0\r\n\r\n"]);
    let (framing, body) = match dice.below(3) {
        0 => (b"Transfer-Encoding: chunked".to_vec(), chunked(dice, rarity, body)),
        _ => (format!("Content-Length: {}", body.len()).into_bytes(), body.to_vec()),
    };
    let mut fields = vec![dice.mostly(&framing, rarity, FRAMINGS).to_vec()];
    for _ in 0..dice.below(3) {
        fields.push(dice.mostly(b"X-Ordinary: yes", rarity / 3, FIELDS).to_vec());
    }
    if dice.once_in(400) {
        fields.push([b"X: ".to_vec(), vec![b'y'; 1_000 * dice.below(70)]].concat());
    }
    for field in fields {
        bytes.extend_from_slice(&field);
        bytes.extend_from_slice(end_of_line(dice));
    }
    bytes.extend_from_slice(end_of_line(dice));
    bytes.extend_from_slice(&body);
}
