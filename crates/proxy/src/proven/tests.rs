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
    let connection = peers.record(&opened, until(start + 10 * MINUTE));
    let fresh = peers.record(&proof, until(start + 100 * MINUTE));
    drop(fresh);
    ended(&connection).await;
    start.elapsed().as_secs() / 60
}

fn until(expires: Instant) -> Handshake {
    Handshake { certificates: Vec::new(), expires, trust: 0 }
}

async fn ended(connection: &PeerValidity) {
    while let OpenStreams::GoOn { until } = connection.open_streams() {
        tokio::time::sleep_until(Instant::from_std(until)).await;
    }
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
    let connection = peers.record(&client, until(start + 10 * MINUTE));
    peers.record(&client, until(start + 20 * MINUTE));
    let mut ended = std::pin::pin!(ended(&connection));
    assert!(tokio::time::timeout(75 * MINUTE, &mut ended).await.is_err());
    peers.record(&client, until(start + 90 * MINUTE));
    ended.await;
    assert_eq!(start.elapsed(), 150 * MINUTE);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_is_due_until_both_have_shown_something_newer() {
    let (peers, start) = (ProvenPeers::default(), Instant::now());
    let (old, new) = (start + 10 * MINUTE, start + 15 * MINUTE);
    let shop = proof("shop", west(), Some("a"));
    let opened = peers.record(&shop, until(old));
    opened.was_shown(old);
    let peer = opened.peer();
    assert!(!peer.is_handshake_due(new));
    tokio::time::advance(10 * MINUTE - Duration::from_secs(5)).await;
    assert!(peer.is_handshake_due(new));
    let fresh = peers.record(&shop, until(new));
    // It may yet refuse our certificate.
    assert!(peer.is_handshake_due(new));
    fresh.was_shown(new);
    assert!(!peer.is_handshake_due(new));
}

#[tokio::test]
async fn what_is_remembered_is_bounded_by_what_is_open() {
    let (peers, now) = (ProvenPeers::default(), Instant::now());
    let client = |uid: &str| proof("client", west(), Some(uid));
    let open: Vec<_> = (0..10).map(|at| peers.record(&client(&format!("open-{at}")), until(now))).collect();
    for at in 0..10_000 {
        peers.record(&client(&at.to_string()), until(now));
    }
    let remembered = peers.0.lock().unwrap();
    assert!(remembered.by_key.len() <= 2 * SWEPT_AT_LEAST, "{}", remembered.by_key.len());
    for peer in open.iter().map(PeerValidity::peer) {
        let key = PeerKey::of(&client(peer.uid().unwrap())).unwrap();
        assert!(remembered.by_key.contains_key(&key));
    }
}

/// It is judged once for each change, and what was shown since was judged by whoever shook hands.
#[tokio::test]
async fn trust_that_changes_is_asked_about_once() {
    let (peers, now) = (ProvenPeers::default(), Instant::now());
    let client = proof("client", west(), Some("a"));
    let connection = peers.record(&client, until(now));
    assert!(connection.is_trusted(0, |_| panic!("nothing has changed")));
    assert!(connection.is_trusted(1, |_| true));
    assert!(!connection.is_trusted(2, |_| false));
    assert!(!connection.is_trusted(2, |_| panic!("it was judged")));
    peers.record(&client, Handshake { trust: 2, ..until(now + MINUTE) });
    assert!(connection.is_trusted(2, |_| panic!("it was judged")));
}

/// As when a root is replaced and what the new one signs is shorter.
#[tokio::test(start_paused = true)]
async fn a_certificate_that_is_trusted_counts_more_than_one_that_lasts_longer() {
    let (peers, start) = (ProvenPeers::default(), Instant::now());
    let client = proof("client", west(), Some("a"));
    let connection = peers.record(&client, until(start + 100 * MINUTE));
    assert!(!connection.is_trusted(1, |_| false));
    let fresh = peers.record(&client, Handshake { trust: 1, ..until(start + 10 * MINUTE) });
    assert!(fresh.is_trusted(1, |_| false), "it was judged in its handshake");

    // Nobody has asked yet what the next trust makes of that.
    let last = peers.record(&client, Handshake { trust: 2, ..until(start + 5 * MINUTE) });
    assert!(last.is_trusted(2, |_| false));
}
