//! Taking in a change: note it, find what reads it, recompile that, say who is concerned.
//!
//! Order: services and backends, then global services (which stand on services), then routes (which
//! stand on both). A unit that comes out unchanged concerns nobody.

use super::{Change, Claim, Pair, Registration, Touched, World, group_of, selects};
use crate::hosts::{self, HostEntry};
use crate::routes::{self, RouteEntry};
use crate::{gateways, policies};
use api::{Object, Spec};
use model::federation::RemoteCluster;
use model::{Hostname, ObjectRef, Subscription};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

/// What must be compiled again.
#[derive(Default)]
struct Dirty {
    /// Services and backends: their host and object.
    plain: BTreeSet<(Hostname, ObjectRef)>,
    /// Hosts of global services.
    globals: BTreeSet<Hostname>,
    /// Routes by namespace and name.
    routes: BTreeSet<Pair>,
    touched: Touched,
}

impl World {
    /// Takes in one change. Cost grows with what the change concerns, not with the mesh.
    pub fn apply(&mut self, change: Change) -> Touched {
        let mut dirty = Dirty::default();
        match change {
            Change::Object(object) => {
                let old = self.objects.insert(object.object.clone(), object.clone());
                if old.as_deref() != Some(&*object) {
                    self.object_changed(old.as_deref(), Some(&object), &mut dirty);
                }
            }
            Change::ObjectGone(object) => {
                if let Some(old) = self.objects.remove(&object) {
                    self.object_changed(Some(&old), None, &mut dirty);
                }
            }
            Change::Workload(workload) => {
                self.workload_changed(&workload.uid.clone(), Some(workload), &mut dirty)
            }
            Change::WorkloadGone(uid) => self.workload_changed(&uid, None, &mut dirty),
            Change::Remote(remote) => {
                let old = self.remotes.insert(remote.cluster.clone(), remote.clone());
                self.remote_changed(old.as_ref(), Some(&remote), &mut dirty);
            }
            Change::RemoteGone(cluster) => {
                let old = self.remotes.remove(&cluster);
                self.remote_changed(old.as_ref(), None, &mut dirty);
            }
            Change::Trust(bundles) => {
                let trust = bundles
                    .into_iter()
                    .map(|bundle| (Arc::from(bundle.trust_domain.as_str()), bundle))
                    .collect();
                if self.trust != trust {
                    self.trust = trust;
                    dirty.touched.insert(Subscription::Mesh);
                }
            }
            Change::Addresses(stored) => {
                self.addresses.restore(stored);
            }
        }
        self.recompute(dirty)
    }

    /// Notes which units read `old` or `new`, two states of one object.
    fn object_changed(&mut self, old: Option<&Object>, new: Option<&Object>, dirty: &mut Dirty) {
        let Some(object) = new.or(old) else { return };
        let (namespace, name) = (&object.meta.namespace, &object.meta.name);
        match &object.spec {
            Spec::Service(_) => self.service_changed(old, new, dirty),
            Spec::Backend(_) => dirty
                .plain
                .extend(hosts::backend_host(namespace, name).map(|host| (host, object.object.clone()))),
            Spec::GlobalService(_) => {
                self.claim(old, new);
                let hosts: Vec<Hostname> = [old, new].into_iter().flatten().flat_map(global_hosts).collect();
                // Winning or losing a host changes what the other claimants' routes mean.
                for (_, namespace, name) in hosts.iter().flat_map(|host| self.claims.get(host)).flatten() {
                    self.dirty_routes(&ObjectRef::new("GlobalService", namespace, name), dirty);
                }
                dirty.globals.extend(hosts);
                dirty.touched.extend([Subscription::Mesh, Subscription::Exports]);
            }
            Spec::WorkloadGroup(_) => self.group_changed(&(namespace.clone(), name.clone()), new, dirty),
            Spec::HttpRoute(_) => {
                dirty.routes.insert((namespace.clone(), name.clone()));
            }
            Spec::Gateway(_) => {
                let subscription = Subscription::Gateway { namespace: namespace.clone(), name: name.clone() };
                dirty.touched.extend([subscription, Subscription::Exports]);
            }
            Spec::AuthorizationPolicy(_) => {
                let states = [old, new].into_iter().flatten();
                dirty.touched.extend(states.flat_map(|policy| policies::targets(policy, self)));
            }
            Spec::MeshSettings(_) => {
                dirty.touched.insert(Subscription::Mesh);
            }
            Spec::Cluster(_) if *name == self.place.cluster => self.everything(dirty),
            Spec::Namespace(_) => {
                let routes = self.routes.keys().filter(|(namespace, _)| namespace == name);
                dirty.routes.extend(routes.cloned());
            }
            // Nothing is made of the others.
            _ => {}
        }
        self.dirty_routes(&object.object, dirty);
    }

    fn dirty_routes(&self, object: &ObjectRef, dirty: &mut Dirty) {
        dirty.routes.extend(self.routes_of.get(object).into_iter().flatten().cloned());
    }

    fn service_changed(&mut self, old: Option<&Object>, new: Option<&Object>, dirty: &mut Dirty) {
        let Some(object) = new.or(old) else { return };
        let (namespace, name) = (&object.meta.namespace, &object.meta.name);
        let selected = match new.map(|object| &object.spec) {
            Some(Spec::Service(spec)) => self.groups_selected(namespace, &spec.selector),
            _ => BTreeSet::new(),
        };
        let groups: Vec<Pair> =
            self.groups_in(namespace).map(|g| (g.namespace.clone(), g.name.clone())).collect();
        for group in groups {
            if selected.contains(&group) {
                self.services_of_group.entry(group).or_default().insert(name.clone());
            } else {
                drop_from(&mut self.services_of_group, &group, name);
            }
        }
        // The first Service of a namespace makes its DNS name exist, the last one takes it along.
        if old.is_some() != new.is_some()
            && self.objects_of("Service", Some(namespace)).all(|other| other.meta.name == *name)
        {
            dirty.touched.insert(Subscription::Mesh);
        }
        self.dirty_service(namespace, name, dirty);
    }

    /// A service's host and, because it may come out the same, only then what stands on it.
    fn dirty_service(&self, namespace: &Arc<str>, name: &Arc<str>, dirty: &mut Dirty) {
        if let Some(host) = hosts::service_host(namespace, name) {
            dirty.plain.insert((host, ObjectRef::new("Service", namespace, name)));
        }
    }

    fn group_changed(&mut self, group: &Pair, new: Option<&Object>, dirty: &mut Dirty) {
        self.dirty_services_of(group, dirty);
        let selecting = match new.map(|object| (object, &object.spec)) {
            Some((object, Spec::WorkloadGroup(spec))) => {
                let state = group_of(object, spec);
                let services =
                    self.objects_of("Service", Some(&group.0)).filter(|service| match &service.spec {
                        Spec::Service(spec) => {
                            !spec.selector.is_empty() && selects(&spec.selector, &state.labels)
                        }
                        _ => false,
                    });
                let selecting: BTreeSet<Arc<str>> =
                    services.map(|service| service.meta.name.clone()).collect();
                self.groups.insert(group.clone(), state);
                selecting
            }
            _ => {
                self.groups.remove(group);
                BTreeSet::new()
            }
        };
        if selecting.is_empty() {
            self.services_of_group.remove(group);
        } else {
            self.services_of_group.insert(group.clone(), selecting);
        }
        self.dirty_services_of(group, dirty);
        // Labels decide which policies concern its inbound side and, if it is a gateway, its gateway.
        let (namespace, name) = group.clone();
        dirty.touched.insert(Subscription::Gateway { namespace: namespace.clone(), name: name.clone() });
        dirty.touched.insert(Subscription::Inbound { namespace, group: name });
    }

    fn dirty_services_of(&self, group: &Pair, dirty: &mut Dirty) {
        for service in self.services_of_group.get(group).into_iter().flatten() {
            self.dirty_service(&group.0, service, dirty);
        }
    }

    fn workload_changed(&mut self, uid: &Arc<str>, new: Option<Registration>, dirty: &mut Dirty) {
        if let Some(old) = self.workloads.remove(uid) {
            let group = (old.namespace, old.group);
            drop_from(&mut self.workloads_by_group, &group, uid);
            self.dirty_services_of(&group, dirty);
        }
        if let Some(new) = new {
            let group = (new.namespace.clone(), new.group.clone());
            self.dirty_services_of(&group, dirty);
            self.workloads_by_group.entry(group).or_default().insert(uid.clone());
            self.workloads.insert(uid.clone(), new);
        }
    }

    fn remote_changed(
        &mut self,
        old: Option<&RemoteCluster>,
        new: Option<&RemoteCluster>,
        dirty: &mut Dirty,
    ) {
        if old == new {
            return;
        }
        dirty.touched.insert(Subscription::Clusters);
        let same_way = matches!((old, new), (Some(old), Some(new)) if old.gateways == new.gateways && old.locality == new.locality);
        for export in [old, new].into_iter().flatten().flat_map(|remote| &remote.exports) {
            let of = |remote: Option<&RemoteCluster>| {
                remote.and_then(|r| hosts::find_export(r, &export.host).cloned())
            };
            if self.claims.contains_key(&export.host) && !(same_way && of(old) == of(new)) {
                dirty.globals.insert(export.host.clone());
            }
        }
    }

    /// The place of the cluster changed: every endpoint may be elsewhere.
    fn everything(&self, dirty: &mut Dirty) {
        for object in self.objects.values() {
            let (namespace, name) = (&object.meta.namespace, &object.meta.name);
            match &object.spec {
                Spec::Service(_) => self.dirty_service(namespace, name, dirty),
                Spec::Backend(_) => {
                    dirty.plain.extend(
                        hosts::backend_host(namespace, name).map(|host| (host, object.object.clone())),
                    );
                }
                _ => {}
            }
        }
        dirty.globals.extend(self.claims.keys().cloned());
    }

    /// Keeps who wants which host, and who stands on which service.
    fn claim(&mut self, old: Option<&Object>, new: Option<&Object>) {
        if let Some(object) = old {
            for host in global_hosts(object) {
                drop_from(&mut self.claims, &host, &claim_of(object));
            }
            for service in global_services(object) {
                drop_from(&mut self.globals_of_service, &service, &pair_of(object));
            }
        }
        if let Some(object) = new {
            for host in global_hosts(object) {
                self.claims.entry(host).or_default().insert(claim_of(object));
            }
            for service in global_services(object) {
                self.globals_of_service.entry(service).or_default().insert(pair_of(object));
            }
        }
    }

    fn recompute(&mut self, mut dirty: Dirty) -> Touched {
        for (host, object) in std::mem::take(&mut dirty.plain) {
            let object = self.objects.get(&object).cloned();
            let new = object.and_then(|object| hosts::compile(&object, &host, self));
            self.replace_host(&host, new, &mut dirty);
        }
        for host in std::mem::take(&mut dirty.globals) {
            let new = self.winner(&host).cloned().and_then(|object| hosts::compile(&object, &host, self));
            self.replace_host(&host, new, &mut dirty);
        }
        for route in std::mem::take(&mut dirty.routes) {
            let object = self.objects.get(&ObjectRef::new("HTTPRoute", &route.0, &route.1)).cloned();
            let new = object.map(|object| routes::compile(&object, self));
            self.replace_route(&route, new, &mut dirty.touched);
        }
        dirty.touched
    }

    fn replace_host(&mut self, host: &Hostname, mut new: Option<HostEntry>, dirty: &mut Dirty) {
        // Backends are destinations of routes only: nobody looks them up by name.
        if let Some(entry) = new.as_mut().filter(|entry| &*entry.owner.kind != "Backend") {
            entry.service.address = self.addresses.ensure(host);
        }
        let old = self.hosts.get(host);
        if old == new.as_ref() {
            return;
        }
        let states = || [old, new.as_ref()].into_iter().flatten();
        dirty.touched.insert(Subscription::Host(host.clone()));
        dirty.touched.extend(self.leads.get(host).into_iter().flatten().map(|(lead, _)| lead.clone()));
        if states().any(|entry| entry.exported) {
            dirty.touched.insert(Subscription::Exports);
        }
        if old.map(|entry| (&entry.owner, &entry.service))
            != new.as_ref().map(|entry| (&entry.owner, &entry.service))
        {
            for entry in states() {
                dirty.routes.extend(self.routes_of.get(&entry.owner).into_iter().flatten().cloned());
                dirty.touched.extend(entry.service.address.map(Subscription::Address));
                dirty.touched.extend(entry.groups.iter().map(gateways::inbound_subscription));
            }
        } else if old.map(|entry| &entry.groups) != new.as_ref().map(|entry| &entry.groups) {
            let groups = states().flat_map(|entry| &entry.groups);
            dirty.touched.extend(groups.map(gateways::inbound_subscription));
        }
        for entry in states().filter(|entry| &*entry.owner.kind == "Service") {
            let service = (entry.owner.namespace.clone(), entry.owner.name.clone());
            for (namespace, name) in self.globals_of_service.get(&service).into_iter().flatten() {
                let global = self.objects.get(&ObjectRef::new("GlobalService", namespace, name));
                dirty.globals.extend(global.into_iter().flat_map(|global| global_hosts(global)));
            }
        }
        match new {
            Some(entry) => self.hosts.insert(host.clone(), entry),
            None => self.hosts.remove(host),
        };
    }

    fn replace_route(&mut self, route: &Pair, new: Option<RouteEntry>, touched: &mut Touched) {
        let old = self.routes.remove(route);
        if old == new {
            // The old one, which others may share.
            self.routes.extend(old.map(|entry| (route.clone(), entry)));
            return;
        }
        if let Some(old) = old {
            for object in &old.mentions {
                drop_from(&mut self.routes_of, object, route);
            }
            for (key, rule) in &old.rules {
                let parent = routes::subscription(&rule.parent);
                drop_from(&mut self.rules, &parent, key);
                for host in rule.backends.iter().filter_map(|backend| backend.host.as_ref()) {
                    drop_from(&mut self.leads, host, &(parent.clone(), route.clone()));
                }
                touched.insert(parent);
            }
        }
        if let Some(new) = new {
            for object in &new.mentions {
                self.routes_of.entry(object.clone()).or_default().insert(route.clone());
            }
            for (key, rule) in &new.rules {
                let parent = routes::subscription(&rule.parent);
                self.rules.entry(parent.clone()).or_default().insert(key.clone());
                for host in rule.backends.iter().filter_map(|backend| backend.host.clone()) {
                    self.leads.entry(host).or_default().insert((parent.clone(), route.clone()));
                }
                touched.insert(parent);
            }
            self.routes.insert(route.clone(), new);
        }
    }
}

/// Maps of sets, hashed or sorted.
trait SetsByKey<K, V> {
    fn set(&mut self, key: &K) -> Option<&mut BTreeSet<V>>;
    fn drop_set(&mut self, key: &K);
}

impl<K: Hash + Eq, V> SetsByKey<K, V> for HashMap<K, BTreeSet<V>> {
    fn set(&mut self, key: &K) -> Option<&mut BTreeSet<V>> {
        self.get_mut(key)
    }

    fn drop_set(&mut self, key: &K) {
        self.remove(key);
    }
}

impl<K: Ord, V> SetsByKey<K, V> for BTreeMap<K, BTreeSet<V>> {
    fn set(&mut self, key: &K) -> Option<&mut BTreeSet<V>> {
        self.get_mut(key)
    }

    fn drop_set(&mut self, key: &K) {
        self.remove(key);
    }
}

/// Removes one member, and the set when it was the last.
fn drop_from<K, V: Ord>(map: &mut impl SetsByKey<K, V>, key: &K, member: &V) {
    if let Some(set) = map.set(key) {
        set.remove(member);
        if set.is_empty() {
            map.drop_set(key);
        }
    }
}

fn pair_of(object: &Object) -> Pair {
    (object.meta.namespace.clone(), object.meta.name.clone())
}

fn claim_of(object: &Object) -> Claim {
    (object.meta.created, object.meta.namespace.clone(), object.meta.name.clone())
}

fn global_hosts(object: &Object) -> Vec<Hostname> {
    match &object.spec {
        Spec::GlobalService(spec) => spec.hosts.iter().filter_map(|host| Hostname::parse(host)).collect(),
        _ => Vec::new(),
    }
}

fn global_services(object: &Object) -> Vec<Pair> {
    let Spec::GlobalService(spec) = &object.spec else { return Vec::new() };
    let named = spec.backends.iter().filter_map(|backend| hosts::backend_service(object, backend));
    named.map(|(namespace, name)| (Arc::from(namespace), Arc::from(name))).collect()
}
