#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use bytes::BytesMut;

use super::super::parse::Framing;
use super::{BodyDecoder, BodyPiece};
use crate::Violation;

/// What is as long is not cut in all ways.
const LONG_BYTES: usize = 1_000;

/// What a body is, fed in pieces of `size`: its bytes, then its trailers; and what is left of the input.
fn read(bytes: &[u8], framing: Framing, size: usize) -> Result<Option<(String, String)>, Violation> {
    let (mut input, mut decoder, mut body) = (BytesMut::new(), BodyDecoder::new(framing), String::new());
    let mut pieces = bytes.chunks(size);
    while !decoder.is_ended() {
        if bytes.len() < LONG_BYTES {
            assert_eq!(decoder.is_whole_in(&input), is_whole(decoder, &input), "{bytes:?}");
        }
        match decoder.decode(&mut input)? {
            Some(BodyPiece::Data(data)) => body += std::str::from_utf8(&data).unwrap(),
            Some(BodyPiece::Trailers(trailers)) => {
                trailers
                    .iter()
                    .for_each(|(name, value)| body += &format!("|{name}={}", value.to_str().unwrap()));
            }
            Some(BodyPiece::End) => break,
            None => match pieces.next() {
                Some(piece) => input.extend_from_slice(piece),
                None => return Ok(None),
            },
        }
    }
    let rest: Vec<u8> = input.iter().copied().chain(pieces.flatten().copied()).collect();
    Ok(Some((body, String::from_utf8(rest).unwrap())))
}

/// Whether `decoder` finds the end by taking everything.
fn is_whole(mut decoder: BodyDecoder, input: &BytesMut) -> bool {
    let mut input = input.clone();
    while !decoder.is_ended() {
        let Ok(Some(_)) = decoder.decode(&mut input) else { return false };
    }
    true
}

fn check(bytes: &str, framing: Framing, expected: Result<Option<(&str, &str)>, Violation>) {
    let expected = expected.map(|found| found.map(|(body, rest)| (body.to_owned(), rest.to_owned())));
    let smallest = if bytes.len() < LONG_BYTES { 1 } else { 90 };
    for size in (smallest..=bytes.len().min(100)).chain([bytes.len()]) {
        let found = read(bytes.as_bytes(), framing, size);
        assert_eq!(found, expected, "{bytes:?} in pieces of {size}");
    }
}

fn chunked(bytes: &str, body: &str, rest: &str) {
    check(bytes, Framing::Chunked, Ok(Some((body, rest))));
}

#[test]
fn bodies_end_where_they_say() {
    check("abcd", Framing::Sized(3), Ok(Some(("abc", "d"))));
    check("ab", Framing::Sized(3), Ok(None));
    check("abcd", Framing::UntilClose, Ok(None));
    chunked("3\r\nabc\r\n0\r\n\r\nGET", "abc", "GET");
    chunked("3;x=y z\r\na\nc\r\n00A;\r\n0123456789\r\n000\r\n\r\n", "a\nc0123456789", "");
    chunked("0\r\n\r\n", "", "");
    chunked("1\r\na\r\n0\r\nT: 1\r\nu:2\r\n\r\nx", "a|t=1|u=2", "x");
    check("1\r\na\r\n0\r\nT: 1\r\n", Framing::Chunked, Ok(None));
}

#[test]
fn the_end_comes_with_the_last_piece_if_it_is_there() {
    let (mut decoder, mut input) =
        (BodyDecoder::new(Framing::Chunked), BytesMut::from("1\r\na\r\n0\r\n\r\nGET"));
    assert!(matches!(decoder.decode(&mut input), Ok(Some(BodyPiece::Data(data))) if data == "a"));
    assert!(decoder.is_ended());
    assert_eq!(input, "GET");
}

#[test]
fn chunks_are_exact() {
    for body in [
        "0_2e\r\n",
        "0x5\r\n",
        "+5\r\n",
        "-0x0\r\n",
        " 5\r\n",
        "5 \r\n",
        "\r\n",
        "FFFFFFFFFFFFFFFFF\r\n",
        "1these-bytes\r\n",
        "5\n",
        "5;a\n",
        "5;\nhello",
        "5\r\r;ABCD\n",
        "5;\0x\r\n",
        "5\r\nhelloXX",
        "5\r\nhello\n",
        "5\r\nhello\r\n\r\n",
        "5\r\nhello\r\n0\r\nT: 1\n\r\n",
        "0\r\n T: 1\r\n\r\n",
        "0\r\n\n",
        "0\r\nX\r\n\r\n",
        "0\r\nX: a\0\r\n\r\n",
    ] {
        check(body, Framing::Chunked, Err(Violation::Chunk));
    }
    let long = "x".repeat(20_000);
    for body in
        [format!("1;{long}\r\n"), format!("1;{long}"), format!("1;{}\r\na\r\n", &long[..9_000]).repeat(2)]
    {
        check(&body, Framing::Chunked, Err(Violation::Chunk));
    }
    check(&format!("0\r\n{}", "t: 1\r\n".repeat(102)), Framing::Chunked, Err(Violation::Chunk));
    check(&format!("0\r\nt: {}", long.repeat(4)), Framing::Chunked, Err(Violation::Chunk));
}
