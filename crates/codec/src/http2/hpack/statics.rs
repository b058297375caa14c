//! The static table (RFC 7541 appendix A), for the decoder as fields, for the encoder as a hash table made when this
//! is compiled.

use super::field::HeaderField;
use super::hash::hash;

macro_rules! static_table {
    ($(($name:literal, $value:literal),)*) => {
        /// As fields; the first has the index 1.
        static FIELDS: [HeaderField; STATIC_LEN] = [$(HeaderField::known($name, $value),)*];
        /// As texts.
        const TEXTS: [(&str, &str); STATIC_LEN] = [$(($name, $value),)*];
    };
}

/// Entries of the table; the dynamic table's first index is one more than the last of these.
pub(super) const STATIC_LEN: usize = 61;

static_table! {
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
}

/// Slots for names: four times as many as names, so that most are found at once.
const SLOTS: usize = 256;
/// Indexes of names, of those with several entries the first, each at the slot of its hash or soon behind; 0: none.
static BY_NAME: [u8; SLOTS] = by_name();

const fn by_name() -> [u8; SLOTS] {
    let mut slots = [0; SLOTS];
    let mut at = 0;
    while at < STATIC_LEN {
        let is_first = at == 0 || !equal(TEXTS[at].0.as_bytes(), TEXTS[at - 1].0.as_bytes());
        if is_first {
            let mut slot = hash(0, TEXTS[at].0.as_bytes()) as usize % SLOTS;
            while slots[slot] != 0 {
                slot = (slot + 1) % SLOTS;
            }
            slots[slot] = at as u8 + 1;
        }
        at += 1;
    }
    slots
}

/// How many entries have the name of each, from it on.
static SAME: [u8; STATIC_LEN] = same();

const fn same() -> [u8; STATIC_LEN] {
    let mut same = [1; STATIC_LEN];
    let mut at = STATIC_LEN - 1;
    while at > 0 {
        at -= 1;
        if equal(TEXTS[at].0.as_bytes(), TEXTS[at + 1].0.as_bytes()) {
            same[at] = same[at + 1] + 1;
        }
    }
    same
}

const fn equal(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    one.len() == other.len() && at == one.len()
}

/// The field with this index.
pub(super) fn get(index: usize) -> Option<&'static HeaderField> {
    FIELDS.get(index.checked_sub(1)?)
}

/// The first index of this name, whose hash from 0 is `name_hash`.
pub(super) fn find_name(name: &[u8], name_hash: u32) -> Option<usize> {
    let mut slot = name_hash as usize % SLOTS;
    // Ends at a free slot, of which there are many.
    loop {
        let index = usize::from(BY_NAME[slot]);
        let (known, _) = TEXTS.get(index.checked_sub(1)?)?;
        if known.as_bytes() == name {
            return Some(index);
        }
        slot = (slot + 1) % SLOTS;
    }
}

/// The index of the entry with this value, of the name whose first index is `first`.
pub(super) fn find_value(first: usize, value: &[u8]) -> Option<usize> {
    let at = first.checked_sub(1)?;
    let same = TEXTS.get(at..at + usize::from(*SAME.get(at)?))?;
    same.iter().position(|(_, known)| known.as_bytes() == value).map(|behind| first + behind)
}
