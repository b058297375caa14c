use super::*;

/// All that waits, as it would be written.
fn contents(outbox: &Outbox) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); PIECES_MAX];
    let count = outbox.pieces(&mut slices);
    slices[..count].iter().flat_map(|slice| slice.to_vec()).collect()
}

#[test]
fn frames_stay_in_order_however_they_leave() {
    let large = Bytes::from(vec![b'l'; COPIED_BYTES_MAX + 1]);
    let mut whole = Vec::new();
    for step in [1, 7, 5000, 100_000] {
        let mut outbox = Outbox::new(1 << 20, usize::MAX);
        outbox.put(|tail| tail.put_slice(b"first"));
        outbox.put_data(1, Bytes::from_static(b"small"), false);
        outbox.put_data(3, large.clone(), false);
        outbox.put_data(3, large.clone(), true);
        outbox.answer(|tail| tail.put_slice(b"last"));
        whole = contents(&outbox);
        assert_eq!(whole.len(), outbox.len);
        let mut left: Vec<u8> = Vec::new();
        while !outbox.is_empty() {
            let now = contents(&outbox);
            let len = step.min(now.len());
            left.extend(&now[..len]);
            outbox.advance(len);
        }
        assert_eq!(left, whole, "in steps of {step}");
        assert_eq!(outbox.written(), whole.len() as u64);
    }
    assert!(whole.starts_with(b"first") && whole.ends_with(b"last"));
}

#[test]
fn what_is_sent_is_gone_from_the_window_and_from_the_room() {
    let mut outbox = Outbox::new(100, usize::MAX);
    let window = FIRST_WINDOW_BYTES as usize;
    outbox.put_data(1, Bytes::from(vec![0; 90]), false);
    assert_eq!((outbox.room(), outbox.is_full()), (window - 90, false));
    outbox.put_data(1, Bytes::from_static(b"x"), false);
    assert_eq!((outbox.room(), outbox.is_full()), (0, true));
    outbox.advance(109);
    assert_eq!((outbox.room(), outbox.is_full()), (window - 91, false));
}

#[test]
fn whoever_reads_no_answers_is_found() {
    let mut outbox = Outbox::new(100, usize::MAX);
    outbox.put(|tail| tail.put_slice(&[0; 100_000]));
    assert!(!outbox.is_overflowing(), "nothing of it is an answer");
    outbox.answer(|tail| tail.put_slice(&[0; ANSWER_BYTES_MAX as usize]));
    assert!(!outbox.is_overflowing());
    outbox.answer(|tail| tail.put_slice(&[0]));
    outbox.put(|tail| tail.put_slice(&[0; 100_000]));
    outbox.advance(100_000);
    assert!(outbox.is_overflowing());
    outbox.advance(ANSWER_BYTES_MAX as usize + 1);
    assert!(!outbox.is_overflowing(), "it has read them");
}

#[test]
fn bodies_are_progress_and_frames_are_not() {
    let mut outbox = Outbox::new(1 << 20, usize::MAX);
    outbox.put(|tail| tail.put_slice(&[0; 2 * STALL_BYTES_MIN]));
    assert_eq!(outbox.turn(), 0);
    outbox.put_data(1, Bytes::from(vec![0; STALL_BYTES_MIN]), true);
    assert_eq!(outbox.turn(), 1);
}

#[test]
fn heads_that_nobody_reads_are_too_much_at_last() {
    let mut outbox = Outbox::new(100, 50);
    outbox.put_data(1, Bytes::from(vec![0; 91]), false);
    outbox.put(|tail| tail.put_slice(&[0; 50]));
    assert!(!outbox.is_overflowing());
    outbox.put(|tail| tail.put_slice(&[0]));
    assert!(outbox.is_overflowing());
    outbox.advance(1);
    assert!(!outbox.is_overflowing());
}
