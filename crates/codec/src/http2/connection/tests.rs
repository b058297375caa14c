//! Two connections back to back, and what a peer may say byte by byte; no sockets, no time.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::io::IoSlice;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode};

use super::super::outbox::PIECES_MAX;
use super::super::stream::{Purpose, RecvState};
use super::*;

/// Takes all that waits to be written.
fn drain(connection: &mut Multiplexer) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !connection.outbox.is_empty() {
        let mut slices = [IoSlice::new(&[]); PIECES_MAX];
        let count = connection.outbox.pieces(&mut slices);
        let now: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
        connection.outbox.advance(now.len());
        bytes.extend(now);
    }
    bytes
}

fn server() -> Multiplexer {
    Multiplexer::server(&ServerOptions::default())
}

fn client() -> Multiplexer {
    Multiplexer::client(&ClientOptions::default())
}

/// Requests that have come, and their streams.
type Requests = Vec<(StreamKey, Request<()>)>;

/// Gives `bytes` in pieces of at most `step`; the requests in them, which nobody holds yet.
fn hear(connection: &mut Multiplexer, bytes: &[u8], step: usize) -> Result<Requests, Fatal> {
    let (mut input, mut requests) = (BytesMut::new(), Vec::new());
    for piece in bytes.chunks(step) {
        input.extend_from_slice(piece);
        while let Some(Arrival { key, request }) = connection.receive(&mut input)? {
            connection.hold(key);
            requests.push((key, request));
        }
    }
    assert!(input.is_empty() || connection.outbox.is_overflowing(), "{} bytes left", input.len());
    Ok(requests)
}

const TARGET: RequestTarget<'_> =
    RequestTarget { method: "POST", authority: "shop:80", protocol: None, resource: Some(("http", "/x?y")) };

fn fields(names: &[(&'static str, &str)]) -> HeaderMap {
    let field = |(name, value): &(&'static str, &str)| {
        (http::HeaderName::from_static(name), http::HeaderValue::from_str(value).unwrap())
    };
    names.iter().map(field).collect()
}

/// All data of a stream, and whether its end came.
fn read(connection: &mut Multiplexer, key: StreamKey) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    while let Some(data) = connection.take_data(key) {
        connection.note_read(key, data.len());
        all.extend_from_slice(&data);
    }
    (all, connection.stream(key).is_some_and(|stream| stream.recv == RecvState::Ended))
}

/// However what is said is cut, it is heard alike: a request with a body, large fields and trailers, and its response.
#[test]
fn a_conversation_passes_in_pieces_of_any_size() {
    for step in (1..40).chain([100, 1000, 9_000, 100_000]) {
        let (mut client, mut server) = (client(), server());
        let large = "v".repeat(40_000);
        let headers = fields(&[("x-large", &large), ("te", "trailers")]);
        let key = client.open(Purpose::Request, TARGET, &headers, false).unwrap();
        client.send_data(key, Bytes::from(vec![b'd'; 20_000]), false);
        client.send_data(key, Bytes::from_static(b"end"), false);
        client.send_trailers(key, &fields(&[("t", "last")]));
        let requests = hear(&mut server, &drain(&mut client), step).unwrap();
        let [(at, request)] = &requests[..] else { panic!("{} requests", requests.len()) };
        assert_eq!((request.method().as_str(), request.uri().to_string()), ("POST", "/x?y".to_owned()));
        assert_eq!(request.headers()["x-large"], large);
        assert_eq!(request.headers()["host"], "shop:80");
        let (body, is_ended) = read(&mut server, *at);
        assert_eq!((body.len(), body.ends_with(b"dend"), is_ended), (20_003, true, true), "step {step}");
        assert_eq!(server.stream(*at).unwrap().trailers.take().unwrap()["t"], "last");

        server.respond(*at, StatusCode::NOT_FOUND, &fields(&[("a", "b")]), false);
        server.send_data(*at, Bytes::from_static(b"none"), true);
        hear(&mut client, &drain(&mut server), step).unwrap();
        let head = client.stream(key).unwrap().head.take().unwrap();
        assert_eq!((head.status().as_u16(), &head.headers()["a"]), (404, &"b".parse().unwrap()));
        assert_eq!(read(&mut client, key), (b"none".to_vec(), true));
        client.release(key);
        server.release(*at);
        assert_eq!((client.held_streams(), server.held_streams(), client.open, server.open), (0, 0, 0, 0));
        assert_eq!(hear(&mut server, &drain(&mut client), step).unwrap().len(), 0);
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    frame::put(&mut out, kind, flags, stream, payload);
    out.to_vec()
}

/// `:method GET, :scheme http, :path /, :authority a`.
const GET: [u8; 6] = [0x82, 0x86, 0x84, 0x41, 1, b'a'];
/// As before with POST.
const POST: [u8; 6] = [0x83, 0x86, 0x84, 0x41, 1, b'a'];

fn hello() -> Vec<u8> {
    [&HTTP2_PREFACE[..], &frame(frame::SETTINGS, 0, 0, &[])].concat()
}

/// A server that was said hello to and then this.
fn told(bytes: &[u8]) -> (Multiplexer, Result<Requests, Fatal>) {
    let mut server = server();
    let heard = hear(&mut server, &[&hello()[..], bytes].concat(), usize::MAX);
    (server, heard)
}

/// Kind, stream and payload of all frames.
fn frames(bytes: &[u8]) -> Vec<(u8, u32, Vec<u8>)> {
    let (mut rest, mut all) = (bytes, Vec::new());
    while let Some(head) = frame::FrameHead::read(rest) {
        let end = frame::FRAME_HEAD_BYTES + head.len;
        all.push((head.kind, head.stream, rest[frame::FRAME_HEAD_BYTES..end].to_vec()));
        rest = &rest[end..];
    }
    all
}

#[test]
fn frames_may_be_cut_and_padded_as_the_peer_likes() {
    let block = [&POST[..], &[0, 1, b'a', 1, b'b']].concat();
    for cut in 0..block.len() {
        let padded = [&[3, 0, 0, 0, 0, 0][..], &block[..cut], &[0; 3]].concat();
        let head = frame(frame::HEADERS, frame::PADDED | frame::HAS_PRIORITY, 1, &padded);
        let rest = frame(frame::CONTINUATION, frame::END_HEADERS, 1, &block[cut..]);
        let data =
            frame(frame::DATA, frame::PADDED | frame::END_STREAM, 1, &[&[9][..], b"data", &[0; 9]].concat());
        for step in [1, 2, 1000] {
            let mut server = server();
            let requests =
                hear(&mut server, &[hello(), head.clone(), rest.clone(), data.clone()].concat(), step);
            let requests = requests.unwrap();
            assert_eq!(requests[0].1.headers()["a"], "b");
            assert_eq!(
                read(&mut server, requests[0].0),
                (b"data".to_vec(), true),
                "cut at {cut}, step {step}"
            );
        }
    }
}

/// Also where only padding is missing: the peer may have gone in the middle of it.
#[test]
fn data_end_when_all_of_their_frame_has_come() {
    let head = [hello(), frame(frame::HEADERS, frame::END_HEADERS, 1, &POST)].concat();
    for payload in [&[3, b'd', 0, 0, 0][..], &[3, 0, 0, 0], &[0, b'd'], &[0]] {
        let data = frame(frame::DATA, frame::PADDED | frame::END_STREAM, 1, payload);
        let mut server = server();
        let key = hear(&mut server, &head, usize::MAX).unwrap()[0].0;
        let mut input = BytesMut::new();
        for (at, byte) in data.iter().enumerate() {
            input.extend_from_slice(&[*byte]);
            server.receive(&mut input).unwrap();
            let has_ended = server.stream(key).unwrap().recv == RecvState::Ended;
            assert_eq!(has_ended, at + 1 == data.len(), "{payload:?} up to {at}");
        }
    }
}

#[test]
fn what_breaks_the_protocol_ends_the_connection() {
    let post = || frame(frame::HEADERS, frame::END_HEADERS, 1, &POST);
    for (what, bytes) in [
        ("data without a stream", frame(frame::DATA, 0, 0, b"x")),
        ("data on an idle stream", frame(frame::DATA, 0, 1, b"x")),
        ("padding longer than the frame", [post(), frame(frame::DATA, frame::PADDED, 1, &[2, 0])].concat()),
        ("padding without a length", [post(), frame(frame::DATA, frame::PADDED, 1, &[])].concat()),
        ("head on an even stream", frame(frame::HEADERS, frame::END_HEADERS, 2, &GET)),
        ("head without a stream", frame(frame::HEADERS, frame::END_HEADERS, 0, &GET)),
        (
            "priority longer than the frame",
            frame(frame::HEADERS, frame::END_HEADERS | frame::HAS_PRIORITY, 1, &[0; 4]),
        ),
        ("no reading", frame(frame::HEADERS, frame::END_HEADERS, 1, &[0xff])),
        ("no such entry", frame(frame::HEADERS, frame::END_HEADERS, 1, &[0xbe])),
        (
            "another frame within a block",
            [frame(frame::HEADERS, 0, 1, &GET), frame(frame::PING, 0, 0, &[0; 8])].concat(),
        ),
        (
            "another stream within a block",
            [frame(frame::HEADERS, 0, 1, &GET), frame(frame::CONTINUATION, 4, 3, &[])].concat(),
        ),
        ("continuation of nothing", frame(frame::CONTINUATION, 4, 1, &[])),
        ("push", frame(frame::PUSH_PROMISE, 4, 1, &[0, 0, 0, 2])),
        ("priority without a stream", frame(frame::PRIORITY, 0, 0, &[0; 5])),
        ("priority of a wrong size", frame(frame::PRIORITY, 0, 1, &[0; 6])),
        ("priority below itself", frame(frame::PRIORITY, 0, 3, &[0x80, 0, 0, 3, 0])),
        (
            "head below itself",
            frame(frame::HEADERS, 5 | frame::HAS_PRIORITY, 1, &[&[0, 0, 0, 1, 0][..], &GET].concat()),
        ),
        (
            "padded head below itself",
            frame(
                frame::HEADERS,
                5 | frame::HAS_PRIORITY | frame::PADDED,
                1,
                &[&[0, 0, 0, 0, 1, 0][..], &GET].concat(),
            ),
        ),
        (
            "request with a smaller number",
            [frame(frame::HEADERS, 5, 5, &GET), frame(frame::HEADERS, 5, 3, &GET)].concat(),
        ),
        (
            "request behind a reset of its own",
            [post(), frame(frame::RST_STREAM, 0, 1, &[0; 4]), frame(frame::HEADERS, 5, 1, &GET)].concat(),
        ),
        ("reset of an idle stream", frame(frame::RST_STREAM, 0, 1, &[0; 4])),
        ("reset of a wrong size", [post(), frame(frame::RST_STREAM, 0, 1, &[0; 5])].concat()),
        ("settings on a stream", frame(frame::SETTINGS, 0, 1, &[])),
        ("settings of a wrong size", frame(frame::SETTINGS, 0, 0, &[0; 5])),
        ("settings acknowledged with more", frame(frame::SETTINGS, frame::ACK, 0, &[0; 6])),
        ("ping on a stream", frame(frame::PING, 0, 1, &[0; 8])),
        ("ping of a wrong size", frame(frame::PING, 0, 0, &[0; 7])),
        ("goaway of a wrong size", frame(frame::GOAWAY, 0, 0, &[0; 7])),
        ("window widened by nothing", frame(frame::WINDOW_UPDATE, 0, 0, &[0; 4])),
        ("window widened beyond all", frame(frame::WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])),
        ("window of an idle stream", frame(frame::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])),
        ("window of a wrong size", frame(frame::WINDOW_UPDATE, 0, 0, &[0; 3])),
        (
            "streams widened beyond all",
            [
                post(),
                frame(frame::WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0, 0]),
                frame(frame::SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]),
            ]
            .concat(),
        ),
        ("frame too large", frame(frame::DATA, 0, 1, &vec![0; 70_000])),
    ] {
        let (_, heard) = told(&bytes);
        assert!(matches!(heard, Err(Fatal::Violation(..))), "{what}: {heard:?}");
    }
    let mut server = server();
    let heard = hear(&mut server, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX", 3);
    assert!(matches!(heard, Err(Fatal::Violation(..))), "preface: {heard:?}");
    let mut server = self::server();
    let heard = hear(&mut server, &[&HTTP2_PREFACE[..], &frame(frame::PING, 0, 0, &[0; 8])].concat(), 100);
    assert!(matches!(heard, Err(Fatal::Violation(..))), "settings first: {heard:?}");
}

#[test]
fn what_breaks_a_rule_of_a_stream_ends_only_that() {
    let post = |length: &[u8]| frame(frame::HEADERS, frame::END_HEADERS, 1, &[&POST[..], length].concat());
    // `content-length: 3`.
    let three = [0x0f, 0x0d, 1, b'3'];
    let data = |flags: u8, bytes: &[u8]| frame(frame::DATA, flags, 1, bytes);
    for (what, bytes) in [
        ("more than declared", [post(&three), data(0, b"abcd")].concat()),
        ("less than declared", [post(&three), data(frame::END_STREAM, b"ab")].concat()),
        ("nothing of what was declared", [post(&three), data(frame::END_STREAM, b"")].concat()),
        ("data behind the end", [post(&[]), data(frame::END_STREAM, b""), data(0, b"x")].concat()),
        ("data behind a reset", [post(&[]), frame(frame::RST_STREAM, 0, 1, &[0; 4]), data(0, b"x")].concat()),
        (
            "trailers behind a reset",
            [post(&[]), frame(frame::RST_STREAM, 0, 1, &[0; 4]), frame(frame::HEADERS, 5, 1, &[])].concat(),
        ),
        ("trailers without an end", [post(&[]), frame(frame::HEADERS, frame::END_HEADERS, 1, &[])].concat()),
        ("less than declared, with trailers", [post(&three), frame(frame::HEADERS, 5, 1, &[])].concat()),
        ("more than the window", [post(&[]), data(0, &[0; 60_000]).repeat(5)].concat()),
        ("window widened by nothing", [post(&[]), frame(frame::WINDOW_UPDATE, 0, 1, &[0; 4])].concat()),
        (
            "window widened beyond all",
            [post(&[]), frame(frame::WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff])].concat(),
        ),
    ] {
        let next = frame(frame::HEADERS, 5, 3, &GET);
        let (mut server, heard) = told(&[bytes, next].concat());
        assert_eq!(heard.unwrap().last().unwrap().0.id, 3, "{what}: the next request is served");
        let resets =
            frames(&drain(&mut server)).iter().filter(|(kind, ..)| *kind == frame::RST_STREAM).count();
        assert_eq!((resets, server.errors), (1, 1), "{what}");
    }
}

/// So that what a head costs is charged before the next one is decoded.
#[test]
fn requests_are_handed_out_one_by_one() {
    let mut server = server();
    let requests: Vec<u8> = [1, 3, 5].iter().flat_map(|id| frame(frame::HEADERS, 5, *id, &GET)).collect();
    let mut input = BytesMut::from(&[&hello()[..], &requests].concat()[..]);
    for left in [2, 1, 0] {
        assert!(server.receive(&mut input).unwrap().is_some());
        assert_eq!(input.len(), left * requests.len() / 3);
    }
}

#[test]
fn whoever_does_not_read_answers_is_not_read_from() {
    let mut server = server();
    drain(&mut server);
    let pings = frame(frame::PING, 0, 0, &[0; 8]);
    let mut input = BytesMut::from(&hello()[..]);
    let (mut count, mut stopped) = (0, false);
    while count < 100_000 && !stopped {
        input.extend_from_slice(&pings);
        // Limits of frames per second are others' business.
        server.floods = FloodCounter::new(crate::FloodLimits::default());
        server.receive(&mut input).unwrap();
        stopped = !input.is_empty();
        count += 1;
    }
    assert!(stopped && count < 2_000, "after {count} pings");
    drain(&mut server);
    server.receive(&mut input).unwrap();
    assert!(input.is_empty(), "it goes on when they were read");
}

#[test]
fn streams_beyond_the_limit_are_refused_and_those_that_ended_make_room() {
    let most = ServerOptions::default().max_concurrent_streams;
    let requests = |from: u32, count: u32| -> Vec<u8> {
        (0..count).flat_map(|n| frame(frame::HEADERS, 5, from + 2 * n, &GET)).collect()
    };
    let (mut server, heard) = told(&requests(1, most + 2));
    let heard = heard.unwrap();
    assert_eq!(heard.len(), most as usize);
    let refused = frames(&drain(&mut server)).into_iter().filter(|(kind, ..)| *kind == frame::RST_STREAM);
    assert!(
        refused
            .map(|(_, id, code)| (id, code))
            .eq([2 * most + 1, 2 * most + 3].map(|id| (id, vec![0, 0, 0, 7])))
    );
    server.respond(heard[0].0, StatusCode::OK, &HeaderMap::new(), true);
    assert_eq!(hear(&mut server, &requests(2 * most + 5, 2), 99).unwrap().len(), 1, "although it is held");
    hear(&mut server, &frame(frame::RST_STREAM, 0, 5, &[0, 0, 0, 8]), 99).unwrap();
    assert_eq!(hear(&mut server, &requests(2 * most + 9, 2), 99).unwrap().len(), 1);
}

#[test]
fn a_large_window_is_shared_in_turns() {
    let (mut server, heard) =
        told(&[1, 3].iter().flat_map(|id| frame(frame::HEADERS, 5, *id, &GET)).collect::<Vec<_>>());
    let keys: Vec<_> = heard.unwrap().into_iter().map(|(key, _)| key).collect();
    let cx = Context::from_waker(Waker::noop());
    for key in &keys {
        server.respond(*key, StatusCode::OK, &HeaderMap::new(), false);
    }
    // The connection's window is for one of them, and then for none.
    let room = server.room(keys[0]);
    server.send_data(keys[0], Bytes::from(vec![0; room]), false);
    drain(&mut server);
    for key in &keys {
        assert!(server.poll_room(*key, &cx, 10).is_pending());
    }
    assert_eq!((server.for_window.len(), server.grant()), (1, false), "the first waits for its own window");
    hear(&mut server, &frame(frame::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 20]), 99).unwrap();
    assert!(!server.grant());
    assert!(server.for_window.is_empty(), "who waited was woken");
    assert!(server.poll_room(keys[1], &cx, 10).is_ready());
}

/// What nobody reads takes nothing from others when it is given up.
#[test]
fn unread_data_gives_the_connections_window_back() {
    let post = |id| frame(frame::HEADERS, frame::END_HEADERS, id, &POST);
    let (mut server, heard) = told(&post(1));
    let key = heard.unwrap()[0].0;
    drain(&mut server);
    let full = frame(frame::DATA, 0, 1, &[0; 60_000]).repeat(4);
    hear(&mut server, &full, 10_000).unwrap();
    assert!(drain(&mut server).is_empty(), "nothing is given back before it is read");
    assert_eq!(server.stream(key).unwrap().unread, 240_000);
    server.release(key);
    for id in [3, 5] {
        let key = hear(&mut server, &post(id), 99).unwrap()[0].0;
        let full = frame(frame::DATA, 0, id, &[0; 60_000]).repeat(4);
        hear(&mut server, &full, 10_000).unwrap();
        server.release(key);
    }
    let widened: Vec<_> =
        frames(&drain(&mut server)).into_iter().filter(|(kind, ..)| *kind == frame::WINDOW_UPDATE).collect();
    assert_eq!(widened.len(), 1);
    assert_eq!(widened[0].1, 0);
}

/// What comes on a stream that was reset a moment ago is honest; on one that is long over it is an error.
#[test]
fn late_frames_are_told_from_wrong_ones() {
    let (mut server, heard) = told(&frame(frame::HEADERS, frame::END_HEADERS, 1, &POST));
    server.release(heard.unwrap()[0].0);
    let late = [
        frame(frame::DATA, 0, 1, b"late"),
        frame(frame::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
        frame(frame::HEADERS, 5, 1, &[0x40, 1, b'x', 1, b'y']),
        frame(frame::RST_STREAM, 0, 1, &[0; 4]),
    ];
    hear(&mut server, &late.concat(), 7).unwrap();
    assert_eq!(server.errors, 0);
    // The table of its trailers holds.
    let next = hear(&mut server, &frame(frame::HEADERS, 5, 3, &[&GET[..], &[0xbf]].concat()), 99).unwrap();
    assert_eq!(next[0].1.headers()["x"], "y");
    server.respond(next[0].0, StatusCode::OK, &HeaderMap::new(), true);
    server.release(next[0].0);
    hear(&mut server, &frame(frame::DATA, 0, 3, b"wrong"), 99).unwrap();
    assert_eq!(server.errors, 1);
}

#[test]
fn a_farewell_has_two_steps() {
    let (mut server, _) = told(&[]);
    drain(&mut server);
    server.announce_end();
    let said = frames(&drain(&mut server));
    assert_eq!((said[0].0, &said[0].2[..4]), (frame::GOAWAY, &[0x7f, 0xff, 0xff, 0xff][..]));
    assert_eq!(said[1].0, frame::PING);
    let late = hear(&mut server, &frame(frame::HEADERS, 5, 1, &GET), 99).unwrap();
    assert_eq!(late.len(), 1, "it was on its way");
    hear(&mut server, &frame(frame::PING, frame::ACK, 0, &said[1].2), 99).unwrap();
    assert_eq!(frames(&drain(&mut server)), [(frame::GOAWAY, 0, vec![0, 0, 0, 1, 0, 0, 0, 0])]);
    assert!(hear(&mut server, &frame(frame::HEADERS, 5, 3, &GET), 99).unwrap().is_empty());
    assert!(!server.is_finished());
    server.respond(late[0].0, StatusCode::OK, &HeaderMap::new(), true);
    server.release(late[0].0);
    assert!(server.is_finished());
}

#[test]
fn blocks_that_are_far_too_large_are_cut() {
    // One field of 4 KB in the table, then references to it.
    let field = [&[0x40, 1, b'x', 0x7f, 0x81, 0x1e][..], &[b'v'; 3968]].concat();
    let bomb = [&GET[..], &field, &[0xbe; 10_000]].concat();
    let (_, heard) = told(&frame(frame::HEADERS, 5, 1, &bomb));
    assert!(matches!(heard, Err(Fatal::Flood(Flood::HeaderBytes))), "{heard:?}");
    let pieces = frame(frame::CONTINUATION, 0, 1, &[0; 60_000]).repeat(5);
    let (_, heard) = told(&[frame(frame::HEADERS, 0, 1, &GET), pieces].concat());
    assert!(matches!(heard, Err(Fatal::Flood(Flood::HeaderBytes))), "{heard:?}");
}

#[test]
fn what_the_peer_does_not_look_at_after_goaway_is_told() {
    let mut client = client();
    hear(&mut client, &frame(frame::SETTINGS, 0, 0, &[]), 99).unwrap();
    let keys = [1, 3].map(|_| client.open(Purpose::Request, TARGET, &HeaderMap::new(), true).unwrap());
    hear(&mut client, &frame(frame::GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]), 99).unwrap();
    assert!(client.stream(keys[0]).unwrap().error.is_none());
    assert!(matches!(client.stream(keys[1]).unwrap().error, Some(StreamError::Unprocessed)));
    assert!(client.is_closed());
    assert!(client.open(Purpose::Request, TARGET, &HeaderMap::new(), true).is_none());
}
