use super::{AnswerScanner, Asked, Broken};

/// Feeds `bytes` in pieces of many sizes; what breaks must break in each.
fn check(bytes: &str, asked: Asked, expected: Result<(), &str>) {
    let bytes = bytes.as_bytes();
    for size in (1..=bytes.len().min(100)).chain([bytes.len()]) {
        let mut scanner = AnswerScanner::new();
        let scanned = bytes.chunks(size).try_for_each(|piece| scanner.scan(piece, asked));
        let place = scanned.map_err(|broken| match broken {
            Broken::Head(_) => "head",
            Broken::Body(_) => "body",
        });
        assert_eq!(place, expected, "{:?} in pieces of {size}", String::from_utf8_lossy(bytes));
    }
}

fn passes(bytes: &str) {
    check(bytes, Asked::default(), Ok(()));
}

fn breaks(bytes: &str, place: &str) {
    check(bytes, Asked::default(), Err(place));
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn ordinary_responses_pass_one_after_the_other() {
    let sized = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\n\n\n";
    let chunked = &format!("{CHUNKED}3;x=y z\r\n\n\n\n\r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\n");
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    let bodiless = "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n";
    passes(&[interim, sized, bodiless, chunked, sized].concat());
    passes("HTTP/1.0 200 OK\r\n\r\nanything\n\n");
    passes("HTTP/1.1 101 Switching Protocols\r\n\r\nanything\n\n");
    let head = Asked { is_head: true, is_connect: false };
    check(&format!("{CHUNKED}{sized}"), head, Err("head"));
    check(&format!("{CHUNKED}HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"), head, Ok(()));
    let connect = Asked { is_head: false, is_connect: true };
    check("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nany\nthing", connect, Ok(()));
}

#[test]
fn lf_alone_ends_no_line_of_a_head() {
    breaks("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", "head");
    breaks("HTTP/1.1 200 OK\r\nX: a\nContent-Length: 5\r\n\r\nhello", "head");
    breaks("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\nhello", "head");
    breaks("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\n\r\n", "head");
}

#[test]
fn the_line_of_a_chunk_has_one_reading() {
    let bodies = [
        "5 \r\n",
        " 5\r\n",
        "5;a\0\r\n",
        "5\n",
        "5;a\n",
        "+5\r\n",
        "0x5\r\n",
        "\r\n",
        "5\r\nhelloXX",
        "5\r\nhello\n",
    ];
    for body in bodies.into_iter().chain(["5\r\nhello\r\n0\r\nT: 1\n\r\n", "0\r\n T: 1\r\n\r\n", "0\r\n\n"]) {
        breaks(&format!("{CHUNKED}{body}"), "body");
    }
    breaks(&format!("{CHUNKED}5;{}", "x".repeat(20_000)), "body");
}

/// What came of `bytes` in these pieces: the state, or where they broke.
fn scan(bytes: &[u8], cuts: impl Iterator<Item = usize>) -> Result<String, Broken> {
    let (mut scanner, mut at) = (AnswerScanner::new(), 0);
    for cut in cuts.chain([bytes.len()]) {
        scanner.scan(&bytes[at..cut], Asked::default()).map_err(|broken| match broken {
            Broken::Head(index) => Broken::Head(at + index),
            Broken::Body(_) => Broken::Body(0),
        })?;
        at = cut;
    }
    Ok(format!("{scanner:?}"))
}

/// Heads of lines in a random order are read alike in one piece, in two, and byte by byte.
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
    for round in 0..2_000 {
        let lines: String = (0..round % 5).map(|_| draw(&LINES)).collect();
        let text = [draw(&STARTS), &lines, draw(&ENDS)].concat();
        let bytes = text.as_bytes();
        let whole = scan(bytes, std::iter::empty());
        assert_eq!(scan(bytes, 1..bytes.len()), whole, "{text:?} byte by byte");
        for cut in 1..bytes.len() {
            assert_eq!(scan(bytes, std::iter::once(cut)), whole, "{text:?} in two at {cut}");
        }
    }
}
