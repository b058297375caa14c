#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::task;
use apiserver::{MemoryStore, Row, Swap};
use daemon::clock::System;
use std::sync::mpsc;
use std::time::Instant;

#[test]
fn a_body_must_be_what_the_path_names() {
    let kind = all_kinds().into_iter().find(|kind| kind.kind == "Service").unwrap();
    let target = |name: &str| Target { kind, namespace: "default".into(), name: name.into() };
    let body = crate::source::directory::tests::service("a", 80);
    assert!(parse_body(&target("a"), &body).is_ok());
    assert!(parse_body(&target(""), &body).is_ok());
    for (name, body) in [("b", body.as_str()), ("a", ""), ("a", "kind: [")] {
        assert!(matches!(parse_body(&target(name), body), Err(Refusal::Invalid(_))), "{name} {body}");
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
}

#[tokio::test]
async fn what_is_stored_comes_into_force_though_the_caller_hung_up() {
    let (work, handle, _rows) = task::prepare(Arc::new(System));
    let place = translate::ClusterPlace {
        cluster: "west".into(),
        network: "west".into(),
        locality: model::Locality::default(),
        trust_domain: model::TrustDomain::parse("leno.demo").unwrap(),
    };
    let metrics = crate::metrics::Metrics::new(&daemon::metrics::Registry::new());
    let plane = Plane::new(place, Vec::new(), crate::plane::Stored::default(), metrics, Instant::now());
    tokio::spawn(work.run(plane));
    let (begun, has_begun) = mpsc::channel();
    let (go, go_on) = mpsc::channel();
    let store: Arc<dyn Store> =
        Arc::new(Gated { inner: MemoryStore::new(), begun, go_on: std::sync::Mutex::new(go_on) });
    let tokens = Tokens::new(store.clone(), Arc::new(System));
    let api = Arc::new(ClusterApi::new(handle.clone(), store, tokens, Arc::new(|| None)));

    let kind = all_kinds().into_iter().find(|kind| kind.kind == "Service").unwrap();
    let target = Target { kind, namespace: "default".into(), name: "a".into() };
    let body = crate::source::directory::tests::service("a", 80);
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
        if handle.run(move |plane, _| plane.in_force().contains_key(&wanted)).await.unwrap() {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "not in force within 30 s");
    }
}
