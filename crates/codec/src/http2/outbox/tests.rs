use super::*;

const WINDOW: usize = FIRST_WINDOW_BYTES as usize;

#[test]
fn what_a_reset_stream_did_not_send_leaves_its_window_to_others() {
    let outbox = Outbox::new(1 << 20);
    let mut piece = outbox.piece(Bytes::from(vec![0; WINDOW]));
    assert!(!outbox.has_window());
    // The library has written some of it when the stream is reset.
    piece.advance(STALL_BYTES_MIN);
    drop(piece);
    assert_eq!(outbox.window.get(), FIRST_WINDOW_BYTES - STALL_BYTES_MIN as i64);
    assert!(outbox.has_window());
    assert_eq!(outbox.turn(), 1, "only what left is progress");
    assert!(!outbox.is_full());
}

#[test]
fn what_was_sent_is_gone_from_the_window() {
    let outbox = Outbox::new(1 << 20);
    let mut piece = outbox.piece(Bytes::from(vec![0; WINDOW]));
    piece.advance(WINDOW);
    drop(piece);
    assert!(!outbox.has_window());
    outbox.widen(1);
    assert!(outbox.has_window());
}
