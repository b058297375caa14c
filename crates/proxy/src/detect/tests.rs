#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
//! What a connection is taken for, and that no byte is lost.

use super::{Detected, SNIFF_TIMEOUT, detect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn check(pieces: &[&str], expected: Detected) {
    let (mut client, server) = tokio::io::duplex(64);
    let sent = pieces.concat();
    let say = async {
        for piece in pieces {
            client.write_all(piece.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
        }
        client.shutdown().await.unwrap();
    };
    let hear = async {
        let (detected, mut io) = detect(server, SNIFF_TIMEOUT).await.unwrap();
        let mut heard = String::new();
        io.read_to_string(&mut heard).await.unwrap();
        assert_eq!((detected, heard), (expected, sent.clone()));
    };
    tokio::join!(say, hear);
}

#[tokio::test(flavor = "current_thread")]
async fn first_bytes_tell_the_protocol() {
    check(&["GET / HTTP/1.1\r\n\r\n"], Detected::Http1).await;
    check(&["PO", "ST", " /x", " HTTP/1.1\r\n"], Detected::Http1).await;
    check(&["PRI * HTTP/2.0\r\n", "\r\nSM\r\n\r\n"], Detected::Http2).await;
    check(&["\u{16}\u{3}\u{1}"], Detected::Opaque).await;
    check(&["EHLO there\r\n"], Detected::Opaque).await;
    check(&["GE"], Detected::Opaque).await;
    check(&[], Detected::Opaque).await;
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_silent_client_is_told_apart_after_a_while() {
    for begun in ["", "GE", "PRI * HTT"] {
        let (mut client, server) = tokio::io::duplex(64);
        client.write_all(begun.as_bytes()).await.unwrap();
        assert_eq!(detect(server, SNIFF_TIMEOUT).await.unwrap().0, Detected::Silent);
    }
}
