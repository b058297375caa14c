//! How a service's endpoints are divided among slices: a function of the set of endpoints alone.
//!
//! Slices are the leaves of a binary trie over a hash of the uid; a leaf splits when it would exceed
//! [`SLICE_ENDPOINTS_MAX`] and merges when its parent would not. So an endpoint keeps its slice when others
//! come and go (unless its own leaf splits or merges), and a restarted control plane finds the same layout.

use model::service::{Endpoint, SLICE_ENDPOINTS_MAX};
use std::collections::BTreeMap;

/// Deepest leaf: slice indices then stay below 2^31. A leaf there may exceed the maximum.
const DEPTH_MAX: u32 = 30;

/// Slice index to endpoints, sorted by uid within a slice. An undivided service has slice 0; the halves
/// of slice `i` are `2i + 1` and `2i + 2`. Empty slices do not exist.
pub(crate) fn layout(endpoints: impl IntoIterator<Item = Endpoint>) -> BTreeMap<u32, Vec<Endpoint>> {
    let mut hashed: Vec<(u64, Endpoint)> = endpoints.into_iter().map(|e| (hash(&e.uid), e)).collect();
    hashed.sort_by(|a, b| (a.0, &a.1.uid).cmp(&(b.0, &b.1.uid)));
    hashed.dedup_by(|a, b| a.1.uid == b.1.uid);
    let mut slices = BTreeMap::new();
    split(hashed, 0, 0, &mut slices);
    slices
}

fn split(mut part: Vec<(u64, Endpoint)>, depth: u32, index: u32, slices: &mut BTreeMap<u32, Vec<Endpoint>>) {
    if part.is_empty() {
        return;
    }
    if part.len() <= SLICE_ENDPOINTS_MAX || depth == DEPTH_MAX {
        let mut leaf: Vec<Endpoint> = part.into_iter().map(|(_, endpoint)| endpoint).collect();
        leaf.sort_by(|a, b| a.uid.cmp(&b.uid));
        slices.insert(index, leaf);
        return;
    }
    let bit = 1u64 << (63 - depth);
    let upper = part.split_off(part.partition_point(|(hash, _)| hash & bit == 0));
    split(part, depth + 1, 2 * index + 1, slices);
    split(upper, depth + 1, 2 * index + 2, slices);
}

/// FNV-1a, then mixed, because FNV's high bits hardly differ among short names.
fn hash(text: &str) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests;
