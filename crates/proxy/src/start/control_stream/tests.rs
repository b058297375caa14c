#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use crate::dns::Captured;
use crate::lookup::{Found, Lookup};
use crate::testing::{host, me, service, slice};
use daemon::Readiness;
use daemon::clock::System;
use daemon::notify::Supervisor;
use identity::{Key, Svid};
use model::mtls::MtlsMode;
use rcgen::{CertificateParams, KeyUsagePurpose, SanType};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::SystemTime;
use tokio::task::LocalSet;
use xds::link::ServerEnd;
use xds::server::{Catalog, ServerSession, SessionStatus};
use xds::wire::{self, Encoded};

/// What the control plane has, and what it saw.
#[derive(Default)]
struct World {
    members: HashMap<Subscription, Vec<Arc<Encoded>>>,
    /// Resources sent on each stream so far.
    sent: Vec<usize>,
    /// Streams open now, and how many stayed whenever one ended.
    open: usize,
    stayed: Vec<usize>,
    status: Option<SessionStatus>,
    complaints: Vec<String>,
    /// What was told of the application, on all streams.
    health: Vec<ApplicationHealth>,
    /// What was told of callers, in its order.
    observed: Vec<xds::proto::ObservedInbound>,
}

impl Catalog for World {
    fn members(&self, subscription: &Subscription) -> Vec<Arc<Encoded>> {
        self.members.get(subscription).cloned().unwrap_or_default()
    }

    fn implied(&self) -> Vec<Subscription> {
        vec![Subscription::Mesh]
    }
}

impl World {
    fn put(&mut self, name: &str, resources: Vec<(ResourceKey, Resource)>) {
        let encoded = resources.iter().map(|(key, resource)| wire::encode(key, resource)).collect();
        self.members.insert(Subscription::Host(host(name)), encoded);
    }
}

/// A proxy's control thread and a control plane, joined by links that the test cuts.
struct Bench {
    world: Rc<RefCell<World>>,
    cut: Rc<tokio::sync::Notify>,
    lookup: Lookup,
    store: Arc<SnapshotStore>,
    readiness: Readiness,
    identity: Identity,
    probing: Arc<Probing>,
    observe: Arc<Observe>,
}

fn bench(last_good: Option<LastGood>) -> Bench {
    bench_as(Identity::new(Vec::new()), last_good)
}

fn bench_as(identity: Identity, last_good: Option<LastGood>) -> Bench {
    let (world, cut) = (Rc::new(RefCell::new(World::default())), Rc::new(tokio::sync::Notify::new()));
    let (readiness, probing) = (Readiness::new(), Probing::new());
    let captured = Arc::new(Captured::new(&Default::default()));
    let store = SnapshotStore::new(&me());
    let (lookup, queries) = Lookup::new(Arc::clone(&store));
    let observe = Observe::new(Arc::new(System), None);
    let stream = StreamClient::new(StreamParts {
        me: me(),
        store: Arc::clone(&store),
        on_demand: OnDemand::new(Arc::clone(&store), &lookup),
        queries,
        identity: identity.clone(),
        observe: Arc::clone(&observe),
        probing: Arc::clone(&probing),
        capture: CaptureNotice::new(Rc::new(Supervisor::silent()), Arc::clone(&captured)),
        clock: Arc::new(System),
        last_good,
        configured: readiness.gate("configured"),
        listening: Arc::new(Listening::new(0, Readiness::new().gate("listening"))),
        alone: None,
        dice: Pcg::new(7),
        report_every: REPORT_EVERY,
    });
    let (served, cutting) = (Rc::clone(&world), Rc::clone(&cut));
    let open = async move || {
        let (link, end) = xds::link::pair();
        tokio::task::spawn_local(serve(end, Rc::clone(&served), Rc::clone(&cutting)));
        Ok(link)
    };
    tokio::task::spawn_local(stream.run(open));
    Bench { world, cut, lookup, store, readiness, identity, probing, observe }
}

async fn serve(end: ServerEnd, world: Rc<RefCell<World>>, cut: Rc<tokio::sync::Notify>) {
    world.borrow_mut().open += 1;
    answer(end, &world, &cut).await;
    let mut world = world.borrow_mut();
    world.open -= 1;
    let stayed = world.open;
    world.stayed.push(stayed);
}

async fn answer(mut end: ServerEnd, world: &RefCell<World>, cut: &tokio::sync::Notify) {
    let mut session = ServerSession::new(SystemTime::now);
    world.borrow_mut().sent.push(0);
    loop {
        let request = tokio::select! {
            request = end.rx.recv() => request,
            () = cut.notified() => return,
        };
        let Some(Ok(request)) = request else { return };
        let response = {
            let mut world = world.borrow_mut();
            world.observed.extend(request.observed.clone());
            world.complaints.extend(request.error_detail.as_ref().map(|detail| detail.message.clone()));
            let told = request.health.as_ref().map(|health| wire::health_in(health).unwrap());
            world.health.extend(told);
            let response = session.on_request(request, &*world).unwrap();
            *world.sent.last_mut().unwrap() +=
                response.as_ref().map_or(0, |response| response.resources.len());
            world.status = Some(session.status());
            response
        };
        if let Some(response) = response {
            end.tx.send(response).await.unwrap();
        }
    }
}

impl Bench {
    async fn find(&self, name: &str) -> Option<Arc<Snapshot>> {
        match self.lookup.host(&host(name)).await.unwrap() {
            Found::Present(snapshot) => Some(snapshot),
            Found::Absent => None,
        }
    }

    /// Waits until the control plane's view satisfies `is_so`.
    async fn until(&self, is_so: impl Fn(&World) -> bool) {
        let waited = async {
            while !is_so(&self.world.borrow()) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waited).await.unwrap();
    }
}

fn is_synced(world: &World) -> bool {
    world.status.as_ref().is_some_and(|status| status.synced)
}

#[tokio::test]
async fn a_host_is_fetched_when_it_is_needed_and_then_confirmed() {
    let test = async {
        let bench = bench(None);
        bench.world.borrow_mut().put("a.mesh", vec![service("a.mesh"), slice("a.mesh", 0, &["a1"])]);
        assert!(bench.find("nope.mesh").await.is_none());
        let snapshot = bench.find("a.mesh").await.unwrap();
        assert_eq!(snapshot.host("a.mesh").unwrap().endpoints.len(), 1);
        bench.until(|world| is_synced(world) && world.status.as_ref().unwrap().resources == 2).await;
        assert!(bench.readiness.is_ready());
    };
    LocalSet::new().run_until(test).await;
}

/// In so many turns every task has done what it can.
const TURNS: usize = 1000;

/// With each stream all of it, then what has changed; nothing new is nothing told.
#[tokio::test(start_paused = true)]
async fn who_came_is_told_with_each_stream_and_whenever_it_has_changed() {
    let test = async {
        let bench = bench(None);
        let recorder = bench.observe.recorder();
        // All that is due by then is done, as time stands still in between.
        let told_after = async |pause: Duration| {
            tokio::time::advance(pause).await;
            for _ in 0..TURNS {
                tokio::task::yield_now().await;
            }
            let world = bench.world.borrow();
            world.observed.iter().map(|told| told.plaintext.len()).collect::<Vec<_>>()
        };
        let moment = Duration::from_millis(1);
        assert_eq!(told_after(moment).await, [0]);
        assert_eq!(told_after(REPORT_EVERY * 3).await, [0], "nothing has changed");
        for last in [1, 2] {
            drop(recorder.inbound.plaintext(80, [10, 0, 0, last].into(), MtlsMode::Permissive));
        }
        assert_eq!(told_after(REPORT_EVERY - moment * 2).await, [0], "not too often");
        assert_eq!(told_after(moment * 5).await, [0, 2], "both at once");
        bench.cut.notify_one();
        assert_eq!(told_after(moment).await, [0, 2], "it waits before it calls again");
        assert_eq!(told_after(BACKOFF_MAX).await, [0, 2, 2], "the next stream begins with all of it");
        let report = bench.world.borrow().observed[2].clone();
        assert_eq!(u128::from(report.report_every_ms), REPORT_EVERY.as_millis());
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn a_reconnect_brings_only_differences_and_disturbs_nothing() {
    let test = async {
        let bench = bench(None);
        bench.world.borrow_mut().put("a.mesh", vec![service("a.mesh"), slice("a.mesh", 0, &["a1"])]);
        let before = bench.find("a.mesh").await.unwrap();
        bench.until(is_synced).await;
        bench.world.borrow_mut().put("b.mesh", vec![service("b.mesh")]);
        bench.cut.notify_one();
        bench.until(|world| world.sent.len() == 2).await;
        let after = bench.find("b.mesh").await.unwrap();
        bench.until(|world| is_synced(world) && world.status.as_ref().unwrap().resources == 3).await;
        assert_eq!(bench.world.borrow().sent, [2, 1]);
        assert!(Arc::ptr_eq(before.host("a.mesh").unwrap(), after.host("a.mesh").unwrap()));
    };
    LocalSet::new().run_until(test).await;
}

/// A stream begins with what is known, and hears of every change.
#[tokio::test]
async fn the_health_of_the_application_is_told_when_it_changes_and_on_each_stream() {
    use ApplicationHealth::{NotProbed, Ready, Unknown};
    let test = async {
        let bench = bench(None);
        let told = |expected: &[ApplicationHealth]| {
            let expected = expected.to_vec();
            // A configuration without a probe may have come again meanwhile.
            move |world: &World| world.health.starts_with(&expected)
        };
        bench.until(told(&[Unknown, NotProbed])).await;
        let second = Duration::from_secs(1);
        let action = model::probe::ProbeAction::Exec(vec!["true".into()]);
        let probe = model::probe::ReadinessProbe {
            action,
            initial_delay: second,
            timeout: second,
            period: second,
            success_threshold: 1,
            failure_threshold: 1,
        };
        bench.probing.configure(Some(&Arc::new(probe)));
        bench.until(told(&[Unknown, NotProbed, Ready])).await;
        bench.cut.notify_one();
        bench.until(told(&[Unknown, NotProbed, Ready, Ready])).await;
    };
    LocalSet::new().run_until(test).await;
}

/// Of the last hour of its life when that is short; nobody checks who signed it.
fn svid(life: Duration) -> Svid {
    let key = Key::generate().unwrap();
    let mut params = CertificateParams::default();
    params.not_before = (SystemTime::now() - Duration::from_secs(1_000_000)).into();
    params.not_after = (SystemTime::now() + life).into();
    params.subject_alt_names = vec![SanType::URI(crate::testing::id("a").to_string().try_into().unwrap())];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let issuer = rcgen::Issuer::new(CertificateParams::default(), rcgen::KeyPair::generate().unwrap());
    let leaf = params.signed_by(&key, &issuer).unwrap();
    Svid::new(key, vec![leaf.der().to_vec()]).unwrap()
}

#[tokio::test]
async fn a_stream_with_the_new_certificate_takes_over_before_the_old_one_ends() {
    let test = async {
        let identity = Identity::new(Vec::new());
        identity.install(svid(Duration::from_secs(3600)));
        let bench = bench_as(identity, None);
        bench.world.borrow_mut().put("a.mesh", vec![service("a.mesh"), slice("a.mesh", 0, &["a1"])]);
        let before = bench.find("a.mesh").await.unwrap();
        bench.until(is_synced).await;
        // Almost over, but there is no other: the stream goes on.
        assert_eq!(bench.world.borrow().sent, [2]);
        bench.identity.install(svid(Duration::from_secs(100_000_000)));
        bench.until(|world| world.stayed.len() == 1 && is_synced(world)).await;
        assert_eq!(bench.world.borrow().sent, [2, 0]);
        assert_eq!((bench.world.borrow().open, bench.world.borrow().stayed.as_slice()), (1, &[1][..]));
        bench.world.borrow_mut().put("b.mesh", vec![service("b.mesh")]);
        let after = bench.find("b.mesh").await.unwrap();
        assert!(Arc::ptr_eq(before.host("a.mesh").unwrap(), after.host("a.mesh").unwrap()));
        assert_eq!(bench.world.borrow().sent, [2, 1]);
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_and_the_rest_is_used() {
    let test = async {
        let bench = bench(None);
        let good = service("a.mesh");
        let (key, content) = slice("a.mesh", 0, &["a1"]);
        let type_url = wire::encode(&key, &content).any.type_url().to_owned();
        let any = wire::Any::Received { type_url, value: vec![0xff; 8].into() };
        let bad = Encoded { name: key.to_string().into(), key, version: "1".into(), any };
        let members = vec![wire::encode(&good.0, &good.1), Arc::new(bad)];
        bench.world.borrow_mut().members.insert(Subscription::Host(host("a.mesh")), members);
        let snapshot = bench.find("a.mesh").await.unwrap();
        assert!(snapshot.host("a.mesh").unwrap().endpoints.is_empty());
        bench.until(|world| world.complaints.iter().any(|text| text.contains("slice/a.mesh/0"))).await;
        assert!(!is_synced(&bench.world.borrow()));
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn a_cold_start_uses_what_was_kept_and_asks_for_differences() {
    let test = async {
        let directory = std::env::temp_dir().join(format!("leno-cold-start-{}", std::process::id()));
        // As on a fresh host: nobody made the state directory.
        let last_good = LastGood::new(&directory.join("state"), &me());
        let resources = vec![service("a.mesh"), slice("a.mesh", 0, &["a1"])];
        let kept = |(key, resource): (ResourceKey, Resource)| {
            let version = Arc::clone(&wire::encode(&key, &resource).version);
            (key, version, resource)
        };
        let saved = Saved {
            wanted: vec![Subscription::Host(host("a.mesh"))],
            resources: resources.iter().cloned().map(kept).collect(),
        };
        last_good.save(&saved).unwrap();
        let bench = bench(Some(last_good));
        std::fs::remove_dir_all(&directory).unwrap();
        assert!(bench.readiness.is_ready());
        assert_eq!(bench.store.snapshot().host("a.mesh").unwrap().endpoints.len(), 1);
        bench.world.borrow_mut().put("a.mesh", resources);
        bench.until(is_synced).await;
        assert_eq!(bench.world.borrow().sent, [0]);
    };
    LocalSet::new().run_until(test).await;
}

/// A policy that nobody here could read denies everything, and does so after a restart too.
#[tokio::test]
async fn a_policy_that_was_never_readable_outlives_a_cold_start() {
    let test = async {
        let directory = std::env::temp_dir().join(format!("leno-unreadable-{}", std::process::id()));
        let last_good = LastGood::new(&directory, &me());
        let first = bench(Some(last_good.clone()));
        let key = ResourceKey::Policy("ns".into(), "from-the-future".into());
        let any = wire::Any::Received {
            type_url: "type.googleapis.com/leno.mesh.v1.Policy".to_owned(),
            value: vec![0xff; 8].into(),
        };
        let bad = Arc::new(Encoded { name: key.to_string().into(), key, version: "1".into(), any });
        let (good, slice) = (service("a.mesh"), slice("a.mesh", 0, &["a1"]));
        let key = ResourceKey::parse("gateway-policy/ns/edge/ns/from-the-future").unwrap();
        let worse = Encoded { name: key.to_string().into(), key, version: "1".into(), any: bad.any.clone() };
        let mut members =
            vec![wire::encode(&good.0, &good.1), wire::encode(&slice.0, &slice.1), Arc::new(worse), bad];
        first.world.borrow_mut().members.insert(Subscription::Host(host("a.mesh")), members.clone());
        let running = first.find("a.mesh").await.unwrap();
        assert_eq!((running.policies.len(), running.forward_policies.len()), (1, 1));
        let kept = async {
            while last_good.load().unwrap().is_none_or(|saved| saved.resources.len() != 4) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), kept).await.unwrap();
        // Restarted, before the control plane says anything.
        let second = bench(Some(last_good));
        assert_eq!(second.store.snapshot().policies, running.policies);
        assert_eq!(second.store.snapshot().forward_policies, running.forward_policies);
        // It says the same: only what could not be read comes again.
        second.world.borrow_mut().members.insert(Subscription::Host(host("a.mesh")), members.clone());
        second.until(|world| !world.complaints.is_empty()).await;
        assert_eq!(second.world.borrow().sent, [2]);
        // And it says that the policies are gone.
        members.truncate(2);
        second.world.borrow_mut().members.insert(Subscription::Host(host("a.mesh")), members);
        second.cut.notify_one();
        second.until(is_synced).await;
        assert!(second.store.snapshot().policies.is_empty());
        std::fs::remove_dir_all(&directory).unwrap();
    };
    LocalSet::new().run_until(test).await;
}
