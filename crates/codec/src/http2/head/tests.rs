#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::super::hpack::HpackDecoder;
use super::*;

/// `:path` and `:status` as their code.
const PATH_CODED: &[u8] = &[0xb9, 0x58, 0xd3, 0x3f];
const STATUS_CODED: &[u8] = &[0xb8, 0x84, 0x8d, 0x36, 0xa3];

fn hex(text: &str) -> Vec<u8> {
    let digit = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

/// A string as it is.
fn raw(text: &str) -> Vec<u8> {
    let mut coded = vec![text.len() as u8];
    coded.extend_from_slice(text.as_bytes());
    coded
}

fn literal(name: &str, value: &str) -> Vec<u8> {
    [vec![0], raw(name), raw(value)].concat()
}

/// Reads the last of `blocks` as what it is.
fn read(kind: BlockKind, blocks: &[&[u8]]) -> FieldList {
    let mut decoder = HpackDecoder::new(64 * 1024);
    let mut fields = FieldList::new(kind, 100);
    for block in blocks {
        fields = FieldList::new(kind, 100);
        decoder.decode_borrowed(block, |field| fields.add(field)).unwrap();
    }
    fields
}

fn request(blocks: &[&[u8]]) -> Result<String, RequestFault> {
    read(BlockKind::Request, blocks).into_request().map(|request| request.uri().to_string())
}

#[test]
fn a_fragment_in_a_path_is_seen_however_it_is_spelled() {
    let head = [vec![0x82, 0x86], raw_authority()].concat();
    let with = |path: &[u8]| request(&[&[&head[..], path].concat()]);
    // By hpack of Python: coded, and as it is.
    for block in ["82864484607ff51f418944e7ad72f91d35d05f", "828644042f612362410c73686f702e6578616d706c65"] {
        assert_eq!(request(&[&hex(block)]), Err(RequestFault::Malformed), "{block}");
    }
    assert_eq!(with(&literal(":path", "/#/../admin")), Err(RequestFault::Malformed));
    assert_eq!(
        with(&[vec![0, 0x84], PATH_CODED.to_vec(), raw("/a#b")].concat()),
        Err(RequestFault::Malformed)
    );
    assert!(request(&[&hex("82864487606c47fe12093f418944e7ad72f91d35d05f7a81f3")]).is_ok());
    assert!(with(&[vec![0x84], literal("referer", "/a#b")].concat()).is_ok());
    // And again out of the table.
    let refused = hex("82864484607ff51f418944e7ad72f91d35d05f");
    assert_eq!(request(&[&refused, &hex("8286bfbe")]), Err(RequestFault::Malformed));
}

fn raw_authority() -> Vec<u8> {
    [vec![0x41], raw("a")].concat()
}

#[test]
fn a_target_is_a_path_or_that_of_connect() {
    let path = |method: &str, path: &str| {
        let block =
            [literal(":method", method), vec![0x86], literal(":path", path), raw_authority()].concat();
        request(&[&block])
    };
    let bad = Err(RequestFault::Answer(StatusCode::BAD_REQUEST));
    assert_eq!(path("GET", "/x?y"), Ok("/x?y".to_owned()));
    assert_eq!(path("OPTIONS", "*"), Ok("*".to_owned()));
    assert_eq!(path("GET", "*"), bad);
    assert_eq!(path("GET", "http://x/"), bad);
    assert_eq!(path("CONNECT", "/"), Err(RequestFault::Malformed));
    let connect = |to: &str| request(&[&[literal(":method", "CONNECT"), literal(":authority", to)].concat()]);
    assert_eq!(connect("a:1"), Ok("a:1".to_owned()));
    for to in ["a", "a:", "a:0", "a:65536", "[::1]"] {
        assert_eq!(connect(to), bad, "{to}");
    }
    assert_eq!(request(&[&literal(":method", "CONNECT")]), bad);
}

#[test]
fn pseudo_fields_in_trailers_are_seen_however_they_are_spelled() {
    let head = [vec![0x82, 0x86, 0x44], raw("/x")].concat();
    let trailers = |block: &[u8]| read(BlockKind::Trailers, &[&head, block]).into_trailers().is_ok();
    for block in [
        vec![0x82],
        vec![0x88],
        // The path of the request, out of the table.
        vec![0xbe],
        literal(":path", "GET"),
        literal(":status", "200"),
        literal(":unknown", "x"),
        [vec![0x02], raw("PUT")].concat(),
        [vec![0x10, 0x84], PATH_CODED.to_vec(), raw("/")].concat(),
    ] {
        assert!(!trailers(&block), "{block:x?}");
    }
    assert!(trailers(&literal("grpc-status", "9")));
    assert!(trailers(&literal("x", ":path")));
    assert!(!trailers(&literal("\"x\"", "y")));
    assert!(!trailers(&literal("connection", "close")));
}

fn status(blocks: &[&[u8]]) -> Option<u16> {
    read(BlockKind::Response, blocks).into_response().ok().map(|response| response.status().as_u16())
}

#[test]
fn the_status_of_a_response_is_read_however_it_is_spelled() {
    let coded = |value: &[u8]| [&[0x08, 0x80 | value.len() as u8], value].concat();
    for (block, expected) in [
        (vec![0x88], 200),
        (vec![0x8e], 500),
        (literal(":status", "203"), 203),
        ([vec![0x08], raw("418")].concat(), 418),
        // 302 and 103, by hpack of Python.
        (coded(&[0x64, 0x02]), 302),
        (coded(&[0x08, 0x19]), 103),
        ([vec![0x00, 0x85], STATUS_CODED.to_vec(), raw("103")].concat(), 103),
    ] {
        assert_eq!(status(&[&block]), Some(expected), "{block:x?}");
    }
    // Out of the table, as it was put there, and with another value.
    let early = [vec![0x48], raw("103")].concat();
    assert_eq!(status(&[&early, &[0xbe]]), Some(103));
    assert_eq!(status(&[&early, &[vec![0x7e], raw("200")].concat()]), Some(200));
}

#[test]
fn what_a_response_must_not_have_is_seen() {
    for bad in [
        vec![0x84],
        literal(":path", "/"),
        literal(":unknown", "x"),
        vec![0x82],
        vec![0x88],
        literal("connection", "close"),
        [literal("content-length", "1"), literal("content-length", "2")].concat(),
        literal("content-length", "+1"),
        [literal("x", "y"), vec![0x88]].concat(),
    ] {
        assert_eq!(status(&[&[&[0x88][..], &bad].concat()]), None, "{bad:x?}");
    }
    for bad in ["20", "2000", "abc", "", "101"] {
        assert_eq!(status(&[&literal(":status", bad)]), None, "{bad}");
    }
    assert_eq!(status(&[&literal("x", "y")]), None);
}

#[test]
fn fields_beyond_the_limit_are_not_kept() {
    let block = [vec![0x82, 0x86, 0x84], raw_authority(), literal("x", "y").repeat(1000)].concat();
    let fields = read(BlockKind::Request, &[&block]);
    assert_eq!(fields.headers.len(), 100);
    let answer = RequestFault::Answer(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert_eq!(fields.into_request().unwrap_err(), answer);
}

/// Some backends of HTTP/1 take these for the names with hyphens, and so another end of the message.
#[test]
fn names_that_are_taken_for_framing_are_malformed() {
    for name in ["content_length", "transfer_encoding"] {
        let block = [request_fields(), literal(name, "0")].concat();
        assert_eq!(request(&[&block]), Err(RequestFault::Malformed), "{name}");
    }
    let fine = [request_fields(), literal("content_lengths", "0")].concat();
    assert!(request(&[&fine]).is_ok());
}

/// What every request needs.
fn request_fields() -> Vec<u8> {
    let fields = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
    fields.iter().flat_map(|(name, value)| literal(name, value)).collect()
}

#[test]
fn extended_connect_becomes_the_get_that_it_is_in_http_1() {
    let head = |method: &str, protocol: &str| {
        [literal(":method", method), literal(":protocol", protocol), raw_authority(), vec![0x84, 0x86]]
            .concat()
    };
    let read = |block: &[u8], takes_protocol| {
        let mut fields = FieldList::new(BlockKind::Request, 100);
        fields.takes_protocol = takes_protocol;
        HpackDecoder::new(64 * 1024).decode_borrowed(block, |field| fields.add(field)).unwrap();
        fields.into_request()
    };
    let request = read(&head("CONNECT", "websocket"), true).unwrap();
    assert_eq!((request.method(), request.uri().path()), (&Method::GET, "/"));
    assert_eq!(request.extensions().get(), Some(&Upgrade::try_from("websocket").unwrap()));
    assert!(is_tunnel(&request));
    for (method, protocol, takes_protocol) in [
        ("CONNECT", "websocket", false),
        ("GET", "websocket", true),
        ("CONNECT", "web, socket", true),
        ("CONNECT", "", true),
    ] {
        let refused = read(&head(method, protocol), takes_protocol);
        assert_eq!(refused.map(drop), Err(RequestFault::Malformed), "{method} {protocol}");
    }
    // Without scheme and path.
    let bare = [literal(":method", "CONNECT"), literal(":protocol", "websocket"), raw_authority()].concat();
    assert_eq!(read(&bare, true).map(drop), Err(RequestFault::Malformed));
}
