//! How a service's endpoints are divided among slices: a function of the set of endpoints alone.
//!
//! Slices are the leaves of a binary trie over a hash of the uid; a leaf splits when it would exceed
//! [`SLICE_ENDPOINTS_MAX`] and merges when its parent would not. So an endpoint keeps its slice when others
//! come and go (unless its own leaf splits or merges), and a restarted control plane finds the same layout.

use model::service::{Endpoint, SLICE_ENDPOINTS_MAX};
use std::sync::Arc;

/// Deepest leaf: slice indices then stay below 2^31. A leaf there may exceed the maximum.
const DEPTH_MAX: u32 = 30;

/// The endpoints of a host by slice, sorted by index; within a slice, sorted by uid. Most hosts have one slice of a
/// few endpoints, so there is no map.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Slices(Box<[(u32, Arc<[Endpoint]>)]>);

impl Slices {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn indices(&self) -> impl Iterator<Item = u32> {
        self.0.iter().map(|(index, _)| *index)
    }

    pub(crate) fn find(&self, index: u32) -> Option<&Arc<[Endpoint]>> {
        let at = self.0.binary_search_by_key(&index, |(index, _)| *index).ok()?;
        self.0.get(at).map(|(_, endpoints)| endpoints)
    }

    pub(crate) fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.0.iter().flat_map(|(_, endpoints)| &**endpoints)
    }
}

/// Divides endpoints among slices. An undivided service has slice 0; the halves of slice `i` are `2i + 1` and
/// `2i + 2`. Empty slices do not exist.
pub(crate) fn layout(endpoints: impl IntoIterator<Item = Endpoint>) -> Slices {
    let mut hashed: Vec<(u64, Endpoint)> = endpoints.into_iter().map(|e| (hash(&e.uid), e)).collect();
    hashed.sort_by(|a, b| (a.0, &a.1.uid).cmp(&(b.0, &b.1.uid)));
    hashed.dedup_by(|a, b| a.1.uid == b.1.uid);
    let mut slices = Vec::new();
    split(hashed, 0, 0, &mut slices);
    slices.sort_unstable_by_key(|(index, _)| *index);
    Slices(slices.into())
}

fn split(mut part: Vec<(u64, Endpoint)>, depth: u32, index: u32, slices: &mut Vec<(u32, Arc<[Endpoint]>)>) {
    if part.is_empty() {
        return;
    }
    if part.len() <= SLICE_ENDPOINTS_MAX || depth == DEPTH_MAX {
        let mut leaf: Vec<Endpoint> = part.into_iter().map(|(_, endpoint)| endpoint).collect();
        leaf.sort_by(|a, b| a.uid.cmp(&b.uid));
        slices.push((index, leaf.into()));
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
