//! Random bytes of HTTP/1 clients: mostly right, each part sometimes odd.

use crate::case::Case;
use crate::chance::Chance;

const METHODS: &[&[u8]] = &[
    b"POST",
    b"PUT",
    b"HEAD",
    b"OPTIONS",
    b"DELETE",
    b"CONNECT",
    b"get",
    b"M-SEARCH",
    b"PRI",
    b"",
    b"GE T",
    b"G\tT",
    b"GET\0",
    b"G\"T",
    b"TRACE",
    b"PATCH",
    b" GET",
];
const TARGETS: &[&[u8]] = &[
    b"/a?b=c",
    b"/%2e%2e/x",
    b"*",
    b"http://h/p",
    b"http://a:81/p?q",
    b"https://h/",
    b"//h/x",
    b"/a#b",
    b"/a b",
    b"h:443",
    b"/\x80",
    b"/\\",
    b"/..",
    b"/../x",
    b"/a/./b",
    b"/a\tb",
    b"http://u@h/",
    b"http:///x",
    b"HTTP://H/x",
    b"ftp://h/x",
    b"?x",
    b"/a?b#c",
    b"/|{}^`",
    b"/\"<>",
    b"/%",
    b"/%zz",
    b"/%00",
    b"/a//b",
    b"",
    b"a",
    b"http://h",
    b"http://h?x",
    b"/;a=b",
    b"/?x=http://y/",
    b"http://h:0/",
    b"http://[::1]/",
    b"http://h:99999/",
    b"/\x01",
    b"/\x7f",
    b"http://H.x./",
];
const VERSIONS: &[&[u8]] = &[
    b" HTTP/1.0",
    b" HTTP/1.0",
    b" HTTP/1.2",
    b" HTTP/2.0",
    b" http/1.1",
    b"  HTTP/1.1",
    b" HTTP/1.1 ",
    b" HTTP/01.1",
    b" HTTP/0.9",
    b"",
    b" HTTP/1.",
    b" HTTP/1.1\t",
    b"\tHTTP/1.1",
    b" HTTP/1.10",
    b" HTTP/1,1",
    b" HTTP /1.1",
    b" ",
];
const LINE_ENDS: &[&[u8]] = &[b"\n", b"\n", b"\r", b"\r\r\n", b"\n\r", b" \r\n", b"\r \n", b"\x0b\r\n"];
const HOSTS: &[&[u8]] = &[
    b"Host: h:80",
    b"Host: h, h",
    b"Host: ",
    b"Host: a b",
    b"Host: h/x",
    b"Host: u@h",
    b"Host: [::1]",
    b"Host: H.Example",
    b"Host: h.",
    b"X: no-host",
    b"Host: a\r\nHost: a",
    b"Host: a\r\nHost: b",
    b"Host : h",
    b"Host:h",
    b"Host:\th\t",
    b"hOST: h",
    b"Host: h:x",
    b"Host: h:",
    b"Host: \x80",
    b"Host: h#x",
    b"Host: h?x",
    b"Host: a%41",
    b"Host: ..",
    b"Host: _h",
    b"Host: h\\x",
    b"Host: [::1",
    b"Host: h:99999",
    b"Host:",
];
const FIELDS: &[&[u8]] = &[
    b"Connection: close",
    b"Connection: keep-alive",
    b"Connection: close, x",
    b"Connection: close\x80",
    b"Connection: \x80, close",
    b"Connection: xclose",
    b"Connection: close\t,",
    b"Connection: Content-Length",
    b"Connection: Transfer-Encoding",
    b"Connection: Host",
    b"Expect: 100-continue",
    b"Expect: x",
    b"Upgrade: x\r\nConnection: upgrade",
    b"Upgrade: websocket",
    b"X: a\r\n b",
    b"X: a\r\n\tb",
    b"X: a\0b",
    b"X: a\x80b",
    b"no colon",
    b": x",
    b"X : y",
    b"X\t: y",
    b" X: y",
    b"X\x80: y",
    b"X(: y",
    b"X\"Y: z",
    b"X:",
    b"X_Y: z",
    b"X: a\x01b",
    b"X: a\x7fb",
    b"X: a\rb",
    b"X: y ",
    b"Cookie: a=b\r\nCookie: c=d",
    b"TE: trailers",
    b"Trailer: T",
    b"X: \x0by",
    b"\0: x",
    b"Proxy-Connection: close",
    b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings",
    b"Keep-Alive: timeout=5",
    b"Content-Encoding: gzip",
    b"Content-Type: multipart/byteranges",
    b"X-Forwarded-For: 1.2.3.4",
    b"Range: bytes=0-1",
];
const LENGTHS: &[&[u8]] = &[
    b"+5",
    b"5, 5",
    b"5,5",
    b"05",
    b"5 ",
    b"\t5",
    b"0x5",
    b"5\x0b",
    b"-1",
    b"18446744073709551621",
    b"5;",
    b"",
    b"5 5",
    b"5\r\n 5",
    b"5.0",
    b"00000000000000000005",
    b"'5'",
    b"5\x00",
    b"5,6",
    b",5",
    b"5,",
    b"9223372036854775807",
    b"9223372036854775808",
];
const CODINGS: &[&[u8]] = &[
    b"Transfer-Encoding: Chunked",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: chunked;q=1",
    b"Transfer-Encoding: \x0bchunked",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding:chunked",
    b"Transfer-Encoding:  chunked ",
    b"Transfer-Encoding : chunked",
    b"Transfer_Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding:",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    b"Transfer-Encoding: \"chunked\"",
    b"Transfer-Encoding:\r\n chunked",
    b"Transfer-Encoding: chunked,",
    b"Transfer-Encoding: ,chunked",
    b"Transfer-Encoding: chunked, chunked",
    b"tRANSFER-eNCODING: cHUNKED",
    b"X: y\rTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunke\x00d",
    b"\x00Transfer-Encoding: chunked",
    b"Transfer-Encoding\x0b: chunked",
    b"Transfer-Encoding: gzip",
    b"Transfer-Encoding: chunked\x00",
];
const CHUNK_SIZES: &[&[u8]] = &[
    b"05",
    b"5;ext",
    b"5 ;ext",
    b"5\t",
    b"5 ",
    b" 5",
    b"0x5",
    b"+5",
    b"5;a=\"b\r\nc\"",
    b"5;a=\"b\nc\"",
    b"FFFFFFFFFFFFFFFF5",
    b"100000005",
    b"",
    b"-1",
    b"5;\x01",
    b"5;\x80",
    b"5;a\rb",
    b"0000000000000000005",
    b"5,",
    b"5x",
    b"6",
    b"4",
    b"7fffffffffffffff",
    b"5;\n",
    b"5;a;b;c=d",
    b"5;;",
    b"10000000000000005",
];
const TRAILERS: &[&[u8]] = &[
    b"T: x\r\n",
    b"Content-Length: 3\r\n",
    b"Host: x\r\n",
    b"bad\r\n",
    b" T: x\r\n",
    b"T : x\r\n",
    b"T: a\r\n b\r\n",
    b"T: a\0\r\n",
    b"T: x\n",
    b"Transfer-Encoding: chunked\r\n",
    b": x\r\n",
    b"T: a\rb\r\n",
];
const BETWEEN: &[&[u8]] = &[b"\r\n", b"\n", b"\r\n\r\n", b" ", b"\r", b"\0", b"x", b"\r\n "];

/// Bytes of a random client, of one to four requests.
pub(crate) fn random(dice: &mut Chance) -> Case {
    let mut bytes = Vec::new();
    // Odd parts once in so many times: else nearly no case would be right as a whole.
    let rarity = dice.one_of(&[&[6_usize][..], &[15], &[40]])[0];
    for _ in 0..=dice.below(3) {
        request(dice, rarity, &mut bytes);
        bytes.extend_from_slice(dice.mostly(b"", 20, BETWEEN));
    }
    Case::new(bytes).spoiled(dice)
}

fn request(dice: &mut Chance, rarity: usize, bytes: &mut Vec<u8>) {
    let end_of_line = |dice: &mut Chance| dice.mostly(b"\r\n", rarity * 5, LINE_ENDS);
    let usual = dice.one_of(&[&b"GET"[..], b"POST"]);
    for part in [
        dice.mostly(usual, rarity, METHODS),
        dice.mostly(b" ", rarity * 10, &[b"  ", b"\t", b""]),
        dice.mostly(b"/p", rarity / 2, TARGETS),
        dice.mostly(b" HTTP/1.1", rarity, VERSIONS),
        end_of_line(dice),
    ] {
        bytes.extend_from_slice(part);
    }
    let body =
        dice.one_of(&[&b"hello"[..], b"", b"GET /smuggled HTTP/1.1\r\nHost: s\r\n\r\n", b"0\r\n\r\n", b"5"]);
    let mut fields = vec![dice.mostly(b"Host: h", rarity, HOSTS).to_vec()];
    for _ in 0..dice.below(3) {
        fields.push(dice.mostly(b"X-Ordinary: yes", rarity / 3, FIELDS).to_vec());
    }
    if dice.once_in(400) {
        fields.push([b"X: ".to_vec(), vec![b'y'; 1_000 * dice.below(70)]].concat());
    }
    if dice.once_in(400) {
        fields.extend((0..dice.below(120)).map(|n| format!("X-{n}: y").into_bytes()));
    }
    let body = framed(dice, rarity, body, &mut fields);
    for at in 0..fields.len() {
        let other = dice.below(fields.len());
        fields.swap(at, other);
    }
    for field in fields {
        bytes.extend_from_slice(&field);
        bytes.extend_from_slice(end_of_line(dice));
    }
    bytes.extend_from_slice(end_of_line(dice));
    bytes.extend_from_slice(&body);
}

/// Adds fields that say how long `body` is, and returns it as it is sent.
fn framed(dice: &mut Chance, rarity: usize, body: &[u8], fields: &mut Vec<Vec<u8>>) -> Vec<u8> {
    let usual = body.len().to_string().into_bytes();
    let length = match dice.below(rarity) {
        0 => dice.one_of(LENGTHS).to_vec(),
        1 => (body.len() + dice.below(9)).saturating_sub(4).to_string().into_bytes(),
        _ => usual,
    };
    let length = [
        dice.mostly(
            b"Content-Length: ",
            rarity * 3,
            &[
                b"content-length:",
                b"Content-Length : ",
                b"Content_Length: ",
                b"Content-Length:\t",
                b"X: y\rContent-Length: ",
            ],
        ),
        &length,
    ]
    .concat();
    let coding = dice.mostly(b"Transfer-Encoding: chunked", rarity, CODINGS).to_vec();
    match dice.below(rarity.max(6)) {
        0 => {
            fields.extend([length, coding]);
            if dice.once_in(2) { chunked(dice, rarity, body) } else { body.to_vec() }
        }
        1 => {
            fields.extend([length.clone(), length]);
            body.to_vec()
        }
        2..=4 => {
            fields.push(length);
            body.to_vec()
        }
        5 => Vec::new(),
        _ if dice.once_in(2) => {
            fields.push(coding);
            chunked(dice, rarity, body)
        }
        _ => Vec::new(),
    }
}

/// A body in chunks.
pub(crate) fn chunked(dice: &mut Chance, rarity: usize, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let end_of_line = |dice: &mut Chance| dice.mostly(b"\r\n", rarity * 3, LINE_ENDS);
    let size = dice.below(body.len()) + 1;
    for chunk in body.chunks(size) {
        let usual = format!("{:x}", chunk.len());
        bytes.extend_from_slice(dice.mostly(usual.as_bytes(), rarity, CHUNK_SIZES));
        bytes.extend_from_slice(end_of_line(dice));
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(end_of_line(dice));
    }
    bytes.extend_from_slice(dice.mostly(
        b"0",
        rarity * 2,
        &[b"00", b"0;x", b"", b"0 ", b"000000000000000000000", b"-0", b"0x0"],
    ));
    bytes.extend_from_slice(end_of_line(dice));
    bytes.extend_from_slice(dice.mostly(b"", rarity / 2, TRAILERS));
    bytes.extend_from_slice(end_of_line(dice));
    bytes
}
