use super::*;
use crate::testing::id;
use std::time::{Duration, SystemTime};

const MINUTE: Duration = Duration::from_secs(60);

/// What `account` proves, vouched for by `voucher`, with the certificate of `uid`.
fn proof(account: &str, voucher: Voucher, uid: Option<&str>) -> Proof {
    let (begins, expires) = (SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH);
    Proof { id: id(account), voucher, uid: uid.map(Into::into), begins, expires }
}

fn west() -> Voucher {
    Voucher::Cluster("west".into())
}

/// How many minutes a connection of the client a in west goes on that was opened for ten, when this is proved for a
/// hundred.
async fn goes_on_after(proof: Proof, opened: Proof) -> u64 {
    let (peers, start) = (ProvenPeers::default(), Instant::now());
    let connection = peers.record(&opened, start + 10 * MINUTE);
    let fresh = peers.record(&proof, start + 100 * MINUTE);
    drop(fresh);
    connection.ended().await;
    start.elapsed().as_secs() / 60
}

#[tokio::test(start_paused = true)]
async fn only_the_same_workload_counts() {
    let a = || proof("client", west(), Some("a"));
    assert_eq!(goes_on_after(a(), a()).await, 160);
    for other in [
        proof("other", west(), Some("a")),
        proof("client", Voucher::Cluster("east".into()), Some("a")),
        proof("client", Voucher::Root, Some("a")),
        proof("client", west(), Some("b")),
        proof("client", west(), None),
    ] {
        assert_eq!(goes_on_after(other.clone(), a()).await, 70, "{other:?}");
    }
    // Nobody can say that these are the same.
    for vague in [proof("client", west(), None), proof("client", Voucher::Nameless, Some("a"))] {
        assert_eq!(goes_on_after(vague.clone(), vague.clone()).await, 70, "{vague:?}");
    }
}

/// It is asked anew at each deadline.
#[tokio::test(start_paused = true)]
async fn a_later_handshake_counts_too() {
    let (peers, start) = (ProvenPeers::default(), Instant::now());
    let client = proof("client", west(), Some("a"));
    let connection = peers.record(&client, start + 10 * MINUTE);
    peers.record(&client, start + 20 * MINUTE);
    let mut ended = std::pin::pin!(connection.ended());
    assert!(tokio::time::timeout(75 * MINUTE, &mut ended).await.is_err());
    peers.record(&client, start + 90 * MINUTE);
    ended.await;
    assert_eq!(start.elapsed(), 150 * MINUTE);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_is_due_until_both_have_shown_something_newer() {
    let (peers, start) = (ProvenPeers::default(), Instant::now());
    let (old, new) = (start + 10 * MINUTE, start + 15 * MINUTE);
    let shop = proof("shop", west(), Some("a"));
    let opened = peers.record(&shop, old);
    opened.was_shown(old);
    let peer = opened.peer().unwrap();
    assert!(!peer.is_handshake_due(new));
    tokio::time::advance(10 * MINUTE - Duration::from_secs(5)).await;
    assert!(peer.is_handshake_due(new));
    let fresh = peers.record(&shop, new);
    // It may yet refuse our certificate.
    assert!(peer.is_handshake_due(new));
    fresh.was_shown(new);
    assert!(!peer.is_handshake_due(new));
}

#[tokio::test]
async fn what_is_remembered_is_bounded_by_what_is_open() {
    let (peers, now) = (ProvenPeers::default(), Instant::now());
    let open: Vec<_> =
        (0..10).map(|at| peers.record(&proof("client", west(), Some(&format!("open-{at}"))), now)).collect();
    for at in 0..10_000 {
        peers.record(&proof("client", west(), Some(&at.to_string())), now);
    }
    let remembered = peers.0.lock().unwrap();
    assert!(remembered.by_key.len() <= 2 * SWEPT_AT_LEAST, "{}", remembered.by_key.len());
    for at in &open {
        assert!(remembered.by_key.contains_key(&at.peer().unwrap().key));
    }
}
