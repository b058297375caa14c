//! Blocks that no honest encoder writes.

use super::{LIST_BYTES_MAX, decode, hex, lines};
use crate::http2::hpack::{
    FieldName, FieldValue, HeaderList, HpackDecoder, HpackEncoder, HpackError, StringCoding,
};
use bytes::{Bytes, BytesMut};

fn check(block: &str, expected: HpackError) {
    let result = decode(&mut HpackDecoder::new(LIST_BYTES_MAX), &hex(block));
    assert_eq!(result.unwrap_err(), expected, "{block}");
}

#[test]
fn blocks_without_a_reading() {
    check("40", HpackError::Truncated);
    check("4001", HpackError::Truncated);
    check("400161", HpackError::Truncated);
    check("4001610262", HpackError::Truncated);
    check("ff", HpackError::Truncated);
    check("ff80", HpackError::Truncated);
    check("3f", HpackError::Truncated);
    check("ff8080808001", HpackError::NumberTooLarge);
    check("ffffffffffff0f", HpackError::NumberTooLarge);
    check("00ffffffffff0f", HpackError::NumberTooLarge);
    check("80", HpackError::NoSuchEntry);
    check("be", HpackError::NoSuchEntry);
    check("7e0161", HpackError::NoSuchEntry);
    check("0f2f0161", HpackError::NoSuchEntry);
}

#[test]
fn codes_that_are_none() {
    // The end of a string; within one, and where a longer code would follow.
    check("0001618 4ffffffff", HpackError::BadCode);
    check("0001 6185 1fffffffff", HpackError::BadCode);
    // A byte of padding; padding that is not ones; a code that is cut.
    check("0001 6182 1fff", HpackError::BadCode);
    check("0001 6181 18", HpackError::BadCode);
    check("0001 6181 ff", HpackError::BadCode);
    check("0001 6182 fffe", HpackError::BadCode);
    check("0081 ff0162", HpackError::BadCode);
    let (fields, _) = decode(&mut HpackDecoder::new(LIST_BYTES_MAX), &hex("0001 6181 1f")).unwrap();
    assert_eq!(lines(&fields), ["a: a"]);
    let (fields, _) = decode(&mut HpackDecoder::new(LIST_BYTES_MAX), &hex("0001 6180")).unwrap();
    assert_eq!(lines(&fields), ["a: "]);
}

#[test]
fn the_tables_size_changes_at_the_front_and_within_what_we_allow() {
    check("8220", HpackError::BadTableSize);
    check("3fe21f", HpackError::BadTableSize);
    let mut decoder = HpackDecoder::new(LIST_BYTES_MAX);
    assert!(decode(&mut decoder, &hex("203fe11f82")).is_ok());
    decoder.set_table_bytes_max(100);
    assert_eq!(decode(&mut decoder, &hex("82")).unwrap_err(), HpackError::TableSizeMissing);
    assert_eq!(decode(&mut decoder, &hex("3f46")).unwrap_err(), HpackError::BadTableSize);
    assert!(decode(&mut decoder, &hex("3f4582")).is_ok());
    assert!(decode(&mut decoder, &hex("82")).is_ok());
    decoder.set_table_bytes_max(8_000);
    assert!(decode(&mut decoder, &hex("82")).is_ok(), "it need not use all");
    assert!(decode(&mut decoder, &hex("3fa13e82")).is_ok());
}

#[test]
fn an_entry_larger_than_the_table_empties_it() {
    let mut decoder = HpackDecoder::new(LIST_BYTES_MAX);
    decode(&mut decoder, &hex("4001610162")).unwrap();
    let large = [b"\x40\x01a\x7f\x81\x1f".to_vec(), vec![b'v'; 4096]].concat();
    decode(&mut decoder, &large.into()).unwrap();
    assert_eq!(decoder.table().bytes(), 0);
    assert_eq!(decode(&mut decoder, &hex("be")).unwrap_err(), HpackError::NoSuchEntry);
}

#[test]
fn of_a_list_that_is_too_large_only_what_fits_is_handed_out_and_the_table_goes_on() {
    let mut decoder = HpackDecoder::new(100);
    let (fields, list) = decode(&mut decoder, &hex("4001610162 be be be")).unwrap();
    assert_eq!((lines(&fields).len(), list), (2, HeaderList::TooLarge { bytes: 136 }));
    let (fields, list) = decode(&mut decoder, &hex("be 4001630164")).unwrap();
    assert_eq!((lines(&fields), list), (vec!["a: b".into(), "c: d".into()], HeaderList::Whole { bytes: 68 }));
    let block = [[0xbe; 10].to_vec(), hex("4001650166").to_vec()].concat();
    assert!(matches!(decode(&mut decoder, &block.into()).unwrap().1, HeaderList::TooLarge { .. }));
    assert_eq!(lines(&decode(&mut decoder, &hex("be")).unwrap().0), ["e: f"]);
}

#[test]
fn one_byte_for_much_costs_no_memory() {
    let mut decoder = HpackDecoder::new(LIST_BYTES_MAX);
    let large = [b"\x40\x01a\x7f\xa1\x1e".to_vec(), vec![b'v'; 4000]].concat();
    decode(&mut decoder, &large.into()).unwrap();
    let mut handed_out = 0;
    let list = decoder.decode(&vec![0xbe; 100_000].into(), |_| handed_out += 1).unwrap();
    assert_eq!(list, HeaderList::TooLarge { bytes: 100_000 * 4033 });
    assert!(handed_out < 300);
}

#[test]
fn names_and_values_that_no_message_may_have_are_told() {
    let names = ["", "Upper", ":unknown", "with space", "a:b", "\u{e4}"];
    for name in names {
        assert!(matches!(FieldName::parse(name.as_bytes()), FieldName::Malformed(_)), "{name}");
        assert_eq!(FieldName::parse(name.as_bytes()).as_bytes(), name.as_bytes());
    }
    let name = FieldName::parse(b"a");
    for value in ["a\rb", "a\nb", "a\0b", "\x7f"] {
        assert!(matches!(FieldValue::parse(&name, value.into()), FieldValue::Raw(_)), "{value:?}");
    }
}

#[test]
fn secrets_are_told_as_such() {
    let mut decoder = HpackDecoder::new(LIST_BYTES_MAX);
    decoder
        .decode_borrowed(&hex("1001610162"), |field| {
            assert!(field.is_never_indexed);
            assert!(matches!(&field.value, FieldValue::Header(value) if value.is_sensitive()));
        })
        .unwrap();
    assert_eq!(decoder.table().bytes(), 0);
}

/// A block as our encoder writes it, of much that is common.
fn honest() -> Bytes {
    let mut block = BytesMut::new();
    let mut encoder = HpackEncoder::new(StringCoding::Shortest);
    for (name, value) in [
        (":method", "GET"),
        (":path", "/a?b=c"),
        ("cookie", "short"),
        ("x-tenant", "t-17"),
        ("x-request-id", "0b9f\u{e4}"),
        ("x-tenant", "t-17"),
    ] {
        encoder.field(&mut block, name.as_bytes(), value.as_bytes(), false);
    }
    block.freeze()
}

#[test]
fn cut_anywhere_it_is_an_error_or_fewer_fields() {
    let block = honest();
    let whole = decode(&mut HpackDecoder::new(LIST_BYTES_MAX), &block).unwrap().0;
    for cut in 0..block.len() {
        if let Ok((fields, _)) = decode(&mut HpackDecoder::new(LIST_BYTES_MAX), &block.slice(..cut)) {
            assert!(fields.len() < whole.len());
            assert_eq!(fields, whole[..fields.len()]);
        }
    }
}

#[test]
fn any_bytes_have_one_reading_or_none() {
    let mut state = 3_u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let honest = honest();
    for _ in 0..20_000 {
        let mut block = if random(2) == 0 { honest.to_vec() } else { vec![0; random(40)] };
        for _ in 0..random(8) + 1 {
            if !block.is_empty() {
                let at = random(block.len());
                block[at] = random(256) as u8;
            }
        }
        let (mut shared, mut borrowed) = (HpackDecoder::new(1_000), HpackDecoder::new(1_000));
        for _ in 0..2 {
            let mut fields = Vec::new();
            let result = shared.decode(&block.clone().into(), |field| fields.push(field));
            let mut copied = Vec::new();
            assert_eq!(borrowed.decode_borrowed(&block, |field| copied.push(field)), result, "{block:x?}");
            assert_eq!(fields, copied, "{block:x?}");
            assert_eq!(shared.table().bytes(), borrowed.table().bytes());
            assert!(shared.table().bytes() <= 4096);
        }
    }
}
