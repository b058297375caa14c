#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use apiserver::{MemoryStore, Store};
use model::SpiffeId;
use model::trust::Voucher;
use std::time::UNIX_EPOCH;

fn registration(uid: &str) -> Registration {
    Registration {
        uid: uid.into(),
        identity: "spiffe://leno.demo/ns/default/sa/a".into(),
        namespace: "default".into(),
        group: "a".into(),
        addresses: vec!["10.244.0.9".parse().unwrap()],
        standing: Standing::Joined,
        seen_s: 0,
    }
}

fn shown(presence: &Presence) -> String {
    presence.present().map(|(r, state)| format!("{}:{state:?}", r.uid)).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_broken_stream_counts_for_a_grace() {
    let start = Instant::now();
    let mut presence = Presence::default();
    presence.join(registration("a"));
    assert_eq!(shown(&presence), "");
    presence.connect("a", &[], 0);
    assert_eq!(shown(&presence), "a:Ready");
    presence.disconnect("a", start, 0);
    presence.expire(start + GRACE - Duration::from_millis(1), 0);
    assert_eq!(shown(&presence), "a:Ready");
    assert_eq!(presence.deadline(), Some(start + GRACE));
    let changes = presence.expire(start + GRACE, 0);
    assert_eq!((shown(&presence).as_str(), changes.len()), ("", 1));
    presence.connect("a", &[], 0);
    assert_eq!(shown(&presence), "a:Ready");
}

#[test]
fn a_second_stream_carries_over() {
    let mut presence = Presence::default();
    presence.join(registration("a"));
    presence.connect("a", &[], 0);
    presence.connect("a", &[], 0);
    presence.disconnect("a", Instant::now(), 0);
    assert_eq!((shown(&presence).as_str(), presence.deadline()), ("a:Ready", None));
}

#[test]
fn who_withdrew_drains_and_leaves_at_once() {
    let mut presence = Presence::default();
    presence.join(registration("a"));
    presence.connect("a", &[], 0);
    presence.withdraw("a");
    assert_eq!(shown(&presence), "a:Draining");
    presence.disconnect("a", Instant::now(), 0);
    assert_eq!(shown(&presence), "");
    presence.connect("a", &[], 0);
    assert_eq!(shown(&presence), "a:Draining");
}

#[test]
fn a_start_keeps_for_thirty_seconds_those_that_counted() {
    let store = MemoryStore::new();
    let mut before = Presence::default();
    for uid in ["back", "lost", "withdrawn", "idle"] {
        before.join(registration(uid));
        store.commit(&[put(before.find(uid).unwrap())]).unwrap();
    }
    for uid in ["back", "lost", "withdrawn"] {
        store.commit(&[before.connect(uid, &[], 0).unwrap()]).unwrap();
    }
    store.commit(&[before.withdraw("withdrawn").unwrap()]).unwrap();

    let start = Instant::now();
    let mut after = Presence::load(&store.rows(Table::Registrations).unwrap());
    assert_eq!(shown(&after), "");
    after.begin(start);
    assert_eq!(shown(&after), "back:Ready lost:Ready");
    after.connect("back", &[], 0);
    after.expire(start + START_GRACE - Duration::from_millis(1), 0);
    assert_eq!(shown(&after), "back:Ready lost:Ready");
    after.expire(start + START_GRACE, 0);
    assert_eq!(shown(&after), "back:Ready");
}

#[test]
fn a_registration_is_its_owners_alone() {
    let mut presence = Presence::default();
    presence.join(registration("a"));
    presence.join(registration("sibling"));
    let admit = |wanted: &str, account: &str, uid: Option<&str>, voucher: Voucher| {
        let id = SpiffeId::parse(&format!("spiffe://leno.demo/ns/default/sa/{account}")).unwrap();
        let proof = Proof { id, voucher, uid: uid.map(Arc::from), expires: UNIX_EPOCH };
        presence.admit(wanted, &proof, "west").map(|registration| registration.uid.to_string())
    };
    let west = || Voucher::Cluster("west".into());
    assert_eq!(admit("a", "a", Some("a"), west()), Ok("a".into()));
    assert_eq!(admit("a", "b", Some("a"), west()), Err(Stranger::OtherIdentity));
    assert_eq!(admit("b", "a", Some("b"), west()), Err(Stranger::Unknown));
    assert_eq!(admit("a", "a", Some("sibling"), west()), Err(Stranger::OtherRegistration));
    assert_eq!(admit("a", "a", None, west()), Err(Stranger::OtherRegistration));
    for voucher in [Voucher::Cluster("edge".into()), Voucher::Root, Voucher::Nameless] {
        assert_eq!(admit("a", "a", Some("a"), voucher), Err(Stranger::OtherCluster));
    }
}

#[test]
fn rows_of_those_that_left_go_in_the_end() {
    let mut presence = Presence::default();
    presence.join(registration("a"));
    assert!(presence.expire(Instant::now(), ROW_KEPT_S - 1).is_empty());
    assert_eq!(presence.expire(Instant::now(), ROW_KEPT_S).len(), 1);
    assert!(presence.is_empty());
}
