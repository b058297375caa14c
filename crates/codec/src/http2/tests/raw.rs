//! What no library client would send: every field byte by byte.

use std::cell::{Cell, RefCell};

use super::*;

/// A field as HPACK writes it without table and without Huffman.
fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    let len = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
    [&[0, len(name)], name, &[len(value)], value].concat()
}

/// Lines of `name=value`; what a line breaks in a value is written as `\r` and `\n` by the test.
fn block(lines: &[&str]) -> Vec<u8> {
    let split = |line: &&str| {
        let (name, value) = line.split_once('=').unwrap();
        field(name.as_bytes(), value.as_bytes())
    };
    lines.iter().flat_map(split).collect()
}

const BASE: [&str; 4] = [":method=GET", ":scheme=http", ":path=/", ":authority=a"];

/// How the server answered on stream 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Reset,
    GoAway,
    /// The first byte of the field block: 0x88 is status 200, 0x8c is 400.
    Head(u8),
    Closed,
}

pub(super) async fn answer_in(read: &mut (impl tokio::io::AsyncRead + Unpin)) -> Answer {
    loop {
        let mut head = [0; 9];
        if read.read_exact(&mut head).await.is_err() {
            return Answer::Closed;
        }
        let len = usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; len];
        if read.read_exact(&mut payload).await.is_err() {
            return Answer::Closed;
        }
        match (head[3], head[8]) {
            (1, 1) => return Answer::Head(payload[0]),
            (3, 1) => return Answer::Reset,
            (7, _) => return Answer::GoAway,
            _ => {}
        }
    }
}

/// Sends `frames`; returns the answer, how many requests reached the service, and target and trailers of those
/// that were read to a clean end.
async fn converse(frames: Vec<u8>) -> (Answer, u32, Vec<String>) {
    let (reached, complete) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(Vec::new())));
    let service = {
        let (reached, complete) = (Rc::clone(&reached), Rc::clone(&complete));
        move |request: Request<Body>| {
            let (reached, complete) = (Rc::clone(&reached), Rc::clone(&complete));
            async move {
                reached.set(reached.get() + 1);
                let uri = request.uri().clone();
                let Ok((_, trailers)) = request.into_body().collect_with_trailers(1 << 20).await else {
                    return Reply::Reset(ResetCode::Cancel);
                };
                complete.borrow_mut().push(format!("{uri} {:?}", trailers.unwrap_or_default()));
                Reply::Response(Response::new(Body::empty()))
            }
        }
    };
    let (near, far) = duplex(1 << 20);
    let ended = serving(far, std::future::pending(), service);
    let (mut read, mut write) = tokio::io::split(near);
    let hello = [&HTTP2_PREFACE[..], &frame(4, 0, 0, &[]), &frames].concat();
    write.write_all(&hello).await.unwrap();
    let answer = answer_in(&mut read).await;
    ended.abort();
    (answer, reached.get(), complete.take())
}

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A request without body.
fn head(lines: &[&str]) -> Vec<u8> {
    frame(1, END_STREAM | END_HEADERS, 1, &block(lines))
}

/// A plain request.
pub(super) fn get() -> Vec<u8> {
    head(&BASE)
}

fn with(line: &str) -> Vec<u8> {
    head(&[&BASE[..], &[line]].concat())
}

/// Refused, and the service never saw it.
fn refused(what: &str, frames: Vec<u8>) {
    let (answer, reached, _) = run(converse(frames));
    assert!(matches!(answer, Answer::Reset | Answer::GoAway | Answer::Head(0x8c)), "{what:?}: {answer:?}");
    assert_eq!(reached, 0, "{what:?}");
}

/// Answered, and this is what the service saw.
fn seen(frames: Vec<u8>, expected: &str) {
    assert_eq!(run(converse(frames)), (Answer::Head(0x88), 1, vec![expected.to_owned()]));
}

/// Refused, and the service never saw its end.
fn broken_off(what: &str, frames: Vec<u8>) {
    let (answer, _, complete) = run(converse(frames));
    assert!(matches!(answer, Answer::Reset | Answer::GoAway), "{what:?}: {answer:?}");
    assert_eq!(complete, [""; 0], "{what:?}");
}

#[test]
fn a_block_that_is_continued_after_its_end_ends_the_connection() {
    let block = block(&BASE);
    let (first, rest) = block.split_at(20);
    let whole = [frame(1, END_STREAM, 1, first), frame(9, END_HEADERS, 1, rest)].concat();
    for flags in [0, END_HEADERS] {
        let (answer, ..) = run(converse([&whole[..], &frame(9, flags, 1, &rest[..4])].concat()));
        assert!(matches!(answer, Answer::Head(_) | Answer::GoAway), "{answer:?}");
    }
}

#[test]
fn a_good_request_is_answered() {
    seen(with("x=y"), "/ {}");
    seen(with("te=trailers"), "/ {}");
}

/// Many a library drops these without a word.
#[test]
fn fragments_and_pseudo_fields_of_trailers_are_malformed() {
    for path in [":path=/admin#x", ":path=/#/../admin", ":path=#"] {
        refused(path, head(&[":method=GET", ":scheme=http", path, ":authority=a"]));
    }
    let post = [frame(1, END_HEADERS, 1, &block(&BASE)), frame(0, 0, 1, b"hello")].concat();
    for lines in [&[":path=/admin", ":authority=b", "x=y"][..], &[":status=200"], &["x=y", ":method=GET"]] {
        let trailers = frame(1, END_STREAM | END_HEADERS, 1, &block(lines));
        broken_off(lines[0], [&post[..], &trailers].concat());
    }
    let trailers = frame(1, END_STREAM | END_HEADERS, 1, &block(&["x=y"]));
    seen([post, trailers].concat(), "/ {\"x\": \"y\"}");
}

#[test]
fn a_name_that_is_no_token_is_malformed_in_head_and_trailers() {
    refused("head", with("x\"=y"));
    let post = [frame(1, END_HEADERS, 1, &block(&BASE)), frame(0, 0, 1, b"hello")].concat();
    let trailers = frame(1, END_STREAM | END_HEADERS, 1, &block(&["\"x\"=y"]));
    broken_off("trailers", [post, trailers].concat());
}

#[test]
fn fields_hold_no_line_breaks_and_names_are_tokens() {
    for line in [
        "x=a\r\nTransfer-Encoding: chunked",
        "x=a\rb",
        "x=a\nb",
        "x=a\0b",
        "x\r\ny=a",
        "x\ny=a",
        "x\0y=a",
        "x:y=a",
        "x y=a",
        "X-Upper=a",
        "=a",
        "x= a",
        "x=a ",
        "x=\ta",
        "x=a\t",
        "x\u{e9}=a",
    ] {
        refused(line, with(line));
    }
}

#[test]
fn fields_of_one_hop_are_refused() {
    for line in [
        "transfer-encoding=chunked",
        "connection=close",
        "keep-alive=5",
        "proxy-connection=x",
        "upgrade=h2c",
        "te=gzip",
        "te=trailers, gzip",
    ] {
        refused(line, with(line));
    }
}

#[test]
fn a_declared_length_is_kept() {
    refused("content-length with nothing", with("content-length=10"));
    refused("content-length no number", with("content-length=1x"));
    refused("content-length twice", head(&[&BASE[..], &["content-length=0", "content-length=0"]].concat()));
    let post = |length: &str, data: &[u8], flags: u8| {
        let head = frame(1, END_HEADERS, 1, &block(&[&BASE[..], &[length]].concat()));
        [head, frame(0, flags, 1, data)].concat()
    };
    broken_off("data beyond none", post("content-length=0", b"hello", END_STREAM));
    broken_off("less", post("content-length=10", b"hello", END_STREAM));
    broken_off("more", post("content-length=3", b"hello", END_STREAM));
    broken_off("more, without an end", post("content-length=3", b"hello", 0));
    let trailers = frame(1, END_STREAM | END_HEADERS, 1, &block(&["x=y"]));
    broken_off("less, with trailers", [post("content-length=10", b"hello", 0), trailers].concat());
}

#[test]
fn fields_are_few_and_crumbs_count() {
    for line in ["cookie=", "x=y"] {
        let lines = |count| [&BASE[..], &vec![line; count]].concat();
        seen(head(&lines(99)), "/ {}");
        // No entry of the static table has this status.
        let (answer, reached, _) = run(converse(head(&lines(101))));
        assert!(matches!(answer, Answer::Head(first) if first != 0x88), "{line}: {answer:?}");
        assert_eq!(reached, 0, "{line}");
    }
}

#[test]
fn targets_are_paths() {
    let paths = [
        "",
        "foo/bar",
        "/a b",
        "/a\n",
        "/a\r\nx: y",
        "http://x/",
        "*",
        "?x",
        "//x\0",
        "/\u{7f}",
        "/x HTTP/1.1",
    ];
    for path in paths {
        refused(path, head(&[":method=GET", ":scheme=http", &format!(":path={path}"), ":authority=a"]));
    }
    for method in ["", "GET / HTTP/1.1", "G T", "GET\r\n", "G\0"] {
        refused(
            &format!("method {method}"),
            head(&[&format!(":method={method}"), ":scheme=http", ":path=/", ":authority=a"]),
        );
    }
    for scheme in ["", "ftp", "http://x/?", "ht tp", "http\r\n"] {
        refused(
            &format!("scheme {scheme}"),
            head(&[":method=GET", &format!(":scheme={scheme}"), ":path=/", ":authority=a"]),
        );
    }
    for authority in ["", "u@a", "a/b", "a, b", "a b", "a\r\nx: y", "a#b", "a?b"] {
        refused(
            authority,
            head(&[":method=GET", ":scheme=http", ":path=/", &format!(":authority={authority}")]),
        );
    }
    refused("another host", with("host=b"));
}

#[test]
fn pseudo_fields_come_first_and_once() {
    for line in [":method=GET", ":scheme=http", ":path=/", ":authority=a", ":status=200", ":unknown=x", ":="]
    {
        refused(line, with(line));
    }
    for missing in &BASE[..3] {
        let lines: Vec<&str> = BASE.into_iter().filter(|line| line != missing).collect();
        refused(&format!("without {missing}"), head(&lines));
    }
    refused("no host", head(&BASE[..3]));
    refused("late", head(&[":method=GET", ":scheme=http", ":path=/", "x=y", ":authority=a"]));
    refused("protocol", with(":protocol=websocket"));
    refused("CONNECT with a path", head(&[":method=CONNECT", ":scheme=http", ":path=/", ":authority=a"]));
}

#[test]
fn trailers_hold_no_line_breaks_and_end_the_stream() {
    let post = || [frame(1, END_HEADERS, 1, &block(&BASE)), frame(0, 0, 1, b"hello")].concat();
    let trailers = |flags: u8, lines: &[&str]| [post(), frame(1, flags, 1, &block(lines))].concat();
    broken_off("line break", trailers(END_STREAM | END_HEADERS, &["x=a\r\nb"]));
    broken_off("no end", trailers(END_HEADERS, &["x=y"]));
}
