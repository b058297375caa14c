use super::*;
use model::Locality;
use model::service::{EndpointProfile, EndpointState, Reach};
use std::net::{IpAddr, Ipv4Addr};

fn endpoint(number: usize) -> Endpoint {
    Endpoint {
        uid: format!("workload-{number}").into(),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port: 0,
        weight: 1,
        state: EndpointState::Ready,
        profile: Arc::new(EndpointProfile {
            reach: Reach::Plain,
            cluster: "west".into(),
            locality: Locality::default(),
            identities: Vec::new(),
            gateway_identity: None,
            plaintext_ports: Vec::new(),
        }),
    }
}

#[test]
fn a_small_service_is_one_slice() {
    let slices = layout((0..SLICE_ENDPOINTS_MAX).map(endpoint));
    assert_eq!(slices.indices().collect::<Vec<_>>(), [0]);
    assert!(layout([]).is_empty());
}

#[test]
fn the_order_of_arrival_does_not_matter() {
    assert_eq!(layout((0..500).map(endpoint)), layout((0..500).rev().map(endpoint)));
}

#[test]
fn one_arrival_changes_few_slices_and_none_is_too_large() {
    for count in [10, 48, 49, 500, 2000] {
        let (before, after) = (layout((0..count).map(endpoint)), layout((0..=count).map(endpoint)));
        assert!(after.0.iter().all(|(_, slice)| slice.len() <= SLICE_ENDPOINTS_MAX));
        assert_eq!(after.endpoints().count(), count + 1);
        let changed = after.0.iter().filter(|(index, slice)| before.find(*index) != Some(slice)).count();
        assert!(changed <= 2, "{count}: {changed} slices changed");
    }
}
