//! Blocks of bytes to fields (RFC 7541 section 3). One decoder follows all blocks of a connection in one direction.
//!
//! It takes whole blocks: whoever has one in several frames puts them together. A block with an error ends the
//! connection; a list that is too large does not, because the table stays in step.

use super::dynamic::{DynamicTable, TABLE_BYTES_DEFAULT};
use super::error::HpackError;
use super::field::{FieldName, FieldValue, HeaderField};
use super::{huffman, integer, statics};
use bytes::{Bytes, BytesMut};

/// Bytes of room for coded strings that are kept between blocks.
const SCRATCH_BYTES_KEPT: usize = 4096;

/// What kind of field a block says is next, by its first bits.
const INDEXED: u8 = 0x80;
const LITERAL_INTO_TABLE: u8 = 0x40;
const TABLE_SIZE: u8 = 0x20;
const LITERAL_NEVER_INDEXED: u8 = 0x10;
/// Of a string: it is coded.
const CODED: u8 = 0x80;

/// How a block ended that has a reading. Sizes are in bytes, as RFC 9113 section 6.5.2 counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderList {
    /// All fields were handed out.
    Whole {
        /// Of all of them.
        bytes: usize,
    },
    /// It is larger than allowed: only the fields that fit were handed out, and the message must be refused.
    TooLarge {
        /// Of all of them, also of those that were not handed out.
        bytes: usize,
    },
}

/// Decodes the blocks of one direction of a connection.
#[derive(Debug)]
pub struct HpackDecoder {
    table: DynamicTable<HeaderField>,
    /// What the peer has confirmed that it may make of the table, in bytes.
    table_bytes_max: usize,
    /// It has not made it so small yet, and must at the front of its next block.
    must_resize: bool,
    list_bytes_max: usize,
    /// Strings as they are without their code.
    scratch: BytesMut,
}

impl HpackDecoder {
    /// Hands out lists of at most `list_bytes_max` bytes.
    pub fn new(list_bytes_max: usize) -> Self {
        HpackDecoder {
            table: DynamicTable::new(),
            table_bytes_max: TABLE_BYTES_DEFAULT,
            must_resize: false,
            list_bytes_max,
            scratch: BytesMut::new(),
        }
    }

    /// The peer has confirmed the `SETTINGS_HEADER_TABLE_SIZE` that it was sent.
    pub fn set_table_bytes_max(&mut self, table_bytes_max: usize) {
        self.table_bytes_max = table_bytes_max;
        self.must_resize = table_bytes_max < self.table.bytes_max();
    }

    /// Hands out the fields of `block` in their order. Values that are not coded, and that no table has, share its
    /// memory.
    pub fn decode(
        &mut self,
        block: &Bytes,
        on_field: impl FnMut(HeaderField),
    ) -> Result<HeaderList, HpackError> {
        self.decode_from(block, Some(block), on_field)
    }

    /// As `decode`, of a block that nobody can share: values are copied.
    pub fn decode_borrowed(
        &mut self,
        block: &[u8],
        on_field: impl FnMut(HeaderField),
    ) -> Result<HeaderList, HpackError> {
        self.decode_from(block, None, on_field)
    }

    fn decode_from(
        &mut self,
        block: &[u8],
        owner: Option<&Bytes>,
        mut on_field: impl FnMut(HeaderField),
    ) -> Result<HeaderList, HpackError> {
        let mut rest = self.resizes(block)?;
        let mut list_bytes = 0_usize;
        while let Some(&first) = rest.first() {
            let field = if first & INDEXED != 0 {
                let known = self.find(integer::decode(&mut rest, 7)?)?;
                list_bytes = list_bytes.saturating_add(known.size());
                if list_bytes > self.list_bytes_max {
                    continue;
                }
                known.clone()
            } else {
                let field = self.literal(&mut rest, first, owner)?;
                list_bytes = list_bytes.saturating_add(field.size());
                if list_bytes > self.list_bytes_max {
                    continue;
                }
                field
            };
            on_field(field);
        }
        if self.scratch.capacity() > SCRATCH_BYTES_KEPT {
            self.scratch = BytesMut::new();
        }
        Ok(match list_bytes {
            bytes if bytes > self.list_bytes_max => HeaderList::TooLarge { bytes },
            bytes => HeaderList::Whole { bytes },
        })
    }

    /// Takes the changes of the table's size off the front of `block`: nowhere else they may be.
    fn resizes<'b>(&mut self, mut block: &'b [u8]) -> Result<&'b [u8], HpackError> {
        while block.first().is_some_and(|first| first & 0xe0 == TABLE_SIZE) {
            let bytes_max = integer::decode(&mut block, 5)?;
            if bytes_max > self.table_bytes_max {
                return Err(HpackError::BadTableSize);
            }
            self.table.resize(bytes_max);
            self.must_resize = false;
        }
        if self.must_resize { Err(HpackError::TableSizeMissing) } else { Ok(block) }
    }

    fn find(&self, index: usize) -> Result<&HeaderField, HpackError> {
        let known = statics::get(index);
        known
            .or_else(|| self.table.get(index.checked_sub(statics::STATIC_LEN + 1)?))
            .ok_or(HpackError::NoSuchEntry)
    }

    /// A field whose value, at least, is told in the block; `first` is its first byte.
    fn literal(
        &mut self,
        rest: &mut &[u8],
        first: u8,
        owner: Option<&Bytes>,
    ) -> Result<HeaderField, HpackError> {
        if first & LITERAL_INTO_TABLE != 0 {
            let name = self.name(rest, 6)?;
            // A copy: an entry of a few bytes must not hold the whole block.
            let value = match string(rest)? {
                (text, false) => Bytes::copy_from_slice(text),
                (coded, true) => {
                    self.scratch.clear();
                    huffman::decode(coded, &mut self.scratch)?;
                    Bytes::copy_from_slice(&self.scratch)
                }
            };
            let value = FieldValue::parse(&name, value);
            let field = HeaderField { name, value, is_never_indexed: false };
            self.table.insert(field.size(), field.clone());
            return Ok(field);
        }
        if first & TABLE_SIZE != 0 {
            return Err(HpackError::BadTableSize);
        }
        let is_never_indexed = first & LITERAL_NEVER_INDEXED != 0;
        let name = self.name(rest, 4)?;
        let value = match (string(rest)?, owner) {
            ((text, false), Some(owner)) => owner.slice_ref(text),
            ((text, false), None) => Bytes::copy_from_slice(text),
            ((coded, true), _) => {
                self.scratch.clear();
                huffman::decode(coded, &mut self.scratch)?;
                self.scratch.split().freeze()
            }
        };
        let mut value = FieldValue::parse(&name, value);
        if let (FieldValue::Header(value), true) = (&mut value, is_never_indexed) {
            value.set_sensitive(true);
        }
        Ok(HeaderField { name, value, is_never_indexed })
    }

    /// The name of a literal: of an entry, or told.
    fn name(&mut self, rest: &mut &[u8], prefix: u32) -> Result<FieldName, HpackError> {
        let index = integer::decode(rest, prefix)?;
        if index != 0 {
            return Ok(self.find(index)?.name.clone());
        }
        match string(rest)? {
            (name, false) => Ok(FieldName::parse(name)),
            (coded, true) => {
                self.scratch.clear();
                huffman::decode(coded, &mut self.scratch)?;
                Ok(FieldName::parse(&self.scratch))
            }
        }
    }

    #[cfg(test)]
    pub(super) fn table(&self) -> &DynamicTable<HeaderField> {
        &self.table
    }
}

/// Takes a string off the front of `rest`, as it is there; true: it is coded.
fn string<'b>(rest: &mut &'b [u8]) -> Result<(&'b [u8], bool), HpackError> {
    let is_coded = rest.first().ok_or(HpackError::Truncated)? & CODED != 0;
    let len = integer::decode(rest, 7)?;
    let (text, behind) = rest.split_at_checked(len).ok_or(HpackError::Truncated)?;
    *rest = behind;
    Ok((text, is_coded))
}
