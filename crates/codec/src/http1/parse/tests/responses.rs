//! What upstreams answer.

use bytes::BytesMut;

use super::super::{Framing, HeadFault, ResponseHead, parse_response};
use super::LIMITS;
use crate::http1::framing::BodyDecoder;

fn parse(text: &str) -> Result<Option<ResponseHead>, HeadFault> {
    parse_response(&mut BytesMut::from(text), LIMITS)
}

/// Reads responses from `bytes` in these pieces; says what it found.
fn read(bytes: &[u8], cuts: impl Iterator<Item = usize>) -> String {
    let (mut input, mut body, mut at, mut told) = (BytesMut::new(), None::<BodyDecoder>, 0, String::new());
    for cut in cuts.chain([bytes.len()]) {
        input.extend_from_slice(&bytes[at..cut]);
        at = cut;
        loop {
            if let Some(decoder) = &mut body {
                match decoder.decode(&mut input) {
                    Err(violation) => return format!("{told} body {violation:?}"),
                    Ok(None) => break,
                    Ok(Some(_)) if decoder.is_ended() => body = None,
                    Ok(Some(_)) => {}
                }
                continue;
            }
            match parse_response(&mut input, LIMITS) {
                Err(_) => return format!("{told} broken"),
                Ok(None) => break,
                Ok(Some(head)) if head.status.is_informational() => {}
                Ok(Some(head)) => {
                    told += &format!("{:?} {:?};", head.status, head.framing);
                    let decoder = BodyDecoder::new(head.framing);
                    body = (!decoder.is_ended()).then_some(decoder);
                }
            }
        }
    }
    // How much of a body is left is told apart only where it is still to come.
    format!("{told} {:?}", body.and_then(|decoder| decoder.remaining()))
}

#[test]
fn a_response_says_how_it_ends() {
    for (fields, framing) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 3", Framing::Sized(3)),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0", Framing::Empty),
        ("HTTP/1.1 200\r\nTransfer-Encoding: Chunked", Framing::Chunked),
        ("HTTP/1.0 200 \r\nServer: x", Framing::UntilClose),
    ] {
        assert_eq!(parse(&format!("{fields}\r\n\r\n")).unwrap().unwrap().framing, framing, "{fields}");
    }
}

#[test]
fn the_reason_is_kept_where_it_is_another_than_the_usual() {
    let reason = |line: &str| {
        let head = parse(&format!("{line}\r\n\r\n")).unwrap().unwrap();
        head.reason.map(|reason| String::from_utf8_lossy(&reason.0).into_owned())
    };
    assert_eq!(reason("HTTP/1.1 200 OK"), None);
    assert_eq!(reason("HTTP/1.1 200 Fine"), Some("Fine".to_owned()));
    assert_eq!(reason("HTTP/1.1 599 "), Some(String::new()));
}

#[test]
fn what_is_no_response_is_refused() {
    for line in [
        "HTTP/2 200 OK",
        "HTTP/1.2 200 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 099 OK",
        "HTTP/1.1 200OK",
        "HTTP/1.1 200 O\0K",
        "HTTP/1.1 200 O\rK",
        "ICY 200 OK",
    ] {
        assert!(parse(&format!("{line}\r\n\r\n")).is_err(), "{line}");
    }
    assert!(parse("SSH-2.0-x").is_err(), "it could become one");
    assert!(parse("HTT").unwrap().is_none());
}

#[test]
fn ordinary_responses_pass_one_after_the_other() {
    let sized = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\n\n\n";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y z\r\n\n\n\n\r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\n";
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    let told = read([interim, sized, chunked, sized].concat().as_bytes(), std::iter::empty());
    assert_eq!(told, "200 Sized(3);200 Chunked;200 Sized(3); None");
}

/// Lines in a random order are read alike in one piece, in two, and byte by byte.
#[test]
fn a_response_is_read_alike_however_it_comes() {
    const LINES: [&str; 12] = [
        "X: a\r\n",
        "Content-Length: 3\r\n",
        "CONTENT-LENGTH: 2\r\n",
        "transfer-encoding: chunked\r\n",
        "Transfer-Encoding: gzip\r\n",
        "X: b\n",
        "\r\r\n",
        "\r\n",
        "a\rb\r\n",
        "xontent-Length: 4\r\n",
        "Content-Length :4\r\n",
        "\n",
    ];
    const STARTS: [&str; 3] =
        ["HTTP/1.1 200 OK\r\n", "HTTP/1.1 103 E\r\n\r\nHTTP/1.1 200 OK\r\n", "HTTP/1.1 2\n"];
    const ENDS: [&str; 4] = ["\r\nabc", "\r\n3\r\nabc\r\n0\r\n\r\n", "\r\n3\nabc", ""];
    let mut seed = 1_u64;
    let mut draw = |from: &[&'static str]| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        from[(seed >> 33) as usize % from.len()]
    };
    for round in 0..500 {
        let lines: String = (0..round % 5).map(|_| draw(&LINES)).collect();
        let text = [draw(&STARTS), &lines, draw(&ENDS)].concat();
        let bytes = text.as_bytes();
        let whole = read(bytes, std::iter::empty());
        assert_eq!(read(bytes, 1..bytes.len()), whole, "{text:?} byte by byte");
        for cut in 1..bytes.len() {
            assert_eq!(read(bytes, std::iter::once(cut)), whole, "{text:?} in two at {cut}");
        }
    }
}
