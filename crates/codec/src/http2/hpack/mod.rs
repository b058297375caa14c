//! HPACK (RFC 7541): blocks of bytes to fields and back, with the two tables that make them short.
//!
//! Pure: no frames, no streams, no opinion on what fields a request may have, and nothing that input can make panic.
//! Read next: `decoder`, `encoder`.

mod decoder; // a block of bytes -> fields
mod encoder; // fields -> a block of bytes

mod dynamic; // the table that both sides build alike
mod error; // why a block has no reading
mod field; // a name and a value, ready for `http`
mod hash; // where the encoder looks
mod huffman; // the code of strings
mod integer; // numbers and lengths
mod statics; // the table that never changes

pub use decoder::{HeaderList, HpackDecoder};
pub use dynamic::TABLE_BYTES_DEFAULT;
pub use encoder::{HpackEncoder, StringCoding};
pub use error::HpackError;
pub use field::{FieldName, FieldValue, HeaderField};

#[cfg(test)]
mod tests;
