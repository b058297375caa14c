//! Random lists of fields, written by our encoder and read by our decoder.

use super::{LIST_BYTES_MAX, Told, decode, told};
use crate::http2::hpack::{HeaderList, HpackDecoder, HpackEncoder, StringCoding, huffman};
use bytes::{Bytes, BytesMut};

/// A small generator: the same numbers each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn one_of<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn text(&mut self, len_max: usize) -> Vec<u8> {
        let last = if self.below(4) == 0 { 256 } else { 0x7f };
        (0..self.below(len_max + 1)).map(|_| (b' ' as usize + self.below(last - 0x20)) as u8).collect()
    }
}

const NAMES: &[&str] = &[
    ":method",
    ":path",
    ":status",
    ":authority",
    "accept",
    "authorization",
    "cache-control",
    "content-length",
    "cookie",
    "date",
    "set-cookie",
    "via",
    "x-request-id",
    "x-tenant",
    "grpc-status",
    "traceparent",
    "www-authenticate",
];
const VALUES: &[&str] =
    &["", "GET", "/", "200", "404", "gzip, deflate", "a=b", "no-cache", "application/grpc"];

fn field(dice: &mut Dice) -> Told {
    let name = match dice.below(5) {
        0 => format!("x-{}", dice.below(200)).into_bytes(),
        _ => dice.one_of(NAMES).as_bytes().to_vec(),
    };
    let value = match dice.below(3) {
        0 => dice.text(120),
        1 => format!("{}", dice.below(60)).into_bytes(),
        _ => dice.one_of(VALUES).as_bytes().to_vec(),
    };
    (name, value, dice.below(20) == 0)
}

/// Whether a table must not have it, told by whoever sent it or by its name.
fn is_secret((name, value, never): &Told) -> bool {
    *never
        || matches!(name.as_slice(), b"authorization" | b"proxy-authorization" | b"set-cookie")
        || (name == b"cookie" && value.len() < 20)
}

fn check(seed: u64, coding: StringCoding) {
    let mut dice = Dice(seed);
    let (mut encoder, mut decoder) = (HpackEncoder::new(coding), HpackDecoder::new(LIST_BYTES_MAX));
    for round in 0..400 {
        for _ in 0..dice.below(3) * dice.below(2) {
            let bytes_max = dice.below(5_000);
            encoder.set_table_bytes_max(bytes_max);
            decoder.set_table_bytes_max(bytes_max);
        }
        let sent: Vec<Told> = (0..dice.below(20)).map(|_| field(&mut dice)).collect();
        let mut block = BytesMut::new();
        encoder.begin(&mut block);
        for (name, value, never) in &sent {
            encoder.field(&mut block, name, value, *never);
        }
        let (received, list) = decode(&mut decoder, &block.freeze()).unwrap();
        assert_eq!(received.len(), sent.len(), "seed {seed}, block {round}");
        for (sent, received) in sent.iter().zip(&received) {
            assert_eq!((&sent.0, &sent.1), (&received.0, &received.1), "seed {seed}, block {round}");
            // What a static entry has is no secret.
            let is_static = VALUES.contains(&&*String::from_utf8_lossy(&sent.1)) && !sent.2;
            assert!(received.2 == is_secret(sent) || is_static, "seed {seed}, block {round}: {sent:?}");
        }
        let bytes = sent.iter().map(|(name, value, _)| name.len() + value.len() + 32).sum();
        assert_eq!(list, HeaderList::Whole { bytes });
        assert_eq!(encoder.table_bytes(), decoder.table().bytes(), "seed {seed}, block {round}");
    }
}

#[test]
fn what_is_written_is_read_and_the_tables_stay_alike() {
    for seed in 0..20 {
        check(seed, StringCoding::Plain);
        check(seed, StringCoding::Shortest);
    }
}

#[test]
fn every_string_survives_its_code() {
    let mut dice = Dice(1);
    let all: Vec<u8> = (0..=255).collect();
    let random = |dice: &mut Dice| (0..dice.below(64)).map(|_| dice.below(256) as u8).collect::<Vec<_>>();
    let texts = (0..2_000).map(|_| random(&mut dice)).chain([all]);
    for text in texts {
        let (mut coded, mut out) = (BytesMut::new(), BytesMut::from(&b"before"[..]));
        huffman::encode(&text, &mut coded);
        assert_eq!(coded.len(), huffman::coded_len(&text));
        huffman::decode(&coded, &mut out).unwrap();
        assert_eq!(&out[6..], text);
    }
}

/// What `fields` are coded as, as a block of its own.
fn block_of(encoder: &mut HpackEncoder, fields: &[(&str, &str)]) -> Bytes {
    let mut block = BytesMut::new();
    encoder.begin(&mut block);
    for (name, value) in fields {
        encoder.field(&mut block, name.as_bytes(), value.as_bytes(), false);
    }
    block.freeze()
}

#[test]
fn what_is_sent_again_is_one_byte_each_even_when_much_is_in_the_table() {
    let mut encoder = HpackEncoder::new(StringCoding::Shortest);
    let names: Vec<String> = (0..60).map(|n| format!("x-name-{n}")).collect();
    let fields: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "some value")).collect();
    assert!(block_of(&mut encoder, &fields).len() > 500);
    assert_eq!(block_of(&mut encoder, &fields).len(), fields.len());
}

#[test]
fn values_that_are_new_each_time_get_no_place_in_the_table() {
    let mut encoder = HpackEncoder::new(StringCoding::Plain);
    block_of(&mut encoder, &[("x-request-id", "first"), (":path", "/a")]);
    let table_bytes = encoder.table_bytes();
    for _ in 0..3 {
        let block = block_of(&mut encoder, &[("x-request-id", "other"), (":path", "/b")]);
        assert_eq!(block.len(), 2 + 1 + 5 + 1 + 1 + 2, "the name is known");
        assert_eq!(encoder.table_bytes(), table_bytes);
    }
}

#[test]
fn sizes_told_between_blocks_are_the_least_and_the_last() {
    let mut encoder = HpackEncoder::new(StringCoding::Plain);
    encoder.set_table_bytes_max(10);
    encoder.set_table_bytes_max(0);
    encoder.set_table_bytes_max(20);
    assert_eq!(block_of(&mut encoder, &[]), &[0x20, 0x34][..]);
    assert_eq!(block_of(&mut encoder, &[]), &[][..], "told once");
    encoder.set_table_bytes_max(20);
    assert_eq!(block_of(&mut encoder, &[]), &[][..], "no change");
    encoder.set_table_bytes_max(1 << 30);
    assert_eq!(block_of(&mut encoder, &[]), &[0x3f, 0xe1, 0x1f][..], "no more than we keep");
}

#[test]
fn values_share_the_memory_of_the_table_or_of_the_block() {
    let mut decoder = HpackDecoder::new(LIST_BYTES_MAX);
    let block = Bytes::from_static(b"\x40\x01a\x0ca long value\x00\x01b\x0ca long value");
    let mut places = Vec::new();
    decoder.decode(&block, |field| places.push(field.value.as_bytes().as_ptr())).unwrap();
    assert!(!block.as_ptr_range().contains(&places[0]), "the table keeps no block");
    assert!(block.as_ptr_range().contains(&places[1]));
    decoder
        .decode(&Bytes::from_static(b"\xbe"), |field| {
            assert_eq!(told(&field), (b"a".to_vec(), b"a long value".to_vec(), false));
            assert_eq!(field.value.as_bytes().as_ptr(), places[0]);
        })
        .unwrap();
}
