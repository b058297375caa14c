//! What a proxy is sent by a control plane, as it comes over a network: nothing is shared with who sends it.

use anyhow::Result;
use model::{Resource, ResourceKey, Subscription};
use translate::World;
use xds::wire::{self, Any};

/// All that belongs to a subscription.
pub(crate) fn sent(world: &World, subscription: &Subscription) -> Vec<(ResourceKey, Any)> {
    let keys = translate::members(subscription, world).into_iter();
    let sent = keys.filter_map(|key| {
        let published = wire::encode(&key, &translate::resource(&key, world)?);
        let type_url = published.any.type_url().to_owned();
        Some((key, Any::Received { type_url, value: published.any.value().clone() }))
    });
    sent.collect()
}

/// As the proxy reads it.
pub(crate) fn read(sent: &[(ResourceKey, Any)]) -> Result<Vec<(ResourceKey, Resource)>> {
    sent.iter().map(|(key, any)| Ok((key.clone(), wire::decode(any)?))).collect()
}
