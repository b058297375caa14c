//! What a server may answer that is no good response.

use super::*;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// A field as HPACK writes it without table and without Huffman; values of up to 32 KiB.
fn field(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0, u8::try_from(name.len()).unwrap()];
    field.extend(name.as_bytes());
    match value.len() {
        len @ ..127 => field.push(u8::try_from(len).unwrap()),
        len => {
            let rest = len - 127;
            field.extend([127, 0x80 | u8::try_from(rest & 0x7f).unwrap(), u8::try_from(rest >> 7).unwrap()]);
        }
    }
    field.extend(value.as_bytes());
    field
}

/// A head with status 200 on stream 1.
fn head(flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = vec![0x88];
    for (name, value) in fields {
        block.extend(field(name, value));
    }
    frame(1, flags | END_HEADERS, 1, &block)
}

/// Sends one request to a server that answers with `frames`; the body, or what went wrong with the head, or `None`:
/// the body broke off.
fn answered(method: &str, frames: Vec<u8>) -> Result<Option<Bytes>, SendErrorKind> {
    run(async {
        let (near, mut far) = duplex(1 << 20);
        spawn_local(async move {
            far.write_all(&[frame(4, 0, 0, &[]), frame(4, 1, 0, &[])].concat()).await.unwrap();
            let mut heard: Vec<u8> = Vec::new();
            // Until it has the request: preface, settings, headers.
            while !heard.windows(5).any(|at| at[0] == 1 && at[1] & END_HEADERS != 0 && at[2..5] == [0, 0, 0])
            {
                let mut some = [0; 1024];
                let len = far.read(&mut some).await.unwrap();
                heard.extend(&some[..len]);
            }
            far.write_all(&frames).await.unwrap();
            std::future::pending::<()>().await;
        });
        let (sender, _driver) = client(near).await;
        let mut request = request("/", Body::empty());
        *request.method_mut() = method.parse().unwrap();
        let response = sender.send(request).await.map_err(|error| error.kind)?;
        Ok(response.into_body().collect(1 << 20).await.ok())
    })
}

fn data(flags: u8, bytes: &[u8]) -> Vec<u8> {
    frame(0, flags, 1, bytes)
}

#[test]
fn a_body_that_contradicts_its_length_is_found_with_the_head() {
    let ten = || head(0, &[("content-length", "10")]);
    let protocol = Err(SendErrorKind::Protocol);
    assert_eq!(answered("GET", head(END_STREAM, &[("content-length", "10")])), protocol);
    assert_eq!(answered("GET", [ten(), data(END_STREAM, b"hello")].concat()), protocol);
    assert_eq!(answered("GET", [ten(), data(END_STREAM, b"")].concat()), protocol);
    assert_eq!(answered("GET", [ten(), data(0, b"hello, world")].concat()), protocol);
    // Some of it has been good: that much is passed on.
    assert_eq!(answered("GET", [ten(), data(0, b"hello"), data(END_STREAM, b"")].concat()), Ok(None));
}

#[test]
fn a_body_that_keeps_its_length_passes() {
    let ten = || head(0, &[("content-length", "10")]);
    let whole = Ok(Some(Bytes::from_static(b"0123456789")));
    assert_eq!(answered("GET", [ten(), data(END_STREAM, b"0123456789")].concat()), whole);
    assert_eq!(answered("GET", [ten(), data(0, b"01234"), data(END_STREAM, b"56789")].concat()), whole);
    let trailers = frame(1, END_STREAM | END_HEADERS, 1, &field("x", "y"));
    assert_eq!(answered("GET", [ten(), data(0, b"0123456789"), trailers].concat()), whole);
    let nothing = Ok(Some(Bytes::new()));
    assert_eq!(answered("HEAD", head(END_STREAM, &[("content-length", "10")])), nothing);
    assert_eq!(answered("HEAD", [ten(), data(END_STREAM, b"")].concat()), nothing);
    assert_eq!(answered("GET", head(END_STREAM, &[("content-length", "0")])), nothing);
}

#[test]
fn a_head_that_is_too_large_is_told_from_a_malformed_one() {
    let long = "x".repeat(9_000);
    let eight: Vec<_> = (0..8).map(|_| ("x-long", long.as_str())).collect();
    let mut block = vec![0x88];
    for (name, value) in eight {
        block.extend(field(name, value));
    }
    let pieces: Vec<&[u8]> = block.chunks(16_384).collect();
    let mut frames = frame(1, 0, 1, pieces[0]);
    for (at, piece) in pieces.iter().enumerate().skip(1) {
        let flags = if at + 1 == pieces.len() { END_HEADERS } else { 0 };
        frames.extend(frame(9, flags, 1, piece));
    }
    assert_eq!(answered("GET", frames), Err(SendErrorKind::HeadTooLarge));
    assert_eq!(answered("GET", head(END_STREAM, &[("connection", "close")])), Err(SendErrorKind::Protocol));
}

/// RFC 9113 section 8.1. Many a library drops these without a word.
#[test]
fn pseudo_fields_in_trailers_break_a_response_off() {
    let sent = |trailers: &[(&str, &str)]| {
        let block: Vec<u8> = trailers.iter().flat_map(|(name, value)| field(name, value)).collect();
        [head(0, &[]), data(0, b"hello"), frame(1, END_STREAM | END_HEADERS, 1, &block)].concat()
    };
    assert_eq!(answered("GET", sent(&[("x", "y")])), Ok(Some(Bytes::from_static(b"hello"))));
    for bad in [(":status", "200"), (":path", "/"), (":unknown", "x")] {
        assert_eq!(answered("GET", sent(&[bad, ("x", "y")])), Ok(None), "{bad:?}");
    }
    // An interim response is no head.
    let early = frame(1, END_HEADERS, 1, &field(":status", "103"));
    assert_eq!(answered("GET", [early.clone(), head(END_STREAM, &[])].concat()), Ok(Some(Bytes::new())));
    let both = [early, sent(&[(":status", "200")])].concat();
    assert_eq!(answered("GET", both), Ok(None));
}

#[test]
fn pseudo_fields_of_requests_in_a_response_are_malformed() {
    for name in [":path", ":method", ":unknown"] {
        let bad = head(END_STREAM, &[(name, "/")]);
        assert_eq!(answered("GET", bad), Err(SendErrorKind::Protocol), "{name}");
    }
}

/// What is all there goes on in one piece, with the head before it; what is not, or has trailers, does not.
#[test]
fn a_body_that_has_come_whole_is_in_hand() {
    let body_of = |answer: fn() -> Body| async move {
        let (sender, _) = pair(move |_| async move { Reply::Response(Response::new(answer())) }).await;
        let body = sender.send(request("/", Body::empty())).await.unwrap().into_body();
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        (sender, body)
    };
    run(async {
        let (sender, mut body) = body_of(|| Body::full("done")).await;
        assert_eq!((body.full_len(), sender.active_streams()), (Some(4), 1));
        assert_eq!(body.take_full().unwrap(), "done");
        assert_eq!((body.is_end_stream(), sender.active_streams()), (true, 0));
        let (_sender, mut body) = body_of(|| with_trailers(10)).await;
        assert_eq!((body.full_len(), body.take_full()), (None, None));
        assert_eq!(body.collect(9).await.unwrap(), "hi");
        let (_sender, mut body) = body_of(|| Body::full(vec![b'x'; 200_000])).await;
        assert_eq!((body.full_len(), body.take_full()), (None, None));
        assert_eq!(body.collect(1 << 20).await.unwrap().len(), 200_000);
    });
}
