#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod strict;

use super::*;
use crate::source::id::SourceId;
use crate::source::objects::SourceState;
use crate::task;
use apiserver::StoreError;
use apiserver::backend::ChangeIntent;
use apiserver::{Change, MemoryStore, Row, StoreSnapshot, Swap, Table};
use daemon::clock::System;
use std::sync::mpsc;
use std::time::Instant;

#[test]
fn a_body_must_be_what_the_path_names() {
    let kind = all_kinds().into_iter().find(|kind| kind.kind == "Service").unwrap();
    let target = |name: &str| ObjectTarget { kind, namespace: "default".into(), name: name.into() };
    let body = fixtures::text::service("a", 80);
    assert!(parse_body(&target("a"), &body).is_ok());
    assert!(parse_body(&target(""), &body).is_ok());
    for (name, body) in [("b", body.as_str()), ("a", ""), ("a", "kind: [")] {
        assert!(matches!(parse_body(&target(name), body), Err(ApiError::Invalid(_))), "{name} {body}");
    }
}

/// A store whose commits wait for a word.
struct Gated {
    inner: MemoryStore,
    begun: mpsc::Sender<()>,
    go_on: std::sync::Mutex<mpsc::Receiver<()>>,
}

impl Store for Gated {
    fn rows(&self, table: Table) -> Result<Vec<Row>, StoreError> {
        self.inner.rows(table)
    }
    fn row(&self, table: Table, key: &str) -> Result<Option<Row>, StoreError> {
        self.inner.row(table, key)
    }
    fn commit(&self, changes: &[Change]) -> Result<u64, StoreError> {
        self.begun.send(()).unwrap();
        self.go_on.lock().unwrap().recv().unwrap();
        self.inner.commit(changes)
    }
    fn swap(&self, table: Table, key: &str, expected: &[u8], value: &[u8]) -> Result<Swap, StoreError> {
        self.inner.swap(table, key, expected, value)
    }
    fn revision(&self) -> Result<u64, StoreError> {
        self.inner.revision()
    }
    fn snapshot(&self, bytes_max: usize) -> Result<StoreSnapshot, StoreError> {
        self.inner.snapshot(bytes_max)
    }
}

/// A control plane's task, with nothing in it.
fn plane() -> Handle {
    let (work, handle, mut rows) = task::prepare(Arc::new(System));
    let place = translate::LocalCluster {
        cluster: "west".into(),
        network: "west".into(),
        locality: model::Locality::default(),
        trust_domain: model::TrustDomain::parse("leno.demo").unwrap(),
    };
    let metrics = crate::metrics::Metrics::new(&daemon::metrics::Registry::new());
    let plane =
        crate::plane::Plane::new(place, Vec::new(), crate::plane::Stored::default(), metrics, Instant::now());
    tokio::spawn(work.run(plane));
    tokio::spawn(async move { while rows.recv().await.is_some() {} });
    handle
}

/// The API of a cluster with nothing in it.
struct Bed {
    api: ClusterApi,
    handle: Handle,
    store: Arc<MemoryStore>,
}

impl Bed {
    fn new() -> Self {
        let (handle, store) = (plane(), Arc::new(MemoryStore::new()));
        let tokens = Tokens::new(store.clone(), Arc::new(System));
        let api = ClusterApi::new(handle.clone(), store.clone(), tokens, Arc::new(|| None));
        Self { api, handle, store }
    }

    /// Applies these texts and deletes these objects, each `KIND/NAME`, as one change: what came of it, or the
    /// codes of what stands against it.
    async fn change(&self, apply: &[&str], delete: &[&str]) -> Result<Changed, Vec<&'static str>> {
        self.change_with(apply, delete, ChangeIntent::Make).await
    }

    /// The same, meant otherwise.
    async fn change_with(
        &self,
        apply: &[&str],
        delete: &[&str],
        intent: ChangeIntent,
    ) -> Result<Changed, Vec<&'static str>> {
        let target = |text: &&str| {
            let (kind, name) = text.split_once('/').unwrap();
            let kind = all_kinds().into_iter().find(|known| known.kind == kind).unwrap();
            ObjectTarget { kind, namespace: "default".into(), name: name.into() }
        };
        let batch = Batch {
            apply: apply.iter().map(|text| (*text).to_owned()).collect(),
            delete: delete.iter().map(target).collect(),
            intent,
        };
        let codes = |findings: Vec<Finding>| findings.iter().map(|finding| finding.code.as_str()).collect();
        self.api.change(batch).await.map_err(|refusal| match refusal {
            ApiError::Invalid(findings) => codes(findings),
            ApiError::ReadOnly(finding) | ApiError::Conflict { finding, .. } => codes(vec![*finding]),
            other => panic!("{other}"),
        })
    }

    /// The names in force, and how many rows are stored.
    async fn state(&self) -> String {
        let names = |plane: &mut crate::plane::Plane, _| {
            plane.world.objects().map(|object| object.meta.name.to_string()).collect::<Vec<_>>().join(" ")
        };
        let rows = self.store.rows(Table::Objects).unwrap().len();
        format!("{} {rows}", self.handle.run(names).await.unwrap())
    }
}

fn service(name: &str) -> String {
    fixtures::text::service(name, 80)
}

fn route(name: &str, parent: &str, backend: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}}}\nspec:\n  \
         parentRefs: [{{kind: Service, group: '', name: {parent}}}]\n  rules: [{{backendRefs: [{{name: {backend}, port: 80}}]}}]\n"
    )
}

#[tokio::test]
async fn what_comes_together_is_one_change_in_whatever_order() {
    let bed = Bed::new();
    let (route, a, b) = (route("r", "a", "b"), service("a"), service("b"));
    let changed = bed.change(&[&route, &b, &a], &[]).await.unwrap();
    // No finding comes from a state that never was: the services have no workloads, that is all.
    let codes: Vec<_> = changed.findings.iter().map(|finding| finding.code.as_str()).collect();
    assert_eq!((changed.applied.len(), codes), (3, vec!["LENO0105", "LENO0105"]));
    let revisions = bed.store.rows(Table::Objects).unwrap().into_iter().map(|row| row.revision);
    assert_eq!(revisions.collect::<Vec<_>>(), [changed.revision; 3]);
    assert_eq!(bed.state().await, "r a b 3");
    // So is what goes and what comes.
    let changed = bed.change(&[&service("c")], &["HTTPRoute/r", "Service/b", "Service/none"]).await.unwrap();
    assert_eq!((changed.deleted.len(), changed.missing.len()), (2, 1));
    assert_eq!(bed.state().await, "a c 2");
    let again = bed.change(&[], &["Service/none"]).await.unwrap();
    assert_eq!((again.revision, bed.state().await.as_str()), (changed.revision, "a c 2"));
}

#[tokio::test]
async fn one_that_is_refused_keeps_out_all_and_leaves_nothing() {
    let bed = Bed::new();
    bed.change(&[&service("a")], &[]).await.unwrap();
    let addresses = |plane: &mut crate::plane::Plane, _| plane.world.addresses();
    let known = bed.handle.run(addresses).await.unwrap();
    let check = async |apply: &[&str], delete: &[&str], codes: &[&str]| {
        let refused = bed.change(apply, delete).await.unwrap_err();
        assert!(codes.iter().all(|code| refused.contains(code)), "{refused:?}");
        assert_eq!(bed.state().await, "a 1");
        assert_eq!(bed.handle.run(addresses).await.unwrap(), known);
    };
    let b = service("b");
    check(&[&b, &route("r", "a", "none")], &[], &["LENO0101"]).await;
    check(&[&b, &route("r", "a", "a").replace("80", "81")], &[], &["LENO0104"]).await;
    check(&[&b, &route("r", "a", "a")], &["Service/a"], &["LENO0101"]).await;
    check(&[&b, &service("c").replace("port", "prot")], &["Service/a"], &["LENO0003"]).await;
    check(&[&b, &b], &[], &["LENO0006"]).await;
    check(&[&b], &["Service/b", "Service/a"], &["LENO0006"]).await;
    let stale = service("a").replace("name: a\n", "name: a\n  resourceVersion: '9'\n");
    check(&[&b, &stale, &stale.replace(": a", ": c")], &[], &["LENO0009", "LENO0009"]).await;
    let file = |plane: &mut crate::plane::Plane, _: crate::task::Now| {
        let (objects, findings) = api::parse::documents(&service("a"), "a.yaml");
        let objects = objects.into_iter().map(Arc::new).collect();
        let state = SourceState { objects, findings, ..SourceState::default() };
        assert_eq!(plane.objects.replace(SourceId::Directory(0), state), []);
        plane.sync_objects();
    };
    bed.handle.run(file).await.unwrap();
    check(&[&b, &service("a")], &[], &["LENO0008"]).await;
    // What lies under a file's object can be deleted: so the finding about the two can be mended.
    assert_eq!(bed.change(&[], &["Service/a"]).await.unwrap().deleted.len(), 1);
    assert_eq!(
        (bed.state().await.as_str(), bed.change(&[], &["Service/a"]).await.unwrap_err()),
        ("a 0", vec!["LENO0008"])
    );
}

#[tokio::test]
async fn what_a_change_breaks_elsewhere_is_told() {
    let bed = Bed::new();
    bed.change(&[&service("a"), &service("b"), &route("r", "a", "b")], &[]).await.unwrap();
    let changed = bed.change(&[], &["Service/b"]).await.unwrap();
    let told: Vec<_> =
        changed.findings.iter().map(|f| (f.code.as_str(), f.origin.object.to_string())).collect();
    assert_eq!(told, [("LENO0101", "HTTPRoute/r.default".to_owned())]);
    // And not again with the next change.
    assert!(bed.change(&[], &["Service/none"]).await.unwrap().findings.is_empty());
    // An object about which there is an error is not stored, also when it comes alone.
    let kind = all_kinds().into_iter().find(|kind| kind.kind == "HTTPRoute").unwrap();
    let target = ObjectTarget { kind, namespace: "default".into(), name: "s".into() };
    let refused = bed.api.apply(target, route("s", "a", "b")).await.map(drop);
    assert!(matches!(refused, Err(ApiError::Invalid(_))), "{refused:?}");
    assert_eq!(bed.state().await, "r a 2");
}

#[tokio::test]
async fn what_is_stored_comes_into_force_though_the_caller_hung_up() {
    let handle = plane();
    let (begun, has_begun) = mpsc::channel();
    let (go, go_on) = mpsc::channel();
    let store: Arc<dyn Store> =
        Arc::new(Gated { inner: MemoryStore::new(), begun, go_on: std::sync::Mutex::new(go_on) });
    let tokens = Tokens::new(store.clone(), Arc::new(System));
    let api = Arc::new(ClusterApi::new(handle.clone(), store, tokens, Arc::new(|| None)));

    let kind = all_kinds().into_iter().find(|kind| kind.kind == "Service").unwrap();
    let target = ObjectTarget { kind, namespace: "default".into(), name: "a".into() };
    let body = fixtures::text::service("a", 80);
    let caller = tokio::spawn({
        let api = api.clone();
        async move { api.apply(target, body).await.map(drop) }
    });
    tokio::task::spawn_blocking(move || has_begun.recv().unwrap()).await.unwrap();
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    go.send(()).unwrap();
    let object = ObjectRef::new("Service", "default", "a");
    let begun = Instant::now();
    loop {
        let wanted = object.clone();
        if handle.run(move |plane, _| plane.world.object(&wanted).is_some()).await.unwrap() {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "not in force within 30 s");
    }
}

#[tokio::test]
async fn a_secret_is_never_taken_over_the_api() {
    let bed = Bed::new();
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ntype: kubernetes.io/tls\n\
                  stringData: {tls.crt: c, tls.key: k}\n";
    for intent in [ChangeIntent::Make, ChangeIntent::Try, ChangeIntent::Force] {
        assert_eq!(bed.change_with(&[secret], &[], intent).await.unwrap_err(), ["LENO0103"]);
    }
    assert_eq!(bed.state().await, " 0");
}
