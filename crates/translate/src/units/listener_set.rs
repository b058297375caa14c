//! One `ListenerSet`: which of its listeners a gateway takes up. They come behind the gateway's own, the older set first, then
//! the first by namespace and name; one that cannot stand beside those before it is left out (Gateway API).

use super::workload_group::selects_namespace;
use super::{Unit, WorldReader};
use crate::world::inputs::Pair;
use api::kinds::gateway::{CLASS, GatewaySpec, Listener};
use api::kinds::listener_set::ListenerSetSpec;
use api::{Object, Spec};
use model::listener::listener_of_set;
use model::{Code, Finding, ObjectRef, Subscription};
use std::sync::Arc;

/// A listener of a set that a gateway takes up.
pub(super) struct SetListener<'w> {
    pub(super) set: &'w Object,
    pub(super) listener: &'w Listener,
    /// Its name among all of the gateway.
    pub(super) name: Arc<str>,
}

/// All of them, in order, and what is wrong with those that are left out.
pub(super) fn listeners_of_sets<'w>(
    gateway: &'w Object,
    spec: &'w GatewaySpec,
    read: &WorldReader<'w>,
) -> (Vec<SetListener<'w>>, Vec<Finding>) {
    let (mut taken, mut findings): (Vec<SetListener<'w>>, Vec<Finding>) = (Vec::new(), Vec::new());
    for (set, content) in attached(gateway, spec, read) {
        for listener in &content.listeners {
            let before = spec.listeners.iter().chain(taken.iter().map(|taken| taken.listener));
            if let Some(why) = before.into_iter().find_map(|other| listener.conflict(other)) {
                let cause =
                    format!("listener `{}` {why} of {}, so it is left out", listener.name, gateway.object);
                let fix = "use another port or hostname";
                findings.push(Finding::new(Code::ListenerConflict, &set.at(listener.line), cause, fix));
                continue;
            }
            let name = listener_of_set(&set.meta.namespace, &set.meta.name, &listener.name).into();
            taken.push(SetListener { set, listener, name });
        }
    }
    (taken, findings)
}

/// The sets that name the gateway and that it allows, in order.
fn attached<'w>(
    gateway: &'w Object,
    spec: &'w GatewaySpec,
    read: &WorldReader<'w>,
) -> Vec<(&'w Object, &'w ListenerSetSpec)> {
    let mut found: Vec<(&Object, &ListenerSetSpec)> = Vec::new();
    // Where no set may be, none is looked for.
    if spec.gateway_class_name != CLASS || spec.allowed_listeners.is_none() {
        return found;
    }
    for namespace in namespaces(gateway, spec, read) {
        for name in read.names("ListenerSet", Some(&namespace)) {
            let set = read.object(&ObjectRef::new("ListenerSet", &namespace, name));
            if let Some(set) = set
                && let Spec::ListenerSet(content) = &set.spec
                && target(set, content) == gateway.object
            {
                found.push((set, content));
            }
        }
    }
    let order =
        |(set, _): &(&'w Object, _)| (set.meta.created, set.meta.namespace.clone(), set.meta.name.clone());
    found.sort_by_key(order);
    found
}

/// The namespaces that the gateway allows sets of.
fn namespaces(gateway: &Object, spec: &GatewaySpec, read: &WorldReader<'_>) -> Vec<Arc<str>> {
    let mut all = read.namespaces("ListenerSet");
    all.retain(|namespace| allows(gateway, spec, namespace, read));
    all
}

fn allows(gateway: &Object, spec: &GatewaySpec, namespace: &str, read: &WorldReader<'_>) -> bool {
    use api::kinds::gateway::FromListenerNamespaces as From;
    let Some(allowed) = spec.allowed_listeners.as_ref().and_then(|allowed| allowed.namespaces.as_ref())
    else {
        return false;
    };
    match allowed.from.unwrap_or(From::None) {
        From::All => true,
        From::Same => *gateway.meta.namespace == *namespace,
        From::Selector => selects_namespace(allowed.selector.as_ref(), namespace, read),
        From::None => false,
    }
}

/// The gateway that a set names.
pub(super) fn target(set: &Object, content: &ListenerSetSpec) -> ObjectRef {
    let namespace = content.parent_ref.namespace.as_deref().unwrap_or(&set.meta.namespace);
    ObjectRef::new("Gateway", namespace, &content.parent_ref.name)
}

/// A set makes nothing by itself: its gateway reads it. It is a unit so that what is wrong with it is told.
pub(crate) struct ListenerSetUnit;

impl Unit for ListenerSetUnit {
    type Key = Pair;
    type Output = ();

    fn keys(object: &Object) -> Vec<Pair> {
        match &object.spec {
            Spec::ListenerSet(_) => vec![(object.meta.namespace.clone(), object.meta.name.clone())],
            _ => Vec::new(),
        }
    }

    fn compile((namespace, name): &Pair, read: &WorldReader<'_>) -> Option<()> {
        read.own_object(&ObjectRef::new("ListenerSet", namespace, name)).map(|_| ())
    }

    fn touches(
        _key: &Pair,
        _old: Option<&()>,
        _new: Option<&()>,
        _read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        Vec::new()
    }

    fn findings((namespace, name): &Pair, read: &WorldReader<'_>) -> Vec<Finding> {
        let own = ObjectRef::new("ListenerSet", namespace, name);
        let Some(set) = read.own_object(&own) else { return Vec::new() };
        let Spec::ListenerSet(content) = &set.spec else { return Vec::new() };
        let target = target(set, content);
        let origin = set.at(content.parent_ref.line);
        let gateway = read.object(&target).map(|gateway| (gateway, &gateway.spec));
        let Some((gateway, Spec::Gateway(spec))) = gateway else {
            let cause = format!("{target} does not exist, so its listeners have no effect");
            return vec![Finding::new(
                Code::ParentNotFound,
                &origin,
                cause,
                "create it or correct parentRef",
            )];
        };
        if spec.gateway_class_name != CLASS || !allows(gateway, spec, namespace, read) {
            let cause = format!(
                "{target} allows no ListenerSet of namespace {namespace}, so its listeners have no effect"
            );
            let fix = "set `allowedListeners.namespaces.from` on the Gateway";
            return vec![Finding::new(Code::ParentNotFound, &origin, cause, fix)];
        }
        let (_, findings) = listeners_of_sets(gateway, spec, read);
        findings.into_iter().filter(|finding| finding.origin.object == own).collect()
    }
}
