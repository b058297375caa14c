#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::on_demand::{OnDemand, SUBSCRIPTIONS_MAX, StreamState, WORKLOAD_HOSTS_MAX};
use super::*;
use crate::snapshot::SnapshotChange;
use crate::testing::{configured, host, service, slice};
use model::workload_host::workload_host;

struct Bench {
    store: Arc<SnapshotStore>,
    lookup: Lookup,
    queries: mpsc::Receiver<LookupQuery>,
    on_demand: OnDemand,
}

fn bench() -> Bench {
    let store = configured("mesh");
    let (lookup, queries) = Lookup::new(Arc::clone(&store));
    let mut on_demand = OnDemand::new(Arc::clone(&store), &lookup);
    on_demand.set_stream(StreamState::Open);
    Bench { store, lookup, queries, on_demand }
}

impl Bench {
    fn start(&self, name: &str) -> tokio::task::JoinHandle<Result<Found, Unavailable>> {
        let (lookup, name) = (self.lookup.clone(), host(name));
        tokio::spawn(async move { lookup.host(&name).await })
    }

    async fn take(&mut self) -> Option<Subscription> {
        let query = self.queries.recv().await.unwrap();
        self.on_demand.query(query).0
    }

    fn arrive(&mut self, change: SnapshotChange) -> Vec<Subscription> {
        let snapshot = self.store.apply(change);
        self.on_demand.answer_waiters(&snapshot)
    }
}

fn present(name: &str) -> SnapshotChange {
    SnapshotChange { upserts: vec![service(name), slice(name, 0, &["e"])], ..SnapshotChange::default() }
}

fn absent(name: &str) -> SnapshotChange {
    SnapshotChange { absent: vec![Subscription::Host(host(name))], ..SnapshotChange::default() }
}

#[tokio::test]
async fn all_who_wait_for_one_name_cost_one_subscription() {
    let mut bench = bench();
    let waiting: Vec<_> = (0..10).map(|_| bench.start("a.mesh")).collect();
    let mut subscribed = Vec::new();
    for _ in 0..10 {
        subscribed.extend(bench.take().await);
    }
    assert_eq!(subscribed, [Subscription::Host(host("a.mesh"))]);
    bench.arrive(present("a.mesh"));
    for waiter in waiting {
        let Found::Present(snapshot) = waiter.await.unwrap().unwrap() else { panic!("absent") };
        assert!(snapshot.host("a.mesh").is_some());
    }
}

#[tokio::test]
async fn absence_is_an_answer_and_is_not_asked_for_again() {
    let mut bench = bench();
    let waiting = bench.start("nope.mesh");
    bench.take().await;
    bench.arrive(absent("nope.mesh"));
    assert!(matches!(waiting.await.unwrap(), Ok(Found::Absent)));
    assert!(matches!(bench.lookup.host(&host("nope.mesh")).await, Ok(Found::Absent)));
    assert!(bench.queries.try_recv().is_err());
}

#[tokio::test]
async fn a_broken_stream_answers_those_who_wait_but_not_what_is_known() {
    let mut bench = bench();
    bench.arrive(present("known.mesh"));
    let waiting = bench.start("a.mesh");
    bench.take().await;
    bench.on_demand.set_stream(StreamState::Down);
    assert!(matches!(waiting.await.unwrap(), Err(Unavailable::NoStream)));
    let waiting = bench.start("b.mesh");
    assert_eq!(bench.take().await, None);
    assert!(matches!(waiting.await.unwrap(), Err(Unavailable::NoStream)));
    assert!(matches!(bench.lookup.host(&host("known.mesh")).await, Ok(Found::Present(_))));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_the_deadline() {
    let mut bench = bench();
    let waiting = bench.start("a.mesh");
    bench.take().await;
    assert!(matches!(waiting.await.unwrap(), Err(Unavailable::Deadline)));
}

#[tokio::test]
async fn an_address_waits_for_its_host_too() {
    let mut bench = bench();
    let ip = "240.1.2.3".parse().unwrap();
    let lookup = bench.lookup.clone();
    let waiting = tokio::spawn(async move { lookup.address(ip).await });
    assert_eq!(bench.take().await, Some(Subscription::Address(ip)));
    let address = (model::ResourceKey::Address(ip), model::Resource::Address(ip, host("a.mesh")));
    let more = bench.arrive(SnapshotChange { upserts: vec![address], ..SnapshotChange::default() });
    assert_eq!(more, [Subscription::Host(host("a.mesh"))]);
    bench.arrive(present("a.mesh"));
    assert!(matches!(waiting.await.unwrap(), Ok(Found::Present(_))));
}

#[tokio::test]
async fn unused_hosts_are_forgotten_and_used_ones_are_not() {
    let mut bench = bench();
    for name in ["used.mesh", "unused.mesh"] {
        let waiting = bench.start(name);
        bench.take().await;
        bench.arrive(present(name));
        waiting.await.unwrap().unwrap();
    }
    let mut forgotten = Vec::new();
    for _ in 0..20 {
        forgotten.extend(bench.on_demand.tick());
        bench.lookup.touch(bench.store.snapshot().host("used.mesh").unwrap());
    }
    assert_eq!(forgotten, [Subscription::Host(host("unused.mesh"))]);
}

#[tokio::test]
async fn nothing_is_forgotten_without_a_stream() {
    let mut bench = bench();
    let waiting = bench.start("a.mesh");
    bench.take().await;
    bench.arrive(present("a.mesh"));
    waiting.await.unwrap().unwrap();
    bench.on_demand.set_stream(StreamState::Down);
    assert!((0..20).all(|_| bench.on_demand.tick().is_empty()));
}

/// As when an application calls very many addresses and the control plane says nothing of any.
#[tokio::test]
async fn called_addresses_leave_room_for_names() {
    let mut bench = bench();
    let mut ask = |what| {
        let (answer, mut answered) = oneshot::channel();
        let (subscribed, _) = bench.on_demand.query(LookupQuery { what, answer });
        let is_refused = matches!(answered.try_recv(), Ok(Err(Unavailable::TooMany)));
        assert_ne!(subscribed.is_some(), is_refused);
        !is_refused
    };
    let called = |number: usize| {
        let ip = Ipv4Addr::from_bits(u32::try_from(number).unwrap());
        Subscription::Host(workload_host(ip.into()).unwrap())
    };
    assert!((0..WORKLOAD_HOSTS_MAX).all(|number| ask(called(number))));
    assert!(!ask(called(WORKLOAD_HOSTS_MAX)));
    let mut names = (WORKLOAD_HOSTS_MAX..SUBSCRIPTIONS_MAX).map(|number| format!("s{number}.mesh"));
    assert!(names.all(|name| ask(Subscription::Host(host(&name)))));
    assert!(!ask(Subscription::Host(host("late.mesh"))));
}
