#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use crate::presence::{Registration, Standing, Validity};
use crate::push::published::SWEEP_SLACK;
use crate::source::id::SourceId;
use crate::source::objects::SourceState;
use crate::stream::StreamPeer;
use api::Object;
use model::ObjectRef;
use model::{Locality, SpiffeId};
use std::fmt::Write as _;
use std::time::UNIX_EPOCH;
use tokio::sync::mpsc;
use xds::proto::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};

mod health;

pub(crate) fn plane() -> Plane {
    let place = LocalCluster {
        cluster: "west".into(),
        network: "west".into(),
        locality: Locality::default(),
        trust_domain: model::TrustDomain::parse("leno.demo").unwrap(),
    };
    let metrics = Metrics::new(&daemon::metrics::Registry::new());
    Plane::new(place, Vec::new(), Stored::default(), metrics, Instant::now())
}

#[test]
fn a_client_that_asks_for_ever_new_names_leaves_nothing_behind() {
    let mut plane = plane();
    let (tx, mut responses) = mpsc::channel(4);
    let id = plane.open(ControlStream::new(StreamPeer::Local, tx, || UNIX_EPOCH), &Hello::default()).unwrap();
    let names = |round: usize| (0..500).map(|i| format!("host/h{round}-{i}.test")).collect::<Vec<_>>();
    let mut nonce = String::new();
    for round in 1..20 {
        let request = DeltaDiscoveryRequest {
            resource_names_unsubscribe: names(round - 1),
            resource_names_subscribe: names(round),
            response_nonce: std::mem::take(&mut nonce),
            ..DeltaDiscoveryRequest::default()
        };
        plane.request(id, request).unwrap();
        while let Ok(response) = responses.try_recv() {
            nonce = response.nonce;
        }
        assert!(plane.published() < 2 * SWEEP_SLACK, "{} in round {round}", plane.published());
    }
    assert!(plane.published() >= 500);
}

/// Preview environments: routes of a service come and go under ever new names.
#[test]
fn rules_that_are_gone_are_not_kept_encoded() {
    let mut plane = plane();
    let (tx, mut responses) = mpsc::channel(64);
    let id = plane.open(ControlStream::new(StreamPeer::Local, tx, || UNIX_EPOCH), &Hello::default()).unwrap();
    let host = "host/web.default.svc.cluster.local".to_owned();
    let subscribe = vec![host];
    let request =
        DeltaDiscoveryRequest { resource_names_subscribe: subscribe, ..DeltaDiscoveryRequest::default() };
    plane.request(id, request).unwrap();
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  selector: {app: web}\n  \
                   ports: [{port: 80}]\n";
    let (mut rules, mut most) = (0, 0);
    for round in 0..6 {
        let mut text = service.to_owned();
        for i in 0..SWEEP_SLACK / 2 {
            write!(
                text,
                "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r{round}-{i}}}\n\
                 spec:\n  parentRefs: [{{kind: Service, group: '', name: web}}]\n  \
                 rules: [{{backendRefs: [{{name: web, port: 80}}]}}]\n"
            )
            .unwrap();
        }
        let (objects, findings) = api::parse::documents(&text, "web.yaml");
        assert_eq!(findings, []);
        files(&mut plane.objects, objects.into_iter().map(Arc::new).collect(), &[]);
        plane.sync_objects();
        plane.flush(Instant::now());
        while let Ok(response) = responses.try_recv() {
            rules = rules.max(response.resources.len());
            let ack = DeltaDiscoveryRequest { response_nonce: response.nonce, ..Default::default() };
            plane.request(id, ack).unwrap();
        }
        most = most.max(plane.encoded());
    }
    assert!(rules >= SWEEP_SLACK / 2, "{rules}");
    assert!(most <= 2 * SWEEP_SLACK, "{most}");
}

/// Of workload `a` of group `a`.
fn registration() -> Registration {
    Registration {
        uid: "a".into(),
        identity: "spiffe://leno.demo/ns/default/sa/a".into(),
        namespace: "default".into(),
        group: "a".into(),
        addresses: vec![Ipv4Addr::new(10, 244, 0, 9).into()],
        standing: Standing::Joined,
        gone_s: None,
        expires_s: Some(600),
        assumed_s: None,
        used: None,
        unready: None,
    }
}

/// A stream of its proxy.
fn proxy_stream(tx: &mpsc::Sender<DeltaDiscoveryResponse>) -> ControlStream {
    let peer = StreamPeer::Proxy {
        uid: "a".into(),
        identity: SpiffeId::parse("spiffe://leno.demo/ns/default/sa/a").unwrap(),
        remote: (Ipv4Addr::LOCALHOST, 1).into(),
        key: translate::ProxyKey { namespace: "default".into(), group: "a".into() },
        version: "1".into(),
        shown: Validity { begins_s: 0, expires_s: 600 },
    };
    ControlStream::new(peer, tx.clone(), || UNIX_EPOCH)
}

/// A proxy opens a stream with its new certificate, then ends the old one: nobody hears of it.
#[test]
fn a_stream_that_takes_over_moves_nothing() {
    let mut plane = plane();
    plane.join(registration());
    let now = Instant::now();
    let (tx, _responses) = mpsc::channel(4);
    let stream = || proxy_stream(&tx);
    let old = plane.open(stream(), &Hello::default()).unwrap();
    plane.flush(now);
    let before = plane.world.workload("a").cloned().unwrap();
    plane.open(stream(), &Hello::default()).unwrap();
    plane.close(old, now);
    plane.expire(now + crate::presence::START_GRACE, UNIX_EPOCH);
    assert!(!plane.is_dirty(), "somebody would be sent something");
    assert_eq!(plane.world.workload("a"), Some(&before));
}

/// The directory has these objects now, some of them about to leave.
fn files(objects: &mut Objects, found: Vec<Arc<Object>>, leaving: &[ObjectRef]) {
    let leaving = leaving.iter().cloned().collect();
    let state = SourceState { objects: found, leaving, ..SourceState::default() };
    assert_eq!(objects.replace(SourceId::Directory(0), state), []);
}

/// A plane with a name behind which there is nothing, which is a finding.
pub(crate) fn plane_with_gap() -> Plane {
    let mut plane = plane();
    let text = "apiVersion: leno.dev/v1alpha1\nkind: GlobalService\nmetadata: {name: web, namespace: a}\n\
                spec: {hosts: [web.mesh.internal], backends: [{service: {name: web}}]}\n";
    let (objects, _) = api::parse::documents(text, "web.yaml");
    files(&mut plane.objects, objects.into_iter().map(Arc::new).collect(), &[]);
    plane.sync_objects();
    plane
}

/// A cluster that fills it.
pub(crate) fn filling_cluster() -> RemoteCluster {
    RemoteCluster {
        cluster: "east".into(),
        network: "east".into(),
        locality: Locality::default(),
        gateways: Vec::new(),
        exports: vec![model::federation::Export {
            host: Hostname::parse("web.mesh.internal").unwrap(),
            ports: Vec::new(),
            weight: 1,
            identities: Vec::new(),
        }],
    }
}

/// Findings are kept until what they speak of changes: objects, and what other clusters say.
#[test]
fn what_is_wrong_is_looked_for_once_for_each_state() {
    assert_eq!(plane().findings(), []);
    let mut plane = plane_with_gap();
    let codes = |plane: &Plane| plane.findings().iter().map(|finding| finding.code).collect::<Vec<_>>();
    assert_eq!(codes(&plane), [model::Code::BackendNotFound]);
    assert!(std::ptr::eq(plane.findings(), plane.findings()));
    plane.remote(vec![filling_cluster()]);
    assert_eq!(codes(&plane), []);
    files(&mut plane.objects, Vec::new(), &[]);
    plane.sync_objects();
    assert_eq!(plane.findings(), []);
}

#[test]
fn some_changed_objects_come_to_the_same_as_looking_at_all() {
    let object = |name: &str, file: &str| {
        let text = format!(
            "apiVersion: leno.dev/v1alpha1\nkind: Backend\nmetadata: {{name: {name}}}\nspec:\n  type: Static\n  \
             addresses: [{{host: 10.0.0.1, port: {}}}]\n",
            1 + file.len()
        );
        Arc::new(api::parse::documents(&text, file).0.pop().unwrap())
    };
    let name = |name: &str| ObjectRef::new("Backend", "default", name);
    type Step<'a> = (&'a str, &'a dyn Fn(&mut Objects));
    let steps: [Step<'_>; 7] = [
        ("a", &|objects| objects.store(object("a", ""), 1)),
        ("b", &|objects| objects.store(object("b", ""), 2)),
        ("b", &|objects| {
            let found = vec![object("b", "b.yaml"), object("b", "other.yaml"), object("c", "c.yaml")];
            files(objects, found, &[name("c")]);
        }),
        ("c", &|objects| objects.store(object("c", ""), 3)),
        ("c", &|objects| objects.remove(&name("c"), 4)),
        ("a", &|objects| objects.remove(&name("a"), 5)),
        ("b", &|objects| files(objects, Vec::new(), &[])),
    ];
    let (mut some, mut all) = (plane(), plane());
    for (at, (changed, step)) in steps.into_iter().enumerate() {
        step(&mut some.objects);
        step(&mut all.objects);
        // A state of the directory concerns all that is in it.
        let concerned = [name(changed), name("c")].into();
        some.sync_changed(&concerned);
        all.sync_objects();
        assert_eq!(some.findings(), all.findings(), "step {at}");
        let known = |plane: &Plane| plane.world.objects().cloned().collect::<Vec<_>>();
        assert_eq!(known(&some), known(&all), "step {at}");
        // Once in memory, however many know it: ten thousand routes are many.
        for object in some.world.objects() {
            assert!(Arc::ptr_eq(&some.objects.find(&object.object).unwrap().1.object, object));
        }
    }
    assert!(some.world.object(&name("b")).is_some());
}
