#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
use super::*;
use std::collections::HashSet;

#[test]
fn west_and_east_use_the_same_pod_addresses() {
    let of = |cluster: &str| -> HashSet<_> {
        demo().iter().filter(|host| host.cluster == cluster).filter_map(|host| host.pod).collect()
    };
    assert!(of("west").len() >= 8);
    assert_eq!(of("west"), of("east"));
}

#[test]
fn backbone_addresses_and_names_are_unique() {
    let hosts = demo();
    let mut taken: HashSet<_> = CLUSTERS.iter().filter_map(|cluster| router_backbone(cluster)).collect();
    assert!(hosts.iter().filter_map(|host| host.backbone).all(|address| taken.insert(address)));
    let mut names = HashSet::new();
    assert!(hosts.iter().all(|host| names.insert(host.name.clone())));
}
