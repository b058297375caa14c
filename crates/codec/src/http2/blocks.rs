//! Follows the peer's blocks of fields (HPACK, RFC 7541) beside the `h2` crate, because the crate hides what it
//! tolerated: it cuts a fragment off `:path`, drops the pseudo-fields of trailers and those of requests in responses,
//! and of trailers all that is more than the limit, as if nothing had been there.
//!
//! It keeps no strings: of each field only the lengths, and whether it matters. What it cannot follow it refuses.

mod huffman;

use std::collections::VecDeque;
use std::ops::Range;

use huffman::measure;

/// Bytes of the peer's dynamic table, as the crate announces it (the protocol's default).
const TABLE_BYTES_MAX: usize = 4096;
/// What an entry of a table, and a field of a list, counts for beside its name and value (RFC 7541 section 4.1).
const FIELD_BYTES: usize = 32;
/// Digits of a number: more are no length of anything here.
const NUMBER_BYTES_MAX: usize = 5;
/// Bytes of a block as it comes. More: it is refused unread, and all after it.
const BLOCK_BYTES_MAX: usize = 256 * 1024;

const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// Lengths of names and values in the static table (RFC 7541 appendix A).
const STATIC: [(u8, u8); 61] = [
    (10, 0),
    (7, 3),
    (7, 4),
    (5, 1),
    (5, 11),
    (7, 4),
    (7, 5),
    (7, 3),
    (7, 3),
    (7, 3),
    (7, 3),
    (7, 3),
    (7, 3),
    (7, 3),
    (14, 0),
    (15, 13),
    (15, 0),
    (13, 0),
    (6, 0),
    (27, 0),
    (3, 0),
    (5, 0),
    (13, 0),
    (13, 0),
    (19, 0),
    (16, 0),
    (16, 0),
    (14, 0),
    (16, 0),
    (13, 0),
    (12, 0),
    (6, 0),
    (4, 0),
    (4, 0),
    (6, 0),
    (7, 0),
    (4, 0),
    (4, 0),
    (8, 0),
    (17, 0),
    (13, 0),
    (8, 0),
    (19, 0),
    (13, 0),
    (4, 0),
    (8, 0),
    (12, 0),
    (18, 0),
    (19, 0),
    (5, 0),
    (7, 0),
    (7, 0),
    (11, 0),
    (6, 0),
    (10, 0),
    (25, 0),
    (17, 0),
    (10, 0),
    (4, 0),
    (3, 0),
    (16, 0),
];
/// Where pseudo-fields are in it.
const STATIC_PSEUDO_LAST: usize = 14;
/// Where `:status` is in it, each time with the status of a final response.
const STATIC_STATUS: std::ops::RangeInclusive<usize> = 8..=14;
/// Where `:path` is in it.
const STATIC_PATH: std::ops::RangeInclusive<usize> = 4..=5;

/// A colon: seven bits.
const CODED_COLON: u8 = 0x5c;
/// `:path` as its code.
const PATH_CODED: &[u8] = &[0xb9, 0x58, 0xd3, 0x3f];
/// `:status` as its code.
const STATUS_CODED: &[u8] = &[0xb8, 0x84, 0x8d, 0x36, 0xa3];
/// The digit one: five bits.
const CODED_ONE: u8 = 0x1;

/// What a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Path,
    /// `:status` of a final response.
    Status,
    /// `:status` of an interim one.
    Interim,
    Pseudo,
    Ordinary,
}

/// A field of which only this is known.
#[derive(Clone, Copy, Debug)]
struct Field {
    name: Name,
    name_len: usize,
    value_len: usize,
    /// `:path` with a fragment.
    has_fragment: bool,
}

impl Field {
    fn size(&self) -> usize {
        self.name_len + self.value_len + FIELD_BYTES
    }
}

/// A string of which only this is known.
struct Text {
    len: usize,
    starts_with_colon: bool,
    starts_with_one: bool,
    is_path: bool,
    is_status: bool,
    has_fragment: bool,
}

impl Text {
    /// Which name it is.
    fn name(&self) -> Name {
        match self {
            Text { is_path: true, .. } => Name::Path,
            Text { is_status: true, .. } => Name::Status,
            Text { starts_with_colon: true, .. } => Name::Pseudo,
            _ => Name::Ordinary,
        }
    }
}

/// The block has no reading.
struct Unreadable;

/// Who the peer is: this says what its blocks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PeerRole {
    /// Its first block on a stream is a request, any other trailers.
    Client,
    /// Who asks knows which of its blocks are trailers.
    Server,
}

/// Follows all blocks of one connection in one direction.
#[derive(Debug)]
pub(super) struct Blocks {
    peer: PeerRole,
    /// Bytes of a list of fields that the crate takes; see there for how it counts.
    list_bytes_max: usize,
    /// Newest first.
    table: VecDeque<Field>,
    table_bytes: usize,
    table_bytes_max: usize,
    last_stream: u32,
    /// Of the block that is open.
    is_trailers: bool,
    /// The part of the block that came in earlier frames, or of the frame that came in earlier reads.
    pending: Vec<u8>,
    /// Where in it the frame at hand begins.
    frame_start: usize,
    /// Something was unreadable: nothing behind it has a meaning.
    is_lost: bool,
}

/// What a block was, of its own stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// Nothing against it, or not complete yet.
    Passes,
    /// As well, and it is the head of a final response.
    Answers,
    /// The stream must end with an error.
    Refused,
}

impl Blocks {
    pub(super) fn new(peer: PeerRole, list_bytes_max: usize) -> Self {
        Blocks {
            peer,
            list_bytes_max,
            table: VecDeque::new(),
            table_bytes: 0,
            table_bytes_max: TABLE_BYTES_MAX,
            last_stream: 0,
            is_trailers: false,
            pending: Vec::new(),
            frame_start: 0,
            is_lost: false,
        }
    }

    pub(super) fn peer(&self) -> PeerRole {
        self.peer
    }

    /// A frame `HEADERS` begins on `stream`.
    pub(super) fn begin(&mut self, stream: u32) {
        self.pending.clear();
        self.frame_start = 0;
        self.is_trailers = self.peer == PeerRole::Client && stream <= self.last_stream;
        self.last_stream = self.last_stream.max(stream);
    }

    /// The block that begins, of a server, comes after the head of its response.
    pub(super) fn expect_trailers(&mut self) {
        self.is_trailers = true;
    }

    /// A piece of the payload of a frame `HEADERS` or `CONTINUATION` with these flags; `is_last`: it ends here.
    pub(super) fn piece(&mut self, is_first_frame: bool, flags: u8, piece: &[u8], is_last: bool) -> Judged {
        let ends_block = is_last && flags & END_HEADERS != 0;
        let judged = if is_last && self.pending.is_empty() && ends_block {
            // Nearly always: nothing is copied.
            fields_in(is_first_frame, flags, piece).and_then(|fields| self.block(&piece[fields]))
        } else {
            self.pending.extend_from_slice(piece);
            self.gather(is_first_frame, flags, is_last, ends_block)
        };
        match judged {
            Ok(judged) if !self.is_lost => judged,
            // The crate ends the connection by itself; if it can read on, we cannot vouch for it.
            _ => {
                self.is_lost = true;
                self.pending = Vec::new();
                if ends_block { Judged::Refused } else { Judged::Passes }
            }
        }
    }

    fn gather(
        &mut self,
        is_first_frame: bool,
        flags: u8,
        is_last: bool,
        ends_block: bool,
    ) -> Result<Judged, Unreadable> {
        if self.is_lost || self.pending.len() > BLOCK_BYTES_MAX {
            return Err(Unreadable);
        }
        if is_last {
            let frame = self.pending.get(self.frame_start..).ok_or(Unreadable)?;
            let fields = fields_in(is_first_frame, flags, frame)?;
            let (start, len) = (self.frame_start + fields.start, fields.len());
            self.pending.copy_within(start..start + len, self.frame_start);
            self.frame_start += len;
            self.pending.truncate(self.frame_start);
        }
        if !ends_block {
            return Ok(Judged::Passes);
        }
        let block = std::mem::take(&mut self.pending);
        // A peer that breaks the protocol may go on without another begin.
        self.frame_start = 0;
        self.block(&block)
    }

    fn block(&mut self, block: &[u8]) -> Result<Judged, Unreadable> {
        let (size, judged) = self.list(block)?;
        // Of requests the crate tells by itself when they are too large.
        let is_large = size >= self.list_bytes_max && (self.is_trailers || self.peer == PeerRole::Server);
        Ok(if is_large { Judged::Refused } else { judged })
    }

    /// The size of a list of fields, and whether there is one in it that must not be.
    fn list(&mut self, mut block: &[u8]) -> Result<(usize, Judged), Unreadable> {
        let (mut size, mut is_bad, mut is_final) = (0, false, false);
        while let Some(&first) = block.first() {
            let field = match first {
                0x80.. => {
                    let index = number(&mut block, 7)?;
                    self.find(index)?
                }
                0x40..=0x7f => {
                    let field = self.literal(&mut block, 6)?;
                    self.insert(field);
                    field
                }
                0x20..=0x3f => {
                    let bytes = number(&mut block, 5)?;
                    if bytes > TABLE_BYTES_MAX {
                        return Err(Unreadable);
                    }
                    self.table_bytes_max = bytes;
                    self.evict(0);
                    continue;
                }
                _ => self.literal(&mut block, 4)?,
            };
            size += field.size();
            is_bad |= field.has_fragment || !self.may_have(field.name);
            is_final |= field.name == Name::Status;
        }
        let judged = match (is_bad, is_final) {
            (true, _) => Judged::Refused,
            (false, true) => Judged::Answers,
            (false, false) => Judged::Passes,
        };
        Ok((size, judged))
    }

    /// Whether a field of this name may be in the block at hand (RFC 9113 sections 8.1 and 8.3). Of requests the crate
    /// looks by itself.
    fn may_have(&self, name: Name) -> bool {
        match name {
            Name::Ordinary => true,
            _ if self.is_trailers => false,
            Name::Status | Name::Interim => true,
            Name::Path | Name::Pseudo => self.peer == PeerRole::Client,
        }
    }

    fn find(&self, index: usize) -> Result<Field, Unreadable> {
        let at = index.checked_sub(1).ok_or(Unreadable)?;
        let Some(&(name_len, value_len)) = STATIC.get(at) else {
            return self.table.get(at - STATIC.len()).copied().ok_or(Unreadable);
        };
        let name = match index {
            _ if STATIC_PATH.contains(&index) => Name::Path,
            _ if STATIC_STATUS.contains(&index) => Name::Status,
            ..=STATIC_PSEUDO_LAST => Name::Pseudo,
            _ => Name::Ordinary,
        };
        let (name_len, value_len) = (usize::from(name_len), usize::from(value_len));
        Ok(Field { name, name_len, value_len, has_fragment: false })
    }

    fn literal(&self, block: &mut &[u8], prefix: u32) -> Result<Field, Unreadable> {
        let (name, name_len) = match number(block, prefix)? {
            0 => {
                let text = string(block)?;
                (text.name(), text.len)
            }
            index => {
                let known = self.find(index)?;
                (known.name, known.name_len)
            }
        };
        let value = string(block)?;
        let name = match name {
            Name::Status | Name::Interim if value.starts_with_one => Name::Interim,
            Name::Interim => Name::Status,
            name => name,
        };
        let has_fragment = name == Name::Path && value.has_fragment;
        Ok(Field { name, name_len, value_len: value.len, has_fragment })
    }

    fn insert(&mut self, field: Field) {
        self.evict(field.size());
        if field.size() <= self.table_bytes_max {
            self.table_bytes += field.size();
            self.table.push_front(field);
        }
    }

    /// Makes room for so many bytes.
    fn evict(&mut self, room: usize) {
        while self.table_bytes + room > self.table_bytes_max {
            let Some(oldest) = self.table.pop_back() else { return };
            self.table_bytes -= oldest.size();
        }
    }
}

/// Where the fields are in a frame's payload; CONTINUATION has nothing else.
fn fields_in(is_first_frame: bool, flags: u8, payload: &[u8]) -> Result<Range<usize>, Unreadable> {
    let (mut start, mut end) = (0, payload.len());
    if is_first_frame && flags & PADDED != 0 {
        end = end.checked_sub(usize::from(*payload.first().ok_or(Unreadable)?)).ok_or(Unreadable)?;
        start += 1;
    }
    if is_first_frame && flags & PRIORITY != 0 {
        start += 5;
    }
    if start > end { Err(Unreadable) } else { Ok(start..end) }
}

/// A number with a prefix of so many bits (RFC 7541 section 5.1).
fn number(block: &mut &[u8], prefix: u32) -> Result<usize, Unreadable> {
    let (first, mut rest) = block.split_first().ok_or(Unreadable)?;
    let most = (1_usize << prefix) - 1;
    let mut value = usize::from(*first) & most;
    if value == most {
        let mut shift = 0;
        loop {
            let (byte, after) = rest.split_first().ok_or(Unreadable)?;
            rest = after;
            value += usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
            if shift == 7 * NUMBER_BYTES_MAX {
                return Err(Unreadable);
            }
        }
    }
    *block = rest;
    Ok(value)
}

/// A string (RFC 7541 section 5.2).
fn string(block: &mut &[u8]) -> Result<Text, Unreadable> {
    let is_coded = block.first().ok_or(Unreadable)? & 0x80 != 0;
    let len = number(block, 7)?;
    if len > block.len() {
        return Err(Unreadable);
    }
    let (bytes, rest) = block.split_at(len);
    *block = rest;
    if is_coded {
        let (len, has_fragment) = measure(bytes);
        let first = bytes.first();
        return Ok(Text {
            len,
            starts_with_colon: first.is_some_and(|byte| byte >> 1 == CODED_COLON),
            starts_with_one: first.is_some_and(|byte| byte >> 3 == CODED_ONE),
            is_path: bytes == PATH_CODED,
            is_status: bytes == STATUS_CODED,
            has_fragment,
        });
    }
    Ok(Text {
        len,
        starts_with_colon: bytes.first() == Some(&b':'),
        starts_with_one: bytes.first() == Some(&b'1'),
        is_path: bytes == b":path",
        is_status: bytes == b":status",
        has_fragment: memchr::memchr(b'#', bytes).is_some(),
    })
}

#[cfg(test)]
mod tests;
