#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use crate::testing::{host, me, service, slice};
use decide::dice::Pcg;
use model::l4_route::L4Rule;
use model::listener::ListenerProtocol;
use model::route::{Parent, RouteRule};
use model::{ObjectRef, Origin, Resource, ResourceKey, Subscription};
use std::io;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

fn apply(store: &SnapshotStore, upserts: Vec<(ResourceKey, Resource)>) -> Arc<Snapshot> {
    store.apply(SnapshotChange { upserts, ..SnapshotChange::default() })
}

fn two_hosts() -> Arc<SnapshotStore> {
    let store = SnapshotStore::new(&me());
    apply(
        &store,
        vec![
            service("a.mesh"),
            slice("a.mesh", 0, &["a1", "a2"]),
            service("b.mesh"),
            slice("b.mesh", 0, &["b1"]),
        ],
    );
    store
}

fn uids(entry: &HostEntry) -> Vec<&str> {
    entry.endpoints.iter().map(|endpoint| &*endpoint.uid).collect()
}

fn rule(name: &str, parent: Parent) -> (ResourceKey, Resource) {
    let key = ResourceKey::Rule {
        parent: parent.clone(),
        route: ObjectRef::new("HTTPRoute", "ns", name),
        index: 0,
    };
    let origin = Origin { object: ObjectRef::new("HTTPRoute", "ns", name), file: "".into(), line: 0 };
    let rule = RouteRule::new(parent, origin);
    (key, Resource::Rule(rule.into()))
}

fn l4_rule(name: &str, parent: Parent) -> (ResourceKey, Resource) {
    let rule = L4Rule {
        parent,
        origin: Origin { object: ObjectRef::new("TCPRoute", "ns", name), file: "".into(), line: 0 },
        index: 0,
        created_s: 0,
        consumer: None,
        matches: Vec::new(),
        backends: Vec::new(),
    };
    (ResourceKey::of_l4_rule(&rule), Resource::L4Rule(rule.into()))
}

#[test]
fn an_untouched_host_keeps_its_arc_and_a_touched_one_does_not() {
    let store = two_hosts();
    let before = store.snapshot();
    let after = apply(&store, vec![slice("b.mesh", 0, &["b1", "b2"])]);
    assert!(Arc::ptr_eq(before.host("a.mesh").unwrap(), after.host("a.mesh").unwrap()));
    assert!(!Arc::ptr_eq(before.host("b.mesh").unwrap(), after.host("b.mesh").unwrap()));
    assert_eq!((before.epoch, after.epoch, store.epoch()), (1, 2, 2));
}

#[test]
fn health_and_active_requests_survive_swaps_by_uid() {
    let store = two_hosts();
    let before = store.snapshot();
    let state = begin(before.host("a.mesh").unwrap(), 1);
    state.failed(1000, &mut Pcg::new(1));
    let in_flight = state.begin();
    let after = apply(&store, vec![slice("a.mesh", 0, &["a2", "a3"])]);
    let entry = after.host("a.mesh").unwrap();
    assert_eq!(uids(entry), ["a2", "a3"]);
    assert!(Arc::ptr_eq(&state, entry.states.get(0).unwrap()));
    assert_eq!((entry.states.active(0), entry.states.health(0).failures()), (1, 1));
    assert_eq!((entry.states.active(1), entry.states.health(1).failures()), (0, 0));
    drop(in_flight);
    assert_eq!(entry.states.active(0), 0);
}

/// The first use of an endpoint.
fn begin(entry: &HostEntry, index: usize) -> Arc<EndpointHealth> {
    Arc::clone(entry.states.get_or_begin(index, &entry.endpoints[index].uid).unwrap())
}

#[test]
fn an_endpoint_is_remembered_from_its_first_use_by_all_snapshots() {
    let store = two_hosts();
    let before = store.snapshot();
    let after = apply(&store, vec![slice("a.mesh", 0, &["a2", "a3"])]);
    let (old, new) = (before.host("a.mesh").unwrap(), after.host("a.mesh").unwrap());
    assert!(old.states.get(1).is_none() && new.states.get(0).is_none());
    // A request that began before the change, and one that began after it.
    let in_flight = begin(old, 1).begin();
    assert_eq!((old.states.active(1), begin(new, 0).active()), (1, 1));
    drop(in_flight);
    assert_eq!((new.states.active(0), new.states.active(1)), (0, 0));
    assert!(new.states.get(1).is_none() && new.states.get(2).is_none());
}

#[test]
fn a_new_registration_at_the_same_place_starts_clean() {
    let store = two_hosts();
    begin(store.snapshot().host("b.mesh").unwrap(), 0).failed(1000, &mut Pcg::new(1));
    apply(&store, vec![slice("b.mesh", 0, &[])]);
    let after = apply(&store, vec![slice("b.mesh", 0, &["b1"])]);
    assert_eq!(after.host("b.mesh").unwrap().states.health(0).failures(), 0);
}

#[test]
fn slices_are_concatenated_by_index_and_replaced_one_by_one() {
    let store = two_hosts();
    let snapshot = apply(&store, vec![slice("a.mesh", 2, &["z"]), slice("a.mesh", 1, &["m1", "m2"])]);
    assert_eq!(uids(snapshot.host("a.mesh").unwrap()), ["a1", "a2", "m1", "m2", "z"]);
    let snapshot = apply(&store, vec![slice("a.mesh", 1, &["n"])]);
    assert_eq!(uids(snapshot.host("a.mesh").unwrap()), ["a1", "a2", "n", "z"]);
    let removed = vec![ResourceKey::Slice(host("a.mesh"), 0)];
    let snapshot = store.apply(SnapshotChange { removed, ..SnapshotChange::default() });
    assert_eq!(uids(snapshot.host("a.mesh").unwrap()), ["n", "z"]);
}

#[test]
fn children_may_come_before_their_service_and_outlive_it() {
    let store = SnapshotStore::new(&me());
    let snapshot = apply(&store, vec![slice("a.mesh", 0, &["a1"])]);
    assert!(snapshot.host("a.mesh").is_none());
    let snapshot = apply(&store, vec![service("a.mesh")]);
    assert_eq!(uids(snapshot.host("a.mesh").unwrap()), ["a1"]);
    let removed = vec![ResourceKey::Service(host("a.mesh"))];
    assert!(store.apply(SnapshotChange { removed, ..SnapshotChange::default() }).host("a.mesh").is_none());
    let snapshot = apply(&store, vec![service("a.mesh")]);
    assert_eq!(uids(snapshot.host("a.mesh").unwrap()), ["a1"]);
}

#[test]
fn an_address_leads_to_its_host_and_goes_with_it() {
    let store = two_hosts();
    let snapshot = store.snapshot();
    let ip = snapshot.host("a.mesh").unwrap().service.address.unwrap();
    assert_eq!(snapshot.by_address(ip), Some(&host("a.mesh")));
    let removed = vec![ResourceKey::Address(ip)];
    assert!(store.apply(SnapshotChange { removed, ..SnapshotChange::default() }).by_address(ip).is_some());
    let removed = vec![ResourceKey::Service(host("a.mesh"))];
    assert_eq!(store.apply(SnapshotChange { removed, ..SnapshotChange::default() }).by_address(ip), None);
}

#[test]
fn absence_is_remembered_until_forgotten_or_disproved() {
    let store = SnapshotStore::new(&me());
    let absent = vec![Subscription::Host(host("a.mesh")), Subscription::Host(host("b.mesh"))];
    let snapshot = store.apply(SnapshotChange { absent, ..SnapshotChange::default() });
    assert!(snapshot.is_host_absent("a.mesh") && snapshot.is_host_absent("b.mesh"));
    let snapshot = apply(&store, vec![service("a.mesh")]);
    assert!(!snapshot.is_host_absent("a.mesh"));
    let forgotten = vec![Subscription::Host(host("b.mesh"))];
    assert!(!store.apply(SnapshotChange { forgotten, ..SnapshotChange::default() }).is_host_absent("b.mesh"));
}

#[test]
fn rules_hang_on_their_host_or_on_the_listener_they_name() {
    let store = two_hosts();
    let gateway = Gateway {
        namespace: "ns".into(),
        name: "edge".into(),
        listeners: ["one", "two"]
            .map(|name| GatewayListener {
                name: name.into(),
                port: 80,
                protocol: ListenerProtocol::Http,
                host: None,
                address: None,
                tls: None,
                client: None,
            })
            .to_vec(),
    };
    let on = |listener: &str| Parent::Gateway {
        namespace: "ns".into(),
        name: "edge".into(),
        listener: listener.into(),
    };
    let snapshot = apply(
        &store,
        vec![
            (ResourceKey::Gateway("ns".into(), "edge".into()), Resource::Gateway(gateway)),
            rule("all", on("")),
            rule("second", on("two")),
            l4_rule("second", on("two")),
            l4_rule("mesh", Parent::Service { host: host("a.mesh"), port: 80 }),
            rule("mesh", Parent::Service { host: host("a.mesh"), port: 80 }),
        ],
    );
    let counts: Vec<usize> =
        snapshot.gateway.as_ref().unwrap().listeners().map(|(_, table, _)| table.rules().count()).collect();
    assert_eq!(counts, [1, 2]);
    assert_eq!(snapshot.host("a.mesh").unwrap().rules.at(80).rules().count(), 1);
    assert!(snapshot.host("b.mesh").unwrap().rules.at(80).is_empty());
    let of_connections: Vec<usize> =
        snapshot.gateway.as_ref().unwrap().l4_rules.iter().map(|table| table.rules().count()).collect();
    assert_eq!(of_connections, [0, 1]);
    assert!(
        snapshot.host("a.mesh").unwrap().l4_rules.as_ref().is_some_and(|rules| rules.at(80).has_rules(80))
    );
    assert!(snapshot.host("b.mesh").unwrap().l4_rules.is_none());
    let again = apply(&SnapshotStore::new(&me()), store.resources());
    assert!(again.host("a.mesh").unwrap().l4_rules.is_some());
    assert!(again.gateway.as_ref().unwrap().l4_rules.iter().any(|table| !table.is_empty()));
    let removed = vec![
        l4_rule("second", on("two")).0,
        l4_rule("mesh", Parent::Service { host: host("a.mesh"), port: 80 }).0,
    ];
    let without = store.apply(SnapshotChange { removed, ..SnapshotChange::default() });
    assert!(without.host("a.mesh").unwrap().l4_rules.is_none());
    assert!(without.gateway.as_ref().unwrap().l4_rules.iter().all(L4Table::is_empty));
}

#[test]
fn what_is_held_can_be_listed_and_put_in_force_again() {
    let store = two_hosts();
    apply(
        &store,
        vec![slice("a.mesh", 1, &["m"]), rule("mesh", Parent::Service { host: host("a.mesh"), port: 80 })],
    );
    let other = SnapshotStore::new(&me());
    let snapshot = apply(&other, store.resources());
    assert_eq!(uids(snapshot.host("a.mesh").unwrap()), ["a1", "a2", "m"]);
    assert_eq!(snapshot.host("a.mesh").unwrap().rules.at(80).rules().count(), 1);
    assert_eq!(snapshot.host("b.mesh").unwrap().service, store.snapshot().host("b.mesh").unwrap().service);
}

/// One worker's late answer must not undo the failure that another worker just saw, or traffic goes to and fro.
#[test]
fn workers_do_not_undo_each_others_failures() {
    const ROUNDS: u64 = 20_000;
    let (health, round) = (Arc::new(EndpointHealth::default()), Arc::new(AtomicU64::new(0)));
    // So far apart that the last round's mark is over, and so close that its record is not clean.
    let at = |round: u64| 1_000_000 + round * 40_000;
    // Both go on at the same moment: no lock to be woken from.
    let meet = |counter: &AtomicU64, number: u64| {
        counter.fetch_add(1, Ordering::AcqRel);
        let mut turns = 0u32;
        while counter.load(Ordering::Acquire) < 2 * number {
            turns += 1;
            if turns.is_multiple_of(10_000) {
                std::thread::yield_now();
            }
            std::hint::spin_loop();
        }
    };
    let answers = {
        let (health, round) = (Arc::clone(&health), Arc::clone(&round));
        std::thread::spawn(move || {
            for number in 0..ROUNDS {
                meet(&round, 2 * number + 1);
                health.succeeded(at(number));
                meet(&round, 2 * number + 2);
            }
        })
    };
    let mut dice = Pcg::new(3);
    let mut lost = 0;
    for number in 0..ROUNDS {
        meet(&round, 2 * number + 1);
        health.failed(at(number), &mut dice);
        meet(&round, 2 * number + 2);
        lost += u64::from(!health.is_ejected(at(number)));
    }
    answers.join().unwrap();
    assert_eq!(lost, 0, "of {ROUNDS} failures");
}

#[test]
fn settings_are_held_saved_and_fall_back_to_the_default() {
    let store = two_hosts();
    assert_eq!(*store.snapshot().settings, MeshSettings::default());
    let saved = |store: &SnapshotStore| {
        store
            .resources()
            .into_iter()
            .any(|(key, content)| key == ResourceKey::Settings && matches!(content, Resource::Settings(_)))
    };
    assert!(!saved(&store));
    let mut settings = MeshSettings::default();
    settings.http.xff_num_trusted_hops = 2;
    let now = apply(&store, vec![(ResourceKey::Settings, Resource::Settings(settings.clone()))]);
    assert_eq!(*now.settings, settings);
    assert_eq!(*apply(&store, vec![service("c.mesh")]).settings, settings);
    assert!(saved(&store), "a cold start takes them from there");
    let now =
        store.apply(SnapshotChange { removed: vec![ResourceKey::Settings], ..SnapshotChange::default() });
    assert_eq!(*now.settings, MeshSettings::default());
}

/// Ports that somebody else has.
#[derive(Clone, Default)]
struct Taken(Arc<Mutex<HashSet<u16>>>);

impl Ports for Taken {
    fn reserve(&mut self, address: SocketAddr) -> io::Result<()> {
        match self.0.lock().unwrap().contains(&address.port()) {
            true => Err(io::ErrorKind::AddrInUse.into()),
            false => Ok(()),
        }
    }

    fn keep_only(&mut self, _: &HashSet<SocketAddr>) {}
}

/// Gateways on ports of which some are taken: what is open after each step, and the rules of each.
#[test]
fn a_listener_stays_where_it_was_until_it_can_be_opened_where_it_is_wanted() {
    let taken = Taken::default();
    let store = SnapshotStore::with_ports(&me(), taken.clone());
    let gateway = |name: &str, ports: &[u16]| {
        let listeners = ports.iter().enumerate().map(|(index, port)| GatewayListener {
            name: format!("l{index}").into(),
            port: *port,
            protocol: ListenerProtocol::Http,
            host: None,
            address: None,
            tls: None,
            client: None,
        });
        let gateway = Gateway { namespace: "ns".into(), name: name.into(), listeners: listeners.collect() };
        (ResourceKey::Gateway("ns".into(), name.into()), Resource::Gateway(gateway))
    };
    let on = |name: &str| Parent::Gateway { namespace: "ns".into(), name: name.into(), listener: "".into() };
    let check = |snapshot: &Snapshot, open: &[(u16, usize)], closed: &[u16]| {
        let entry = snapshot.gateway.as_ref().unwrap();
        let found: Vec<_> =
            entry.listeners().map(|(listener, table, _)| (listener.port, table.rules().count())).collect();
        assert_eq!(found, open);
        assert_eq!(entry.closed.iter().map(|closed| closed.address.port()).collect::<Vec<_>>(), closed);
    };
    let first = vec![gateway("one", &[1, 2]), gateway("two", &[8]), rule("a", on("one"))];
    check(&apply(&store, first), &[(1, 1), (2, 1), (8, 0)], &[]);
    *taken.0.lock().unwrap() = [3, 4].into();
    // One moves to ports of which one is taken, two does not care.
    let second = vec![gateway("one", &[3, 2, 5]), gateway("two", &[9])];
    check(&apply(&store, second), &[(2, 1), (5, 1), (9, 0), (1, 1)], &[3]);
    assert!(store.reopen().is_none());
    // Rules that come meanwhile are for what is open.
    check(&apply(&store, vec![rule("b", on("one"))]), &[(2, 2), (5, 2), (9, 0), (1, 2)], &[3]);
    // A listener that is not wanted any more goes, whatever becomes of the others.
    check(&apply(&store, vec![gateway("one", &[4])]), &[(9, 0), (1, 2)], &[4]);
    taken.0.lock().unwrap().clear();
    check(&store.reopen().unwrap(), &[(4, 2), (9, 0)], &[]);
    assert!(store.reopen().is_none());
}
