#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use apiserver::{MemoryStore, Store};
use model::SpiffeId;
use model::trust::{EXPIRED_GRACE, RENEWAL_GRACE, Voucher};

/// With the defaults.
const KEPT_EXPIRED_S: u64 = RENEWAL_GRACE.as_secs();

fn registration(uid: &str) -> Registration {
    Registration {
        uid: uid.into(),
        identity: "spiffe://leno.demo/ns/default/sa/a".into(),
        namespace: "default".into(),
        group: "a".into(),
        addresses: vec!["10.244.0.9".parse().unwrap()],
        standing: Standing::Joined,
        expires_s: Some(600),
        assumed_s: None,
        used: None,
        unready: None,
        gone_s: None,
    }
}

/// A certificate of the usual life.
fn until(expires_s: u64) -> Validity {
    Validity { begins_s: expires_s - 600, expires_s }
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
    presence.connect("a", &[], until(600));
    assert_eq!(shown(&presence), "a:Ready");
    presence.disconnect("a", start);
    presence.expire(start + GRACE - Duration::from_millis(1), 0);
    assert_eq!(shown(&presence), "a:Ready");
    assert_eq!(presence.deadline(), Some(start + GRACE));
    let changes = presence.expire(start + GRACE, 0);
    assert_eq!((shown(&presence).as_str(), changes.len()), ("", 1));
    presence.connect("a", &[], until(600));
    assert_eq!(shown(&presence), "a:Ready");
}

#[test]
fn a_second_stream_carries_over() {
    let mut presence = Presence::default();
    presence.join(registration("a"));
    presence.connect("a", &[], until(600));
    presence.connect("a", &[], until(600));
    presence.disconnect("a", Instant::now());
    assert_eq!((shown(&presence).as_str(), presence.deadline()), ("a:Ready", None));
}

#[test]
fn who_withdrew_drains_and_leaves_at_once() {
    let mut presence = Presence::default();
    presence.join(registration("a"));
    presence.connect("a", &[], until(600));
    presence.withdraw("a");
    assert_eq!(shown(&presence), "a:Draining");
    assert_eq!(presence.renew("a", until(600), 1200), Err(StreamRefusal::Withdrawn));
    presence.disconnect("a", Instant::now());
    assert_eq!(shown(&presence), "");
    presence.connect("a", &[], until(600));
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
        store.commit(&[before.connect(uid, &[], until(600)).unwrap()]).unwrap();
    }
    store.commit(&[before.withdraw("withdrawn").unwrap()]).unwrap();

    let start = Instant::now();
    let mut after = Presence::load(&store.rows(Table::Registrations).unwrap());
    assert_eq!(shown(&after), "");
    after.begin(start);
    assert_eq!(shown(&after), "back:Ready lost:Ready");
    after.connect("back", &[], until(600));
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
        let proof = Proof { id, voucher, uid: uid.map(Arc::from), begins: UNIX_EPOCH, expires: UNIX_EPOCH };
        presence.admit(wanted, &proof, "west").map(|registration| registration.uid.to_string())
    };
    let west = || Voucher::Cluster("west".into());
    assert_eq!(admit("a", "a", Some("a"), west()), Ok("a".into()));
    assert_eq!(admit("a", "b", Some("a"), west()), Err(StreamRefusal::OtherIdentity));
    assert_eq!(admit("b", "a", Some("b"), west()), Err(StreamRefusal::Unknown));
    assert_eq!(admit("a", "a", Some("sibling"), west()), Err(StreamRefusal::OtherRegistration));
    assert_eq!(admit("a", "a", None, west()), Err(StreamRefusal::OtherRegistration));
    for voucher in [Voucher::Cluster("edge".into()), Voucher::Root, Voucher::Nameless] {
        assert_eq!(admit("a", "a", Some("a"), voucher), Err(StreamRefusal::OtherCluster));
    }
}

/// The store as it is after these changes, and what a new run reads of it.
fn restarted(store: &MemoryStore, changes: &[Change]) -> Presence {
    store.commit(changes).unwrap();
    Presence::load(&store.rows(Table::Registrations).unwrap())
}

#[test]
fn who_can_never_come_back_is_forgotten() {
    let start = Instant::now();
    let mut presence = Presence::default();
    for uid in ["killed", "never-came", "withdrawn", "there"] {
        presence.join(registration(uid));
    }
    for uid in ["killed", "withdrawn", "there"] {
        presence.connect(uid, &[], until(600));
    }
    presence.withdraw("withdrawn");
    for uid in ["killed", "withdrawn"] {
        presence.disconnect(uid, start);
    }
    presence.expire(start + GRACE, 20);
    // One that withdrew cannot renew any more.
    let withdrawn_s = 600 + EXPIRED_GRACE.as_secs();
    assert!(presence.expire(start + GRACE, withdrawn_s - 1).is_empty());
    assert_eq!(presence.expire(start + GRACE, withdrawn_s).len(), 1);
    assert!(presence.expire(start + GRACE, 600 + KEPT_EXPIRED_S - 1).is_empty());
    let gone = presence.expire(start + GRACE, 600 + KEPT_EXPIRED_S);
    assert!(gone.len() == 2 && gone.iter().all(|row| matches!(row, Change::Delete(..))), "{gone:?}");
    // With a stream it is the stream that must end first.
    assert_eq!((presence.len(), shown(&presence).as_str()), (1, "there:Ready"));
}

#[test]
fn a_renewed_certificate_keeps_a_registration() {
    let start = Instant::now();
    let mut presence = Presence::default();
    presence.join(registration("a"));
    presence.connect("a", &[], until(600));
    assert_eq!(presence.renew("a", until(600), 1200), Ok(None));
    let row = presence.disconnect("a", start).unwrap();
    presence.expire(start + GRACE, 1200);
    assert_eq!(presence.len(), 1);
    // Without a stream a renewal is stored at once; a restart forgets nothing of it.
    let renewed = presence.renew("a", until(600), 1800).unwrap().unwrap();
    let mut after = restarted(&MemoryStore::new(), &[row, renewed]);
    after.expire(start, 1800 + KEPT_EXPIRED_S - 1);
    assert_eq!((presence.renew("b", until(600), 1), after.len()), (Err(StreamRefusal::Unknown), 1));
    assert_eq!((after.expire(start, 1800 + KEPT_EXPIRED_S).len(), after.len()), (1, 0));
}

/// A proxy that was there for days comes back late: its row says nothing of its renewals.
#[test]
fn a_start_gives_those_that_counted_the_longest_life_of_a_certificate() {
    let (start, now_s) = (Instant::now(), 1_000_000);
    let mut before = Presence::default();
    before.join(registration("a"));
    let store = MemoryStore::new();
    let mut after = restarted(&store, &[before.connect("a", &[], until(600)).unwrap()]);
    after.begin(start);
    let rows = after.expire(start + START_GRACE, now_s);
    assert_eq!((shown(&after).as_str(), after.len()), ("", 1));
    // That is how long it is kept, and no end of a certificate that anybody could be told.
    assert_eq!(after.find("a").unwrap().expires_s, Some(600));
    // Another start does not give it more.
    let mut again = restarted(&store, &rows);
    again.begin(start);
    let last_s = now_s + CERTIFICATE_LIFE_MAX_S + KEPT_EXPIRED_S;
    assert!(again.expire(start, last_s - 1).is_empty());
    assert_eq!((again.expire(start, last_s).len(), again.len()), (1, 0));
}

/// `uid:absence` of all that are missed.
fn missed(presence: &Presence, now_s: u64) -> String {
    let text = |(r, absence): (&Registration, Absence)| match absence {
        Absence::Away => format!("{}:away", r.uid),
        Absence::Gone { since_s } => format!("{}:{}", r.uid, since_s.unwrap_or_default()),
    };
    presence.absent(now_s).map(text).collect::<Vec<_>>().join(" ")
}

#[test]
fn who_is_gone_is_missed_until_withdrawn_replaced_back_or_forgotten() {
    let start = Instant::now();
    let mut presence = Presence::default();
    for (at, uid) in ["back", "dead", "moved", "never-came", "withdrawn"].iter().enumerate() {
        let addresses = vec![IpAddr::from([10, 0, 0, at as u8])];
        presence.join(Registration { addresses, ..registration(uid) });
    }
    for uid in ["back", "dead", "moved", "withdrawn"] {
        presence.connect(uid, &[], until(600));
    }
    assert_eq!(missed(&presence, 100), "");
    presence.withdraw("withdrawn");
    for uid in ["back", "dead", "moved", "withdrawn"] {
        presence.disconnect(uid, start);
    }
    assert_eq!(missed(&presence, 100), "back:away dead:away moved:away");
    presence.expire(start + GRACE, 110);
    assert_eq!(missed(&presence, 110), "back:110 dead:110 moved:110");
    assert_eq!(missed(&presence, 110 + FIRST_STREAM_S), "back:110 dead:110 moved:110 never-came:110");
    presence.connect("back", &[], until(600));
    // The same host with another registration, and another host with another.
    for (uid, address) in [("again", 2), ("other", 77)] {
        presence.join(Registration { addresses: vec![[10, 0, 0, address].into()], ..registration(uid) });
        presence.connect(uid, &[], until(600));
    }
    assert_eq!(missed(&presence, 120), "dead:110");
    // A restart of the control plane does not let it be forgotten.
    let rows: Vec<Change> = presence.entries.values().map(|entry| put(&entry.registration)).collect();
    let again = restarted(&MemoryStore::new(), &rows);
    assert!(missed(&again, 120).contains("dead:110"), "{}", missed(&again, 120));
    presence.expire(start + GRACE, 600 + KEPT_EXPIRED_S);
    assert_eq!(missed(&presence, 600 + KEPT_EXPIRED_S), "");
}

#[test]
fn an_expired_certificate_is_renewed_for_its_own_registration_within_the_grace_only() {
    let at = |s| UNIX_EPOCH + Duration::from_secs(s);
    let mut presence = Presence::default();
    for uid in ["a", "withdrawn"] {
        presence.join(registration(uid));
    }
    presence.withdraw("withdrawn");
    let admit = |presence: &Presence, uid: &str, shown: &str, cluster: &str, now_s: u64| {
        let id = SpiffeId::parse("spiffe://leno.demo/ns/default/sa/a").unwrap();
        let voucher = Voucher::Cluster(cluster.into());
        let proof = Proof { id, voucher, uid: Some(shown.into()), begins: at(0), expires: at(600) };
        presence.admit_expired(uid, &proof, "west", at(now_s)).map(drop)
    };
    let last_s = 600 + RENEWAL_GRACE.as_secs();
    assert_eq!(admit(&presence, "a", "a", "west", 601), Ok(()));
    assert_eq!(admit(&presence, "a", "a", "west", last_s), Ok(()));
    let late = admit(&presence, "a", "a", "west", last_s + 1);
    assert!(matches!(late, Err(StreamRefusal::TooLate(..))), "{late:?}");
    assert!(late.unwrap_err().to_string().contains("24 h after its end"));
    assert_eq!(admit(&presence, "a", "withdrawn", "west", 601), Err(StreamRefusal::OtherRegistration));
    assert_eq!(admit(&presence, "a", "a", "edge", 601), Err(StreamRefusal::OtherCluster));
    assert_eq!(admit(&presence, "withdrawn", "withdrawn", "west", 601), Err(StreamRefusal::Withdrawn));
    assert_eq!(admit(&presence, "b", "b", "west", 601), Err(StreamRefusal::Unknown));
    presence.connect("a", &[], until(600));
    assert_eq!(admit(&presence, "a", "a", "west", 601), Err(StreamRefusal::InUse));
}

/// Who has an expired certificate and its key is the proxy that was cut off only as long as no newer one was used.
#[test]
fn an_expired_certificate_is_not_renewed_once_a_newer_one_was_used() {
    let admit = |presence: &Presence, shown: Validity| {
        let at = |s| UNIX_EPOCH + Duration::from_secs(s);
        let id = SpiffeId::parse("spiffe://leno.demo/ns/default/sa/a").unwrap();
        let voucher = Voucher::Cluster("west".into());
        let (begins, expires) = (at(shown.begins_s), at(shown.expires_s));
        let proof = Proof { id, voucher, uid: Some("a".into()), begins, expires };
        presence.admit_expired("a", &proof, "west", at(5000)).map(drop)
    };
    let check = |presence: &Presence, older: Validity, newer: Validity| {
        assert_eq!(
            (admit(presence, older), admit(presence, newer)),
            (Err(StreamRefusal::Superseded), Ok(()))
        );
    };
    let mut presence = Presence::default();
    presence.join(registration("a"));
    let used = |presence: &mut Presence, shown: Validity| {
        let row = presence.connect("a", &[], shown);
        presence.disconnect("a", Instant::now());
        row
    };
    used(&mut presence, until(600));
    presence.renew("a", until(600), 1200).unwrap();
    // Its answer may have been lost, or come and not been used before the control plane went away.
    assert_eq!((admit(&presence, until(600)), admit(&presence, until(1200))), (Ok(()), Ok(())));
    let row = used(&mut presence, until(1200)).expect("what was used is stored at once");
    check(&presence, until(600), until(1200));
    check(&restarted(&MemoryStore::new(), &[row]), until(600), until(1200));
    // A renewal is a use too, also that of an expired one; an older stream that still stands takes nothing back.
    presence.renew("a", until(1800), 2400).unwrap();
    used(&mut presence, until(1200));
    check(&presence, until(1200), until(1800));
    // Signed when the signing certificate is about to end, and from a control plane that was told another life.
    let (cut, short, long) = (
        Validity { begins_s: 1500, expires_s: 1800 },
        Validity { begins_s: 1600, expires_s: 1700 },
        Validity { begins_s: 1590, expires_s: 4000 },
    );
    for (older, newer) in [(until(1800), cut), (cut, short), (short, long)] {
        assert_eq!(admit(&presence, newer), Ok(()), "it was never used");
        used(&mut presence, newer);
        assert_eq!(admit(&presence, newer), Ok(()));
        if older.expires_s == newer.expires_s {
            check(&presence, older, newer);
        } else {
            assert_eq!(admit(&presence, older), Ok(()), "neither is newer at both ends");
        }
    }
}
