//! The code of strings in HPACK, as far as one must know where each character ends.

/// The codes of each length: the length in bits, and the first code that is longer, aligned to the left. The code
/// is canonical, so that this is all it takes to find where one ends (RFC 7541 appendix B).
const CODES: [(u32, u32); 21] = codes();
/// A number sign: so many bits, and these.
const CODED_FRAGMENT: (u32, u32) = (12, 0xffa);

const fn codes() -> [(u32, u32); 21] {
    // How many codes there are of each length.
    const COUNTS: [(u32, u64); 21] = [
        (5, 10),
        (6, 26),
        (7, 32),
        (8, 6),
        (10, 5),
        (11, 3),
        (12, 2),
        (13, 6),
        (14, 2),
        (15, 3),
        (19, 3),
        (20, 8),
        (21, 13),
        (22, 26),
        (23, 29),
        (24, 12),
        (25, 4),
        (26, 15),
        (27, 19),
        (28, 29),
        (30, 4),
    ];
    let mut codes = [(0, 0); 21];
    let mut end: u64 = 0;
    let mut at = 0;
    while at < COUNTS.len() {
        let (bits, count) = COUNTS[at];
        end += count << (32 - bits);
        // The last of all codes is all ones.
        codes[at] = (bits, if end > u32::MAX as u64 { u32::MAX } else { end as u32 });
        at += 1;
    }
    codes
}

/// How many bytes a coded string stands for, and whether a number sign is among them.
pub(super) fn measure(coded: &[u8]) -> (usize, bool) {
    let (mut window, mut bits, mut len, mut has_fragment) = (0_u64, 0_u32, 0, false);
    let mut bytes = coded.iter();
    loop {
        while bits <= 56
            && let Some(byte) = bytes.next()
        {
            window |= u64::from(*byte) << (56 - bits);
            bits += 8;
        }
        let code = (window >> 32) as u32;
        let found = CODES.iter().find(|(_, end)| code < *end);
        let Some((used, _)) = found.filter(|(used, _)| *used <= bits) else {
            // Padding of ones.
            return (len, has_fragment);
        };
        has_fragment |= (*used, code >> (32 - used)) == CODED_FRAGMENT;
        window <<= used;
        bits -= used;
        len += 1;
    }
}
