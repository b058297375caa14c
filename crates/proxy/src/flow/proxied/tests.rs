//! When a header is waited for no longer.

use super::{PROXY_HEADER_TIMEOUT, accept};
use model::Reason;
use model::authz::Cidr;
use model::client_traffic::ProxyProtocolIn;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::time::Instant;

fn trusting() -> ProxyProtocolIn {
    ProxyProtocolIn { trusted_cidrs: vec![Cidr::parse("192.0.2.0/24").unwrap()], optional: false }
}

#[tokio::test(start_paused = true)]
async fn a_header_that_does_not_end_is_waited_for_ten_seconds() {
    for begun in [&b""[..], b"PROXY TCP4 1.1"] {
        let (mut ours, theirs) = duplex(64);
        ours.write_all(begun).await.unwrap();
        let before = Instant::now();
        let refused = accept(theirs, "192.0.2.1:1".parse().unwrap(), &trusting()).await.err();
        assert_eq!(before.elapsed(), PROXY_HEADER_TIMEOUT);
        assert_eq!(refused, Some(Some(Reason::ProxyHeaderInvalid)));
    }
}

/// As load balancers do that look whether somebody listens.
#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_and_ends_is_no_fault() {
    let peer = "192.0.2.1:1".parse().unwrap();
    let (ours, theirs) = duplex(64);
    drop(ours);
    assert_eq!(accept(theirs, peer, &trusting()).await.err(), Some(None));
    let (mut ours, theirs) = duplex(64);
    ours.write_all(b"PROXY").await.unwrap();
    drop(ours);
    assert_eq!(accept(theirs, peer, &trusting()).await.err(), Some(Some(Reason::ProxyHeaderInvalid)));
}

/// In however small pieces it comes, what is behind it is the connection's.
#[tokio::test(start_paused = true)]
async fn a_header_may_come_in_pieces() {
    let (mut ours, theirs) = duplex(1);
    let sending = tokio::spawn(async move {
        ours.write_all(b"PROXY TCP6 ::ffff:203.0.113.9 ::1 7 80\r\nhello").await.unwrap();
    });
    let accepted = accept(theirs, "192.0.2.1:1".parse().unwrap(), &trusting()).await;
    let (mut stream, caller) = accepted.ok().unwrap();
    assert_eq!(caller, "203.0.113.9:7".parse().unwrap());
    let mut heard = String::new();
    stream.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "hello");
    sending.await.unwrap();
}
