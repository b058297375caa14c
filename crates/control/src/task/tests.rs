#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use apiserver::Table;
use daemon::clock::System;

#[tokio::test]
async fn a_store_that_stands_still_does_not_stop_the_world() {
    let (work, handle, mut rows) = prepare(Arc::new(System));
    let place = translate::ClusterPlace {
        cluster: "west".into(),
        network: "west".into(),
        locality: model::Locality::default(),
        trust_domain: model::TrustDomain::parse("leno.demo").unwrap(),
    };
    let metrics = crate::metrics::Metrics::new(&daemon::metrics::Registry::new());
    let plane = Plane::new(place, Vec::new(), crate::plane::Stored::default(), metrics, Instant::now());
    let world = tokio::spawn(work.run(plane));
    let count = ROW_BATCHES_MAX + 10;
    let all = async {
        for number in 0..count {
            let row = Change::Delete(Table::Registrations, number.to_string());
            handle.run(move |plane, _| plane.add_rows(vec![row])).await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(30), all).await.unwrap();
    // Nothing is lost, and the order stays.
    let mut stored = Vec::new();
    while stored.len() < count {
        stored.extend(rows.recv().await.unwrap());
    }
    let wanted = |number: usize| Change::Delete(Table::Registrations, number.to_string());
    assert!(stored.iter().cloned().eq((0..count).map(wanted)));
    drop(handle);
    world.await.unwrap();
}
