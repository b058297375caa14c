#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::push::published::SWEEP_SLACK;
use tokio::sync::mpsc;

fn plane() -> Plane {
    let place = ClusterPlace {
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
    let id = plane.open(Stream::new(Peer::Local, tx, || UNIX_EPOCH), &[], UNIX_EPOCH).unwrap();
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
