//! Fields to blocks of bytes (RFC 7541 section 6). One encoder writes all blocks of a connection in one direction.
//!
//! What is worth a place in the table it knows by the name: values that are new each time, and secrets, get none.

use super::dynamic::{DynamicTable, ENTRY_OVERHEAD_BYTES, TABLE_BYTES_DEFAULT};
use super::hash::hash;
use super::{huffman, integer, statics};
use bytes::{BufMut, BytesMut};

/// Bytes of the table that we keep, however much the peer would.
const TABLE_BYTES_MAX: usize = TABLE_BYTES_DEFAULT;
/// Bytes of a cookie that nobody guesses one by one: a shorter one no table gets.
const COOKIE_BYTES_SAFE: usize = 20;
/// What a table of fields may be asked for at once: four that fall together are all found.
const WAYS: usize = 4;
/// So many times that: twice what the table can have entries.
const BUCKETS: usize = 64;

/// How strings are written that are not in a table yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StringCoding {
    /// Coded where that is shorter: for peers far away.
    Shortest,
    /// As they are: less work for both sides.
    Plain,
}

/// What becomes of a field that no table has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Indexing {
    /// It comes into the table.
    Table,
    /// It does not, because it would hardly be found there again; its name does, once.
    NameOnly,
    /// It must not, here or anywhere behind us.
    Never,
}

/// An entry of the table: name and value, one behind the other.
#[derive(Debug)]
struct SentField {
    name_hash: u32,
    hash: u32,
    name_len: usize,
    text: Box<[u8]>,
}

impl SentField {
    fn has_name(&self, name: &[u8]) -> bool {
        self.name_len == name.len() && self.text.starts_with(name)
    }

    fn is(&self, name: &[u8], value: &[u8]) -> bool {
        self.has_name(name) && self.text.get(self.name_len..) == Some(value)
    }
}

/// Finds entries by a hash: their numbers, counted from the first one ever. Numbers of entries that are gone stay
/// until another takes their place, so that dropping one costs nothing.
#[derive(Debug, Default)]
struct NumbersByHash {
    /// Empty before the first entry.
    buckets: Vec<[u32; WAYS]>,
}

impl NumbersByHash {
    fn bucket(&self, hash: u32) -> &[u32] {
        self.buckets.get(hash as usize % BUCKETS).map_or(&[], |bucket| bucket)
    }

    /// Notes the entry `number`, in the place of one that `may_go`, or of the oldest.
    fn note(&mut self, hash: u32, number: u32, may_go: impl Fn(u32) -> bool) {
        if self.buckets.is_empty() {
            self.buckets = vec![[0; WAYS]; BUCKETS];
        }
        let Some(bucket) = self.buckets.get_mut(hash as usize % BUCKETS) else { return };
        let age = |other: u32| if may_go(other) { u32::MAX } else { number.wrapping_sub(other) };
        if let Some(place) = bucket.iter_mut().max_by_key(|place| age(**place)) {
            *place = number;
        }
    }
}

/// Encodes the blocks of one direction of a connection.
#[derive(Debug)]
pub struct HpackEncoder {
    table: DynamicTable<SentField>,
    /// The number of the next entry.
    next: u32,
    by_field: NumbersByHash,
    by_name: NumbersByHash,
    /// The least size that the table has had since the last block, if the peer must hear of one.
    least_bytes_max: Option<usize>,
    coding: StringCoding,
}

impl HpackEncoder {
    /// Writes strings so.
    pub fn new(coding: StringCoding) -> Self {
        HpackEncoder {
            table: DynamicTable::new(),
            next: 0,
            by_field: NumbersByHash::default(),
            by_name: NumbersByHash::default(),
            least_bytes_max: None,
            coding,
        }
    }

    /// The peer allows a table of so many bytes by its `SETTINGS_HEADER_TABLE_SIZE`.
    pub fn set_table_bytes_max(&mut self, bytes_max: usize) {
        let bytes_max = bytes_max.min(TABLE_BYTES_MAX);
        if bytes_max != self.table.bytes_max() {
            self.table.resize(bytes_max);
            self.least_bytes_max = Some(self.least_bytes_max.unwrap_or(bytes_max).min(bytes_max));
        }
    }

    /// Begins a block: tells of changes of the table's size.
    pub fn begin(&mut self, block: &mut BytesMut) {
        let Some(least) = self.least_bytes_max.take() else { return };
        let bytes_max = self.table.bytes_max();
        if least < bytes_max {
            integer::encode(block, 0x20, 5, least);
        }
        integer::encode(block, 0x20, 5, bytes_max);
    }

    /// Writes a field to the block that was begun. The name is in lower case. With `is_never_indexed` no table gets
    /// it, here or anywhere behind us.
    pub fn field(&mut self, block: &mut BytesMut, name: &[u8], value: &[u8], is_never_indexed: bool) {
        let name_hash = hash(0, name);
        let known_name = statics::find_name(name, name_hash);
        let known = known_name.and_then(|first| statics::find_value(first, value));
        if let (Some(index), false) = (known, is_never_indexed) {
            return integer::encode(block, 0x80, 7, index);
        }
        let indexing = if is_never_indexed { Indexing::Never } else { indexing(name, value) };
        let bytes = name.len() + value.len() + ENTRY_OVERHEAD_BYTES;
        let fits = bytes <= self.table.bytes_max() / 4 * 3;
        if indexing == Indexing::Table && fits {
            let hash = hash(name_hash, value);
            if let Some(index) = self.find_field(hash, name, value) {
                return integer::encode(block, 0x80, 7, index);
            }
            let index = known_name.or_else(|| self.find_name(name_hash, name));
            self.literal(block, (0x40, 6), index, name, value);
            return self.insert(bytes, SentField::of(name, value, name_hash, hash));
        }
        let index = known_name.or_else(|| self.find_name(name_hash, name));
        if index.is_none() && indexing == Indexing::NameOnly && fits {
            self.literal(block, (0x40, 6), None, name, value);
            return self.insert(bytes, SentField::of(name, value, name_hash, hash(name_hash, value)));
        }
        let flags = if indexing == Indexing::Never { 0x10 } else { 0 };
        self.literal(block, (flags, 4), index, name, value);
    }

    /// A field whose name is at `index`, or told too; it begins with these flags and a number of so many bits.
    fn literal(
        &self,
        block: &mut BytesMut,
        (flags, prefix): (u8, u32),
        index: Option<usize>,
        name: &[u8],
        value: &[u8],
    ) {
        integer::encode(block, flags, prefix, index.unwrap_or(0));
        if index.is_none() {
            self.string(block, name);
        }
        self.string(block, value);
    }

    fn string(&self, block: &mut BytesMut, text: &[u8]) {
        if self.coding == StringCoding::Shortest {
            let coded_len = huffman::coded_len(text);
            if coded_len < text.len() {
                integer::encode(block, 0x80, 7, coded_len);
                return huffman::encode(text, block);
            }
        }
        integer::encode(block, 0, 7, text.len());
        block.put_slice(text);
    }

    fn find_field(&self, hash: u32, name: &[u8], value: &[u8]) -> Option<usize> {
        let is_it = |entry: &SentField| entry.hash == hash && entry.is(name, value);
        self.by_field.bucket(hash).iter().find_map(|number| self.index_if(*number, is_it))
    }

    fn find_name(&self, name_hash: u32, name: &[u8]) -> Option<usize> {
        let is_it = |entry: &SentField| entry.name_hash == name_hash && entry.has_name(name);
        self.by_name.bucket(name_hash).iter().find_map(|number| self.index_if(*number, is_it))
    }

    /// The index of the entry `number`, if it is there and the one that is meant.
    fn index_if(&self, number: u32, is_it: impl Fn(&SentField) -> bool) -> Option<usize> {
        let position = position(self.next, number);
        self.table.get(position).filter(|entry| is_it(entry)).map(|_| statics::STATIC_LEN + 1 + position)
    }

    fn insert(&mut self, bytes: usize, entry: SentField) {
        let (number, table) = (self.next, &self.table);
        let is_named = |other: u32| {
            let other = table.get(position(number, other));
            other.is_some_and(|other| other.name_hash == entry.name_hash)
        };
        self.by_name.note(entry.name_hash, number, is_named);
        self.by_field.note(entry.hash, number, |_| false);
        self.table.insert(bytes, entry);
        self.next = number.wrapping_add(1);
    }

    #[cfg(test)]
    pub(super) fn table_bytes(&self) -> usize {
        self.table.bytes()
    }
}

impl SentField {
    fn of(name: &[u8], value: &[u8], name_hash: u32, hash: u32) -> Self {
        SentField { name_hash, hash, name_len: name.len(), text: [name, value].concat().into() }
    }
}

/// Where the entry `number` is in the table when `next` is the next one's number: 0 is the newest.
fn position(next: u32, number: u32) -> usize {
    next.wrapping_sub(number).wrapping_sub(1) as usize
}

/// What becomes of a field that no table has, as RFC 7541 section 7.1.3 advises and browsers do.
fn indexing(name: &[u8], value: &[u8]) -> Indexing {
    match name {
        b"authorization" | b"proxy-authorization" | b"set-cookie" => Indexing::Never,
        b"cookie" if value.len() < COOKIE_BYTES_SAFE => Indexing::Never,
        // Another one each time, or nearly.
        b":path" | b"age" | b"content-length" | b"content-range" | b"etag" | b"grpc-timeout"
        | b"if-modified-since" | b"if-none-match" | b"if-range" | b"last-modified" | b"location"
        | b"range" | b"traceparent" | b"x-b3-spanid" | b"x-b3-traceid" | b"x-request-id" => {
            Indexing::NameOnly
        }
        _ => Indexing::Table,
    }
}
