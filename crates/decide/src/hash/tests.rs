//! Names and addresses that are alike must fall apart.

use super::BuildQuick;
use std::collections::HashSet;
use std::hash::{BuildHasher, Hash};
use std::net::SocketAddr;

fn check<T: Hash>(keys: impl Iterator<Item = T>) {
    let hashes: Vec<u64> = keys.map(|key| BuildQuick::default().hash_one(key)).collect();
    let distinct = |part: fn(u64) -> u64| hashes.iter().map(|h| part(*h)).collect::<HashSet<_>>().len();
    assert_eq!(distinct(|h| h), hashes.len());
    // A table of this many keys uses some bits of either end.
    assert!(distinct(|h| h & 0xffff) > hashes.len() / 2);
    assert!(distinct(|h| h >> 48) > hashes.len() / 2);
}

#[test]
fn keys_that_are_alike_have_hashes_that_are_not() {
    check((0..10_000).map(|n| format!("service-{n}.default.svc.cluster.local")));
    check((0..10_000).map(|n| format!("{n}")));
    check((0..10_000).map(|n| SocketAddr::from(([10, 0, (n >> 8) as u8, n as u8], 8080))));
    check((0..60_000).map(|n| SocketAddr::from(([10, 0, 0, 1], n))));
    check(0..10_000u64);
}
