#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::{Blocks, Judged, PeerRole};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Uri};
use tokio::io::AsyncReadExt;

/// What HEADERS of the whole says of itself.
const WHOLE: u8 = super::END_HEADERS;

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

fn request(block: &[u8]) -> Judged {
    let mut blocks = Blocks::new(PeerRole::Client, 64 * 1024);
    blocks.begin(1);
    blocks.piece(true, WHOLE, block, true)
}

/// Judges `block` as trailers of a client that had sent this request before.
fn trailers(head: &[u8], block: &[u8]) -> Judged {
    let mut blocks = Blocks::new(PeerRole::Client, 64 * 1024);
    blocks.begin(1);
    assert_eq!(blocks.piece(true, WHOLE, head, true), Judged::Passes);
    blocks.begin(1);
    blocks.piece(true, WHOLE, block, true)
}

#[test]
fn a_fragment_in_a_path_is_seen_however_it_is_spelled() {
    // By hpack of Python: coded, and as it is.
    for block in ["82864484607ff51f418944e7ad72f91d35d05f", "828644042f612362410c73686f702e6578616d706c65"] {
        assert_eq!(request(&hex(block)), Judged::Refused, "{block}");
    }
    assert_eq!(request(&literal(":path", "/#/../admin")), Judged::Refused);
    let coded_name = [vec![0, 0x84], super::PATH_CODED.to_vec(), raw("/a#b")].concat();
    assert_eq!(request(&coded_name), Judged::Refused);
    assert_eq!(request(&hex("82864487606c47fe12093f418944e7ad72f91d35d05f7a81f3")), Judged::Passes);
    assert_eq!(request(&literal("referer", "/a#b")), Judged::Passes);
}

#[test]
fn a_path_that_was_refused_is_refused_again_out_of_the_table() {
    let mut blocks = Blocks::new(PeerRole::Client, 64 * 1024);
    for (stream, block) in [(1, "82864484607ff51f418944e7ad72f91d35d05f"), (3, "8286bfbe")] {
        blocks.begin(stream);
        assert_eq!(blocks.piece(true, WHOLE, &hex(block), true), Judged::Refused);
    }
}

#[test]
fn pseudo_fields_in_trailers_are_seen_however_they_are_spelled() {
    let head = [vec![0x82, 0x86, 0x44], raw("/x")].concat();
    for block in [
        vec![0x82],
        vec![0x88],
        // The path of the request, out of the table.
        vec![0xbe],
        literal(":path", "GET"),
        literal(":status", "200"),
        [vec![0x02], raw("PUT")].concat(),
        [vec![0x10, 0x84], super::PATH_CODED.to_vec(), raw("/")].concat(),
    ] {
        assert_eq!(trailers(&head, &block), Judged::Refused, "{block:x?}");
    }
    assert_eq!(trailers(&head, &literal("grpc-status", "9")), Judged::Passes);
    assert_eq!(trailers(&head, &literal("x", ":path")), Judged::Passes);
}

#[test]
fn trailers_over_the_limit_are_seen() {
    let of = |len: usize| {
        let mut blocks = Blocks::new(PeerRole::Server, 1_000);
        blocks.begin(1);
        blocks.piece(true, WHOLE, &literal("x", &"v".repeat(len)).repeat(10), true)
    };
    // 33 for each beside its value.
    assert_eq!(of(66), Judged::Passes);
    assert_eq!(of(67), Judged::Refused);
}

#[test]
fn frames_may_be_cut_and_padded_as_the_peer_likes() {
    let block = [literal("a", "b"), literal(":path", "/#"), literal("c", "d")].concat();
    for cut in 0..block.len() {
        let padded = [&[3, 0, 0, 0, 0, 0][..], &block[..cut], &[0; 3]].concat();
        for size in [1, 2, padded.len()] {
            let mut blocks = Blocks::new(PeerRole::Client, 64 * 1024);
            blocks.begin(1);
            let flags = super::PADDED | super::PRIORITY;
            let pieces: Vec<_> = padded.chunks(size).collect();
            for (at, piece) in pieces.iter().enumerate() {
                assert_eq!(blocks.piece(true, flags, piece, at + 1 == pieces.len()), Judged::Passes);
            }
            assert_eq!(blocks.piece(false, WHOLE, &block[cut..], true), Judged::Refused, "cut at {cut}");
        }
    }
}

#[test]
fn behind_what_has_no_reading_everything_is_refused() {
    for block in ["ff", "80", "be", "4081", "3fe21f01", "40ffffffffff7f"] {
        let mut blocks = Blocks::new(PeerRole::Client, 64 * 1024);
        blocks.begin(1);
        assert_eq!(blocks.piece(true, WHOLE, &hex(block), true), Judged::Refused, "{block}");
        blocks.begin(3);
        assert_eq!(blocks.piece(true, WHOLE, &[0x82], true), Judged::Refused, "{block}");
    }
    let mut blocks = Blocks::new(PeerRole::Client, 64 * 1024);
    blocks.begin(1);
    for _ in 0..100 {
        blocks.piece(true, 0, &[0; 64 * 1024], false);
        assert!(blocks.pending.len() <= 512 * 1024);
    }
    assert_eq!(blocks.piece(false, WHOLE, &[], true), Judged::Refused);
}

#[test]
fn what_continues_a_block_that_has_ended_is_looked_at_by_itself() {
    let mut blocks = Blocks::new(PeerRole::Client, 64 * 1024);
    blocks.begin(1);
    assert_eq!(blocks.piece(true, 0, &literal("a", "b"), true), Judged::Passes);
    assert_eq!(blocks.piece(false, WHOLE, &literal("c", "d"), true), Judged::Passes);
    assert_eq!(blocks.piece(false, 0, &[0x82], true), Judged::Passes);
    assert_eq!(blocks.piece(false, WHOLE, &literal(":path", "/#"), true), Judged::Refused);
}

/// Payloads of HEADERS that the `h2` crate writes for these requests over one connection.
fn written(requests: Vec<Request<()>>) -> Vec<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        let (mut sender, mut connection) = h2::client::Builder::new()
            .initial_max_send_streams(1_000)
            .handshake::<_, Bytes>(ours)
            .await
            .unwrap();
        let mut bytes = Vec::new();
        let mut answers = Vec::new();
        for request in requests {
            answers.push(sender.send_request(request, true).unwrap());
            assert!((&mut connection).now_or_never().is_none());
            // Its turn is over before all is written otherwise.
            tokio::task::yield_now().await;
            while theirs.read_buf(&mut bytes).now_or_never().is_some() {}
        }
        let mut frames = &bytes[crate::HTTP2_PREFACE.len()..];
        let mut blocks = Vec::new();
        while let [high, middle, low, kind, _, _, _, _, _, rest @ ..] = frames {
            let len = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
            if *kind == 1 {
                blocks.push(rest[..len].to_vec());
            }
            frames = &rest[len..];
        }
        blocks
    })
}

#[test]
fn a_long_session_of_the_crates_own_encoder_is_followed_exactly() {
    let mut state = 7_u32;
    let mut random = move |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % below
    };
    let mut sizes = Vec::new();
    let mut requests = Vec::new();
    for _ in 0..200 {
        let path = format!("/{}", "a%7e~&=".repeat(random(9) as usize));
        let uri: Uri = format!("http://shop.example{path}").parse().unwrap();
        let mut request = Request::get(uri);
        let mut size = 7 + 3 + 7 + 4 + 10 + 12 + 5 + path.len() + 4 * 32;
        for _ in 0..random(8) {
            let name = ["cookie", "x-some-name", "accept", "x-y"][random(4) as usize].to_owned();
            let name = format!("{name}-{}", random(6));
            let value: String = (0..random(200)).map(|_| char::from(b' ' + 1 + random(94) as u8)).collect();
            size += name.len() + value.len() + 32;
            request = request.header(name, value);
        }
        sizes.push(size);
        requests.push(request.body(()).unwrap());
    }
    let written = written(requests);
    assert_eq!(written.len(), sizes.len());
    let mut blocks = Blocks::new(PeerRole::Client, 64 * 1024);
    for (at, (block, expected)) in written.iter().zip(sizes).enumerate() {
        let size = blocks.list(block).ok().map(|(size, _)| size);
        assert_eq!(size, Some(expected), "request {at}: {block:x?}");
    }
}

/// Judges the last of these blocks of a server's stream.
fn response(blocks_sent: &[Vec<u8>]) -> Judged {
    let mut blocks = Blocks::new(PeerRole::Server, 64 * 1024);
    let mut judged = Judged::Passes;
    for block in blocks_sent {
        blocks.begin(1);
        if judged == Judged::Answers {
            blocks.expect_trailers();
        }
        judged = blocks.piece(true, WHOLE, block, true);
    }
    judged
}

#[test]
fn final_heads_are_told_from_interim_ones_however_they_are_spelled() {
    let coded = |value: &[u8]| [&[0x08, 0x80 | value.len() as u8], value].concat();
    for (block, expected) in [
        (vec![0x88], Judged::Answers),
        (vec![0x8e], Judged::Answers),
        (literal(":status", "203"), Judged::Answers),
        ([vec![0x08], raw("418")].concat(), Judged::Answers),
        // 302 and 103, by hpack of Python.
        (coded(&[0x64, 0x02]), Judged::Answers),
        (coded(&[0x08, 0x19]), Judged::Passes),
        (literal(":status", "103"), Judged::Passes),
        ([vec![0x08], raw("100")].concat(), Judged::Passes),
        ([vec![0x00, 0x85], super::STATUS_CODED.to_vec(), raw("103")].concat(), Judged::Passes),
        ([vec![0x00, 0x85], super::STATUS_CODED.to_vec(), raw("200")].concat(), Judged::Answers),
    ] {
        assert_eq!(response(std::slice::from_ref(&block)), expected, "{block:x?}");
    }
    // Out of the table, as it was put there, and with another value.
    let early = [vec![0x48], raw("103")].concat();
    assert_eq!(response(&[early.clone(), vec![0xbe]]), Judged::Passes);
    assert_eq!(response(&[early, [vec![0x7e], raw("200")].concat()]), Judged::Answers);
}

#[test]
fn pseudo_fields_that_a_response_must_not_have_are_seen() {
    let (early, head) = (literal(":status", "103"), vec![0x88]);
    for bad in [vec![0x84], literal(":path", "/"), literal(":unknown", "x"), vec![0x82]] {
        assert_eq!(response(&[[&head[..], &bad].concat()]), Judged::Refused, "{bad:x?}");
        assert_eq!(response(&[early.clone(), head.clone(), bad.clone()]), Judged::Refused, "{bad:x?}");
    }
    for status in [vec![0x88], literal(":status", "200"), literal(":status", "103")] {
        assert_eq!(response(&[head.clone(), status.clone()]), Judged::Refused, "{status:x?}");
    }
    assert_eq!(response(&[early, head, literal("grpc-status", "0")]), Judged::Passes);
}
