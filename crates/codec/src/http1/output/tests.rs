use bytes::Bytes;

use super::{LARGE_BYTES_MIN, Output};

/// All that is to be written, taken `step` bytes at a time.
fn drained(mut output: Output, step: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while !output.is_empty() {
        let next = output.slices().map(|slice| slice.to_vec()).concat();
        assert!(next.starts_with(output.first()) && !output.first().is_empty());
        let len = step.min(next.len());
        all.extend_from_slice(&next[..len]);
        output.advance(len);
    }
    all
}

#[test]
fn what_goes_in_comes_out_in_order() {
    for (len, is_one_slice) in [(3, true), (LARGE_BYTES_MIN, false)] {
        let piece = Bytes::from(vec![b'x'; len]);
        for step in [1, 2, 3, 100, len + 5, usize::MAX] {
            let mut output = Output::default();
            output.buffer().extend_from_slice(b"head");
            output.put_piece(piece.clone(), b"\r\n0\r\n\r\n");
            assert_eq!((output.is_one_slice(), output.is_full()), (is_one_slice, !is_one_slice));
            let expected = [b"head", &piece[..], b"\r\n0\r\n\r\n"].concat();
            assert_eq!(drained(output, step), expected, "{step} at a time");
        }
    }
}
