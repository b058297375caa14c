//! What is served: for each subscription in use its resources, encoded once and shared by all streams.
//!
//! Only what is in use is translated; a change translates again what it touched and compares versions, so
//! that what did not really change is not sent.

use model::{ResourceKey, Subscription};
use std::borrow::Borrow;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use translate::World;
use xds::wire::{self, Encoded};

/// Unused entries are swept out when there are this many more subscriptions, or resources, than after the last sweep.
pub const SWEEP_SLACK: usize = 1024;

/// Encoded resources by subscription and key.
#[derive(Default)]
pub struct Published(RefCell<Tables>);

#[derive(Default)]
struct Tables {
    encoded: HashSet<ByKey>,
    subscriptions: HashMap<Subscription, Vec<Arc<Encoded>>>,
    /// Subscriptions and resources after the last sweep.
    kept_by_sweep: (usize, usize),
}

/// A resource in a set of them: found by its key, and equal to any other of that key.
struct ByKey(Arc<Encoded>);

impl Borrow<ResourceKey> for ByKey {
    fn borrow(&self) -> &ResourceKey {
        &self.0.key
    }
}

impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.key == other.0.key
    }
}

impl Eq for ByKey {}

impl Hash for ByKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key.hash(state);
    }
}

impl Published {
    /// The resources of a subscription.
    pub fn members(&self, subscription: &Subscription, world: &World) -> Vec<Arc<Encoded>> {
        let mut tables = self.0.borrow_mut();
        if let Some(members) = tables.subscriptions.get(subscription) {
            return members.clone();
        }
        let members = tables.collect(subscription, world, &mut HashMap::new());
        tables.subscriptions.insert(subscription.clone(), members.clone());
        members
    }

    /// Translates again what `touched` may have changed; the result is what really did.
    pub fn refresh(&self, touched: &HashSet<Subscription>, world: &World) -> HashSet<Subscription> {
        let mut tables = self.0.borrow_mut();
        let mut fresh = HashMap::new();
        let mut changed = HashSet::new();
        for subscription in touched {
            if !tables.subscriptions.contains_key(subscription) {
                continue;
            }
            let members = tables.collect(subscription, world, &mut fresh);
            let same = |old: &Vec<Arc<Encoded>>| {
                old.len() == members.len() && old.iter().zip(&members).all(|(a, b)| Arc::ptr_eq(a, b))
            };
            if !tables.subscriptions.get(subscription).is_some_and(same) {
                tables.subscriptions.insert(subscription.clone(), members);
                changed.insert(subscription.clone());
            }
        }
        changed
    }

    /// Number of subscriptions kept.
    pub fn len(&self) -> usize {
        self.0.borrow().subscriptions.len()
    }

    /// Number of encoded resources kept.
    #[cfg(test)]
    pub(crate) fn resources(&self) -> usize {
        self.0.borrow().encoded.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets what no stream uses, when it has become much.
    pub fn sweep<'a, S: Iterator<Item = &'a Subscription>>(&self, in_use: impl FnOnce() -> S) {
        let mut tables = self.0.borrow_mut();
        let (subscriptions, resources) = tables.kept_by_sweep;
        if tables.subscriptions.len() < subscriptions + SWEEP_SLACK
            && tables.encoded.len() < resources + SWEEP_SLACK
        {
            return;
        }
        let used: HashSet<&Subscription> = in_use().collect();
        tables.subscriptions.retain(|subscription, _| used.contains(subscription));
        tables.encoded.retain(|ByKey(encoded)| Arc::strong_count(encoded) > 1);
        tables.kept_by_sweep = (tables.subscriptions.len(), tables.encoded.len());
    }
}

impl Tables {
    fn collect(
        &mut self,
        subscription: &Subscription,
        world: &World,
        fresh: &mut HashMap<ResourceKey, Option<Arc<Encoded>>>,
    ) -> Vec<Arc<Encoded>> {
        let keys = translate::members(subscription, world);
        keys.into_iter()
            .filter_map(|key| match fresh.get(&key) {
                Some(known) => known.clone(),
                None => {
                    let encoded = self.encode(&key, world);
                    fresh.insert(key, encoded.clone());
                    encoded
                }
            })
            .collect()
    }

    /// Encodes a resource; one whose content is as before keeps its shared bytes.
    fn encode(&mut self, key: &ResourceKey, world: &World) -> Option<Arc<Encoded>> {
        let Some(resource) = translate::resource(key, world) else {
            self.encoded.remove(key);
            return None;
        };
        if let Some(ByKey(old)) = self.encoded.get(key)
            && old.any.as_published() == Some(&resource)
        {
            return Some(old.clone());
        }
        let encoded = wire::encode(key, &resource);
        match self.encoded.get(key) {
            Some(ByKey(old)) if old.version == encoded.version => Some(old.clone()),
            _ => {
                self.encoded.replace(ByKey(encoded.clone()));
                Some(encoded)
            }
        }
    }
}
