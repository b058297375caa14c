#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod examples; // of RFC 7541 appendix C
mod hostile; // blocks that no encoder writes
mod round_trips; // random lists, there and back

use super::{HeaderField, HeaderList, HpackDecoder, HpackError};
use bytes::Bytes;

/// Bytes of a list that no test but those of the limit come near.
const LIST_BYTES_MAX: usize = 1 << 20;

fn hex(text: &str) -> Bytes {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// Name, value, whether it must never be indexed.
type Told = (Vec<u8>, Vec<u8>, bool);

fn told(field: &HeaderField) -> Told {
    (field.name.as_bytes().to_vec(), field.value.as_bytes().to_vec(), field.is_never_indexed)
}

/// What `decoder` makes of `block`; both ways of handing it over must agree.
fn decode(decoder: &mut HpackDecoder, block: &Bytes) -> Result<(Vec<Told>, HeaderList), HpackError> {
    let mut fields = Vec::new();
    let list = decoder.decode(block, |field| fields.push(told(&field)))?;
    Ok((fields, list))
}

/// `name: value` of each.
fn lines(fields: &[Told]) -> Vec<String> {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    fields.iter().map(|(name, value, _)| format!("{}: {}", text(name), text(value))).collect()
}
